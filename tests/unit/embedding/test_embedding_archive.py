"""The model archive: the same bytes for the same model, and nothing read that Lookalike did not write."""

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lookalike.embedding.archive import (
    digest_of,
    extract_program,
    read_batching,
    read_manifest,
    read_program,
    write_archive,
)
from lookalike.embedding.batching import Batching
from lookalike.errors import DamagedArtifact, InvalidArchive

MEMBERS = ["MAR-INF/MANIFEST.json", "handler.py", "lookalike.json", "program.pt2"]


def rewritten(source: Path, target: Path, changes: dict[str, bytes | None], *, compress: bool = False) -> Path:
    with zipfile.ZipFile(source) as old:
        members = {name: old.read(name) for name in old.namelist()}
    members.update({name: data for name, data in changes.items() if data is not None})
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as new:
        for name, data in members.items():
            if changes.get(name, b"") is not None:
                new.writestr(name, data)
    return target


def with_manifest(small_model, target: Path, **changes: object) -> Path:
    value = small_model.manifest.model_dump(mode="json") | changes
    return rewritten(small_model.archive, target, {"lookalike.json": json.dumps(value).encode()})


def test_an_archive_gives_back_what_was_put_in(small_model, tmp_path):
    program, manifest = read_program(small_model.archive)
    assert program == small_model.program
    assert manifest == read_manifest(small_model.archive) == small_model.manifest
    assert manifest.digest == digest_of(program)
    assert extract_program(small_model.archive, tmp_path / "program.pt2") == manifest
    assert (tmp_path / "program.pt2").read_bytes() == program


def test_it_has_torchserves_layout_and_a_handler_that_compiles(small_model):
    with zipfile.ZipFile(small_model.archive) as archive:
        assert sorted(archive.namelist()) == MEMBERS
        serve = json.loads(archive.read("MAR-INF/MANIFEST.json"))
        compile(archive.read("handler.py"), "handler.py", "exec")
    assert serve["model"]["serializedFile"] == "program.pt2"
    assert serve["model"]["handler"] == "handler.py"
    assert serve["model"]["modelName"] == "small"


def test_the_same_program_gives_the_same_bytes(small_model, tmp_path):
    (tmp_path / "program.pt2").write_bytes(small_model.program)
    write_archive(tmp_path / "again.mar", tmp_path / "program.pt2", small_model.manifest)
    assert (tmp_path / "again.mar").read_bytes() == small_model.archive.read_bytes()


def test_the_version_is_the_stores_to_give(small_model, tmp_path):
    versioned = small_model.manifest.model_copy(update={"version": 3})
    assert write_archive(tmp_path / "v.mar", small_model.program, versioned).version is None
    assert read_manifest(tmp_path / "v.mar").version is None


def test_a_program_that_cannot_be_read_again_is_not_written(small_model, tmp_path):
    with pytest.raises(InvalidArchive):
        write_archive(tmp_path / "bad.mar", pickle.dumps(1), small_model.manifest)
    assert list(tmp_path.iterdir()) == []


