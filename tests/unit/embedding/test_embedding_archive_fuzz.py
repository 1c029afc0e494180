"""Archives come from users: whatever the bytes, reading them gives a model or an error of ours."""

import io
import json
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lookalike.embedding.archive import read_manifest, read_program
from lookalike.embedding.program import canonical_program
from lookalike.errors import LookalikeError

FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


def read(path, data: bytes) -> bool:
    """Whether ``data`` is read as an archive; otherwise the error must be one of ours."""
    path.write_bytes(data)
    try:
        read_manifest(path)
        read_program(path)
    except LookalikeError:
        return False
    return True


@FUZZ
@given(data=st.binary(max_size=300), as_zip=st.booleans())
def test_any_bytes(tmp_path, data, as_zip):
    assert not read(tmp_path / "a.mar", b"PK\x03\x04" + data if as_zip else data)


@FUZZ
@given(
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), min_size=1, max_size=6),
    cut=st.none() | st.floats(0, 1),
    directory=st.booleans(),
)
def test_an_archive_with_changed_or_missing_bytes(small_model, tmp_path, flips, cut, directory):
    """Half of the changes go into the zip's directory at the end, where offsets, sizes and names are."""
    data = bytearray(small_model.archive.read_bytes())
    start = data.index(b"PK\x01\x02") if directory else 0
    for place, change in flips:
        data[start + int(place * (len(data) - start))] ^= change
    if cut is not None:
        del data[int(cut * len(data)) :]
    if read(tmp_path / "a.mar", bytes(data)):
        # What changed is nothing that is read: dates, attributes.
        assert read_program(tmp_path / "a.mar") == read_program(small_model.archive)


def with_member(data: bytes, name: str, content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            new.writestr(entry.filename, content if entry.filename == name else old.read(entry))
    return target.getvalue()


@FUZZ
@given(
    value=JSON, field=st.none() | st.sampled_from(["name", "dimension", "input_size", "recipe", "metrics", "version"])
)
def test_any_json_as_the_manifest_or_a_field_of_it(small_model, tmp_path, value, field):
    said = small_model.manifest.model_dump(mode="json")
    data = json.dumps(value if field is None else said | {field: value}).encode()
    changed = with_member(small_model.archive.read_bytes(), "lookalike.json", data)
    if read(tmp_path / "a.mar", changed):
        assert field is not None
        assert read_manifest(tmp_path / "a.mar").digest == small_model.manifest.digest


def paths_in(value: object, at: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, item in inner for path in paths_in(item, (*at, key)))]


@pytest.mark.parametrize("member", ["models/model.json", "data/weights/model_weights_config.json"])
@FUZZ
@given(value=JSON, place=st.floats(0, 1, exclude_max=True))
def test_any_json_anywhere_in_the_programs_description(small_model, member, value, place):
    with zipfile.ZipFile(io.BytesIO(small_model.program)) as archive:
        said = json.loads(archive.read(f"archive/{member}"))
    paths = paths_in(said)
    *above, last = ("root", *paths[int(place * len(paths))])
    holder: object = {"root": said}
    tree = holder
    for key in above:
        holder = holder[key]
    holder[last] = value
    changed = with_member(small_model.program, f"archive/{member}", json.dumps(tree["root"]).encode())
    try:
        once = canonical_program(changed)
    except LookalikeError:
        return
    assert canonical_program(once) == once


@pytest.mark.parametrize("value", [None, [None], 7, "x"])
@pytest.mark.parametrize("place", [("range_constraints",), ("graph_module", "module_call_graph")])
def test_what_is_to_be_a_list_or_a_dictionary_and_is_not_is_refused(small_model, place, value):
    with zipfile.ZipFile(io.BytesIO(small_model.program)) as archive:
        said = json.loads(archive.read("archive/models/model.json"))
    *above, last = place
    holder = said
    for key in above:
        holder = holder[key]
    holder[last] = value
    changed = with_member(small_model.program, "archive/models/model.json", json.dumps(said).encode())
    if last == "module_call_graph" and value == [None]:
        assert canonical_program(changed)  # its entries are picked
        return
    with pytest.raises(LookalikeError, match=last):
        canonical_program(changed)


def test_the_reader_reads_what_it_should(small_model, tmp_path):
    assert read(tmp_path / "a.mar", small_model.archive.read_bytes())
