"""Filters compiled for Qdrant mean what ``matches`` means: on the engine, with and without its payload indexes."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient

from lookalike.errors import CapabilityMissing
from lookalike.indexes.params import complete
from lookalike.indexes.port import Backend, BuildInput
from lookalike.indexes.qdrant_edge import QdrantEdgeBackend
from lookalike.indexes.qdrant_server import QdrantServerBackend
from lookalike.types.filters import Filter, matches, parse_filter
from lookalike.types.ids import image_id, pack_ids
from lookalike.types.images import ImageRecord, Labels, MetadataValue

pytestmark = [
    pytest.mark.filterwarnings("ignore:Payload indexes have no effect"),
    pytest.mark.filterwarnings("ignore:Local mode performs exact"),
]

EDGE = 2.0**53


@pytest.fixture(autouse=True)
def _indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Payload indexes also in galleries as small as these."""
    monkeypatch.setattr("lookalike.indexes.qdrant_payload.INDEXED_FROM", 0)


texts = st.sampled_from(["", "a", "A", "1", "1.0", "true", "True", "dog", "é ü", 'quo"te', "x" * 300])
near = st.sampled_from(
    [2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2, 2**60 + 1, -(2**53) - 1, 2**63, 2**64 + 3, -(2**70) + 1]
)
# These come back from Qdrant's JSON as their neighbours.
drifting = st.sampled_from([0.9452706955539223, 0.9452706955539224, 0.21659939713061338, 0.3, 0.30000000000000004])
numbers = st.one_of(
    st.sampled_from([0, 1, 2, -1, 0.0, -0.0, 1.0, 1.5, -1.5, EDGE, EDGE + 2, 2.0**60, 5e-324, 1e300]),
    drifting,
    near,
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
values: st.SearchStrategy[MetadataValue] = st.one_of(st.booleans(), numbers, texts)
names = st.sampled_from(["a", "b", "2020", "with-dash", "_", "A" * 64])
fields = st.one_of(
    st.sampled_from(["key", "label", "subcategory", "supercategory", "subcategories", "supercategories"]),
    names.map("metadata.{}".format),
)
label_lists = st.lists(texts, max_size=3, unique=True).map(lambda chosen: tuple(sorted(chosen)))


@st.composite
def labels(draw: st.DrawFn) -> Labels:
    subcategories, supercategories = draw(label_lists), draw(label_lists)
    return Labels(
        subcategory=draw(st.sampled_from([None, *subcategories])),
        supercategory=draw(st.sampled_from([None, *supercategories])),
        subcategories=subcategories,
        supercategories=supercategories,
    )


@st.composite
def galleries(draw: st.DrawFn) -> list[ImageRecord]:
    keys = draw(st.lists(texts.filter(bool), min_size=1, max_size=8, unique=True))
    metadata = st.dictionaries(st.one_of(names, st.just("no such.field")), values, max_size=4)
    return [
        ImageRecord(
            image_id=image_id("g", key),
            key=key,
            sha256="0" * 64,
            size_bytes=1,
            width=1,
            height=1,
            format="png",
            labels=draw(labels()),
            metadata=draw(metadata),
        )
        for key in keys
    ]


bounds = st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte"]),
    st.one_of(
        numbers.map(float),
        st.sampled_from([float("inf"), float("-inf"), float("nan")]),
    ),
    min_size=1,
)
leaves = st.one_of(
    st.builds(lambda field, value: {"field": field, "equals": value}, fields, values),
    st.builds(lambda field, value: {"field": field, "any_of": value}, fields, st.lists(values, min_size=1, max_size=4)),
    st.builds(lambda field, value: {"field": field, "range": value}, fields, bounds),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda clause: {"not": clause}, inner),
        st.builds(lambda clauses: {"all": clauses}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda clauses: {"any": clauses}, st.lists(inner, min_size=1, max_size=3)),
    ),
    max_leaves=6,
)


def local() -> QdrantServerBackend:
    return QdrantServerBackend(QdrantClient(":memory:"))


