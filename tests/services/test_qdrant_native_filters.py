"""Filtered searches through qdrant's own filters: the hits of the mask path, whatever changed since the build."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from lookalike.catalog.record_table import RecordTable
from lookalike.pipeline.index_gallery import build_indexes, newest_set, promote_indexes
from lookalike.pipeline.promote import follow_gallery
from lookalike.pipeline.search import nearest
from lookalike.pipeline.workspace import Workspace
from lookalike.types.filters import parse_filter
from lookalike.types.images import ImageRecord

FILTERS = [
    {"field": "subcategory", "equals": "red"},
    {"field": "label", "any_of": ["cold", "red"]},
    {"not": {"field": "supercategory", "equals": "cold"}},
    {"field": "metadata.shelf", "range": {"gte": 3}},
    {"all": [{"field": "supercategory", "equals": "cold"}, {"not": {"field": "metadata.shelf", "equals": 4}}]},
    {"field": "metadata.shelf", "equals": "4"},
]


def hits(workspace: Workspace, backend: str, said: object, *, by_mask: bool = False) -> list[list[tuple[bytes, float]]]:
    """Ids and similarities of ten hits for every image as query."""
    served = workspace.serving.gallery("colors")
    _, index = served.index(None, backend)
    if by_mask:
        index = dataclasses.replace(index, filters_natively=False, _masks={})
    queries_QD = index.living.embeddings_of(np.arange(index.living.num_rows))
    found = nearest(served, index, queries_QD, 10, condition=parse_filter(said))
    ids_N16 = index.living.ids_N16
    return [
        [(ids_N16[row].tobytes(), float(value)) for row, value in zip(rows, values, strict=True) if row >= 0]
        for rows, values in zip(found.rows_QK, found.similarities_QK, strict=True)
    ]


def natively(workspace: Workspace) -> bool:
    return workspace.serving.gallery("colors").index(None, "qdrant")[1].filters_natively


def change(workspace: Workspace, update: Callable[[int, ImageRecord], ImageRecord | None]) -> None:
    """Another version of the gallery: ``update`` of each record by its number; None deletes it."""
    records = [record for _, record in workspace.serving.refresh("colors").table.records()]
    changes = {record.key: update(number, record) for number, record in enumerate(records)}
    workspace.galleries.apply("colors", changes)
    follow_gallery(workspace.galleries, workspace.sets, workspace.pointers, "colors")
    workspace.serving.refresh("colors")


def shelved(number: int, record: ImageRecord) -> ImageRecord:
    return record.model_copy(update={"metadata": {"shelf": number % 5}})


def check_all(workspace: Workspace) -> None:
    for said in FILTERS:
        found = hits(workspace, "qdrant", said)
        assert found == hits(workspace, "qdrant", said, by_mask=True)
        assert [sorted(query) for query in found] == [sorted(query) for query in hits(workspace, "exact", said)]


def test_a_filter_is_qdrant_s_own_while_what_is_served_is_what_was_indexed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_all(workspace)
    wanted = hits(workspace, "qdrant", FILTERS[0], by_mask=True)

    def refused(*_: object) -> None:
        raise AssertionError("the records were asked for a mask")

    monkeypatch.setattr(RecordTable, "matching", refused)
    workspace.serving.gallery("colors").index(None, "qdrant")[1]._masks.clear()
    assert hits(workspace, "qdrant", FILTERS[0]) == wanted
    assert all(wanted)


def test_changed_metadata_are_seen_at_once_and_by_qdrant_after_the_next_build(workspace: Workspace) -> None:
    former = workspace.serving.gallery("colors").live.models
    assert natively(workspace)
    change(workspace, shelved)
    assert not natively(workspace)
    check_all(workspace)
    assert any(hits(workspace, "qdrant", FILTERS[3]))

    embedding_set = newest_set(workspace, "colors", "color_edges")
    version = workspace.galleries.get("colors").version_id
    embedding_set = embedding_set.model_copy(update={"version_id": version})
    promote_indexes(workspace, "colors", embedding_set, build_indexes(workspace, "colors", embedding_set, ["qdrant"]))
    live = workspace.serving.gallery("colors").live.models
    assert [entry.indexes["qdrant"] for entry in live.values()] != [
        entry.indexes["qdrant"] for entry in former.values()
    ]
    assert natively(workspace)
    for said in FILTERS:
        assert hits(workspace, "qdrant", said) == hits(workspace, "qdrant", said, by_mask=True)
    assert any(hits(workspace, "qdrant", FILTERS[3]))


def test_deleted_images_are_no_hits_of_a_filtered_search(workspace: Workspace) -> None:
    change(workspace, lambda number, record: None if number % 3 == 0 else record)
    check_all(workspace)
    served = workspace.serving.gallery("colors")
    present = {identifier for identifier, _ in served.table.records()}
    found = {identifier for query in hits(workspace, "qdrant", FILTERS[1]) for identifier, _ in query}
    assert found
    assert found <= present