def test_manifests_are_read_without_torch(small_model):
    code = (
        "import sys; from pathlib import Path; from lookalike.embedding.archive import read_program; "
        "print(read_program(Path(sys.argv[1]))[1].name, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(small_model.archive)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["small", "False"]


@pytest.mark.parametrize("name", ["../escape.py", "/etc/escape", "extra.py", "MAR-INF/other", "program.pt2/x"])
def test_members_beyond_the_known_ones_are_refused(small_model, tmp_path, name):
    archive = rewritten(small_model.archive, tmp_path / "a.mar", {name: b"x"})
    with pytest.raises(InvalidArchive, match="exactly"):
        read_manifest(archive)


@pytest.mark.parametrize("name", MEMBERS)
def test_missing_and_doubled_members_are_refused(small_model, tmp_path, name):
    with pytest.raises(InvalidArchive, match="exactly"):
        read_manifest(rewritten(small_model.archive, tmp_path / "missing.mar", {name: None}))
    doubled = tmp_path / "doubled.mar"
    doubled.write_bytes(small_model.archive.read_bytes())
    with zipfile.ZipFile(doubled, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(name, b"{}")
    with pytest.raises(InvalidArchive, match="exactly"):
        read_manifest(doubled)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_other_format_versions_are_refused(small_model, tmp_path, version):
    with pytest.raises(InvalidArchive, match="format_version"):
        read_manifest(with_manifest(small_model, tmp_path / "a.mar", format_version=version))


@pytest.mark.parametrize("changes", [{"dimension": 0}, {"name": "../x"}, {"unknown": 1}, {"resize_policy": "stretch"}])
def test_manifests_that_say_what_cannot_be_are_refused(small_model, tmp_path, changes):
    with pytest.raises(InvalidArchive):
        read_manifest(with_manifest(small_model, tmp_path / "a.mar", **changes))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_manifests_that_are_no_json_object_are_refused(small_model, tmp_path, data):
    with pytest.raises(InvalidArchive):
        read_manifest(rewritten(small_model.archive, tmp_path / "a.mar", {"lookalike.json": data}))


def test_a_manifest_over_the_limit_is_refused_unread(small_model, tmp_path):
    big = b" " * (1 << 20) + b"{}"
    with pytest.raises(InvalidArchive, match="more than"):
        read_manifest(rewritten(small_model.archive, tmp_path / "a.mar", {"lookalike.json": big}))


def test_compressed_members_are_refused(small_model, tmp_path):
    with pytest.raises(InvalidArchive, match="compressed"):
        read_manifest(rewritten(small_model.archive, tmp_path / "a.mar", {}, compress=True))


def test_another_handler_is_refused_for_torchserve_would_run_it(small_model, tmp_path):
    archive = rewritten(small_model.archive, tmp_path / "a.mar", {"handler.py": b"import os"})
    with pytest.raises(InvalidArchive, match="handler"):
        read_manifest(archive)


def test_a_program_other_than_the_manifest_names_is_refused(small_model, tmp_path):
    archive = with_manifest(small_model, tmp_path / "a.mar", digest="0" * 64)
    assert read_manifest(archive).digest == "0" * 64  # costs nothing and is checked on loading
    with pytest.raises(DamagedArtifact):
        read_program(archive)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04"])
def test_what_is_no_zip_is_refused(tmp_path, data):
    (tmp_path / "a.mar").write_bytes(data)
    with pytest.raises(InvalidArchive):
        read_manifest(tmp_path / "a.mar")


def test_a_missing_archive_is_refused(tmp_path):
    with pytest.raises(InvalidArchive, match=r"none\.mar"):
        read_program(tmp_path / "none.mar")


def test_it_may_say_how_requests_are_merged(small_model, tmp_path):
    archive = tmp_path / "batching.mar"
    batching = Batching(requests=32, delay_ms=7)
    manifest = write_archive(archive, small_model.program, small_model.manifest, batching)
    assert manifest == small_model.manifest
    assert read_program(archive) == read_program(small_model.archive)
    assert read_batching(archive) == batching
    assert read_batching(small_model.archive) is None
    with zipfile.ZipFile(archive) as opened:
        assert json.loads(opened.read("MAR-INF/MANIFEST.json"))["model"]["configFile"] == "model-config.yaml"
        assert opened.read("model-config.yaml") == b"batchSize: 32\nmaxBatchDelay: 7\n"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"batchSize: 0\nmaxBatchDelay: 7\n",
        b"batchSize: 32\nmaxBatchDelay: 5000\n",
        b"batchSize: 32\nmaxBatchDelay: 7\nminWorkers: 50\n",
        b"batchSize: !!python/object/apply:os.system ['true']\nmaxBatchDelay: 7\n",
        b"\xff\xfe",
    ],
)
def test_another_configuration_than_ours_is_refused(small_model, tmp_path, text):
    whole = tmp_path / "whole.mar"
    write_archive(whole, small_model.program, small_model.manifest, Batching(requests=1, delay_ms=1))
    changed = rewritten(whole, tmp_path / "changed.mar", {"model-config.yaml": text})
    for read in (read_manifest, read_program, read_batching):
        with pytest.raises(InvalidArchive, match=r"model-config\.yaml"):
            read(changed)


def test_a_configuration_and_the_manifest_that_names_it_go_together(small_model, tmp_path):
    whole = tmp_path / "whole.mar"
    write_archive(whole, small_model.program, small_model.manifest, Batching(requests=1, delay_ms=1))
    without = rewritten(whole, tmp_path / "without.mar", {"model-config.yaml": None})
    config = {"model-config.yaml": Batching(requests=1, delay_ms=1).text()}
    unnamed = rewritten(small_model.archive, tmp_path / "unnamed.mar", config)
    for archive in (without, unnamed):
        with pytest.raises(InvalidArchive, match="TorchServe manifest"):
            read_manifest(archive)


def test_the_folder_into_which_torchserve_unpacked_one_is_read_too(small_model, tmp_path):
    with zipfile.ZipFile(small_model.archive) as archive:
        archive.extractall(tmp_path / "unpacked")
    assert read_program(tmp_path / "unpacked") == read_program(small_model.archive)
    program = tmp_path / "unpacked" / "program.pt2"
    whole = bytearray(program.read_bytes())
    whole[len(whole) // 2] ^= 1
    program.write_bytes(whole)
    with pytest.raises(DamagedArtifact):
        read_program(tmp_path / "unpacked")
    with pytest.raises(InvalidArchive, match="not an unpacked"):
        read_program(tmp_path)