def found_keys(
    backend: Backend, dimension: int, records: list[ImageRecord], conditions: list[Filter]
) -> list[set[str]]:
    """The keys of what each filter finds in an index of the records."""
    embeddings_ND = np.random.default_rng(0).standard_normal((len(records), dimension), np.float32)
    embeddings_ND /= np.linalg.norm(embeddings_ND, axis=1, keepdims=True)
    ids_N16 = pack_ids(record.image_id for record in records)
    # In memory where that is possible: the engine syncs each of its many files.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:  # noqa: S108
        source = BuildInput(embeddings_ND, ids_N16, lambda: iter(records))
        backend.build(source, Path(folder), complete(backend.capabilities.build_params, {}))
        index = backend.open(Path(folder), embeddings_ND, ids_N16)
    params = complete(backend.capabilities.search_params, {})
    found = []
    for condition in conditions:
        rows = index.search(embeddings_ND[:1], len(records), native_filter=condition, params=params).rows_QK[0]
        found.append({records[row].key for row in rows if row >= 0})
    index.close()
    return found


def check(make: Callable[[], Backend], dimension: int, records: list[ImageRecord], said: list[object]) -> None:
    conditions = [parse_filter(one) for one in said]
    wanted = [{record.key for record in records if matches(condition, record)} for condition in conditions]
    assert found_keys(make(), dimension, records, conditions) == wanted


several = st.lists(filters, min_size=1, max_size=12)


# 600 values make the engine's immutable segment with payload indexes; a few stay in its segment for updates.
@pytest.mark.parametrize("dimension", [600, 2], ids=["indexed", "plain"])
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=galleries(), said=several)
def test_what_the_engine_finds_is_what_matches(dimension: int, records: list[ImageRecord], said: list[object]) -> None:
    check(QdrantEdgeBackend, dimension, records, said)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=galleries(), said=several)
def test_what_the_client_finds_is_what_matches(records: list[ImageRecord], said: list[object]) -> None:
    check(local, 2, records, said)


@pytest.mark.parametrize("make", [QdrantEdgeBackend, local], ids=["edge", "local"])
def test_numbers_that_json_does_not_keep(make: Callable[[], Backend]) -> None:
    """Every comparison of each of these with every other: around the last exact double, and neighbouring doubles."""
    exact = [2**53 + step for step in range(-2, 4)] + [2**60 + step for step in (-1, 0, 1)] + [2**63 - 2, 2**63 - 1]
    drifted = [0.3, 0.30000000000000004, 0.9452706955539223, 0.9452706955539224, -0.3812042376882124]
    every = [*exact, *drifted, 0, 1.0, 1e300, 2.0**63, -1e300, 1e22, 1e23, 5e-324]
    records = [
        ImageRecord(
            image_id=image_id("g", str(number)),
            key=str(number),
            sha256="0" * 64,
            size_bytes=1,
            width=1,
            height=1,
            format="png",
            metadata={"n": number},
        )
        for number in every
    ]
    said: list[object] = [{"field": "metadata.n", "equals": number} for number in every]
    for number in sorted({*map(float, every), 1.7e308, -1.7e308}):
        said.append({"field": "metadata.n", "equals": number})
        said += [{"field": "metadata.n", "range": {side: number}} for side in ("gt", "gte", "lt", "lte")]
        said += [{"field": "metadata.n", "range": {"gte": number, "lte": number}}]
    check(make, 600, records, said)


def test_more_metadata_fields_than_get_an_index_are_filtered_all_the_same() -> None:
    record = ImageRecord(
        image_id=image_id("g", "k"),
        key="k",
        sha256="0" * 64,
        size_bytes=1,
        width=1,
        height=1,
        format="png",
        metadata={f"field{number}": number for number in range(60)},
    )
    said = [{"field": f"metadata.field{number}", "equals": number} for number in range(60)]
    assert found_keys(QdrantEdgeBackend(), 600, [record], [parse_filter(one) for one in said]) == [{"k"}] * 60


@pytest.mark.parametrize("make", [QdrantEdgeBackend, local], ids=["edge", "local"])
def test_an_index_without_payloads_refuses_a_filter_alone(make: Callable[[], Backend], tmp_path: Path) -> None:
    backend = make()
    embeddings_ND, ids_N16 = np.eye(3, dtype=np.float32), pack_ids(image_id("g", str(row)) for row in range(3))
    backend.build(BuildInput(embeddings_ND, ids_N16), tmp_path, complete(backend.capabilities.build_params, {}))
    index = backend.open(tmp_path, embeddings_ND, ids_N16)
    condition = parse_filter({"field": "key", "equals": "a"})
    with pytest.raises(CapabilityMissing):
        index.search(embeddings_ND, 1, native_filter=condition)
    allowed_N = np.array([False, True, False])
    assert (index.search(embeddings_ND, 1, native_filter=condition, allowed_N=allowed_N).rows_QK == 1).all()
    index.close()
