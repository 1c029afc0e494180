"""The record table answers filters exactly as the reference does, and follows versions part by part."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.catalog.record_table import RecordTable
from lookalike.catalog.records import write_parts
from lookalike.storage.local import LocalStore
from lookalike.types.filters import matches as reference
from lookalike.types.filters import parse_filter
from lookalike.types.ids import image_id, unpack_ids
from lookalike.types.images import ImageRecord, Labels

LARGE = [2**53, 2**53 + 1, float(2**53), 2**63 - 1, -(2**63), 10**17]  # integers that no double equals among them
VALUES = st.sampled_from(["dog", "cat", "1", 1, 1.0, 2, 2.5, True, False, 0, -3, *LARGE])
FIELDS = st.sampled_from(
    ["subcategory", "label", "supercategories", "metadata.a", "metadata.b", "key", "subcategories"]
)
NO_LABELS = Labels()


def record(key: str, labels: Labels = NO_LABELS, **metadata: object) -> ImageRecord:
    return ImageRecord.model_validate(
        {
            "image_id": image_id("g", key), "key": key, "sha256": f"{len(key):064x}", "size_bytes": 1, "width": 1,
            "height": 1, "format": "png", "labels": labels, "metadata": metadata,
        }
    )  # fmt: skip


RECORDS = st.lists(
    st.builds(
        lambda key, sub, extra, a, b: record(
            key,
            Labels(subcategory=sub, subcategories=tuple(sorted({sub, *extra})), supercategories=tuple(sorted(extra))),
            **({"a": a} if a is not None else {}),
            **({"b": b} if b is not None else {}),
        ),
        st.text("abc", min_size=1, max_size=3),
        st.sampled_from(["dog", "cat", "1"]),
        st.sets(st.sampled_from(["dog", "cat", "bird"])),
        st.none() | VALUES,
        st.none() | VALUES,
    ),
    max_size=12,
    unique_by=lambda made: made.key,
)
BOUNDS = st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte"]),
    st.integers(-3, 3).map(float) | st.sampled_from([2.0**53, 1e17]),
    min_size=1,
)
FILTERS = st.recursive(
    st.builds(lambda f, v: {"field": f, "equals": v}, FIELDS, VALUES)
    | st.builds(lambda f, v: {"field": f, "any_of": v}, FIELDS, st.lists(VALUES, min_size=1, max_size=3))
    | st.builds(lambda f, b: {"field": f, "range": b}, FIELDS, BOUNDS),
    lambda inner: (
        st.builds(lambda c: {"not": c}, inner)
        | st.builds(lambda c: {"all": c}, st.lists(inner, min_size=1, max_size=3))
        | st.builds(lambda c: {"any": c}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=6,
)


def version_of(store: LocalStore, records: list[ImageRecord]) -> GalleryVersion:
    ordered = sorted(records, key=lambda made: made.key)
    return GalleryVersion(gallery="g", parts=tuple(write_parts(store, "g", ordered)))


@settings(deadline=None, max_examples=60)
@given(records=RECORDS, said=FILTERS)
def test_a_filter_means_the_same_in_sql(tmp_path_factory, records, said) -> None:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("table")
    store = LocalStore(folder / "store")
    table = RecordTable(folder / "t.sqlite", store)
    table.follow(version_of(store, records))
    condition = parse_filter(said)
    expected = {made.image_id for made in records if reference(condition, made)}
    found = table.matching(condition)
    assert {*unpack_ids(found.view("u1").reshape(-1, 16))} == expected
    assert [made.image_id for made in table.page(limit=100, condition=condition)] == [
        made.image_id for made in sorted(records, key=lambda made: made.key) if made.image_id in expected
    ]
    table.close()


@settings(deadline=None, max_examples=25)
@given(first=RECORDS, second=RECORDS)
def test_following_gives_what_a_fresh_table_has(tmp_path_factory, first, second) -> None:  # type: ignore[no-untyped-def]
    folder: Path = tmp_path_factory.mktemp("table")
    store = LocalStore(folder / "store")
    moved, fresh = RecordTable(folder / "a.sqlite", store), RecordTable(folder / "b.sqlite", store)
    moved.follow(version_of(store, first))
    moved.follow(version_of(store, second))
    fresh.follow(version_of(store, second))
    assert list(moved.records()) == list(fresh.records())
    assert (moved.items() == fresh.items()).all()
    assert moved.label_counts() == fresh.label_counts()
    assert moved.version_id == fresh.version_id
    moved.close()
    fresh.close()


def test_a_large_gallery_changes_one_part_at_a_time(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    galleries = Galleries(store)
    galleries.create("g")
    base = galleries.replace(galleries.version("g"), [record(f"{n:06}") for n in range(9000)])
    assert len(base.parts) >= 3
    changed = galleries.apply("g", {"004500": None, "004500b": record("004500b"), "zzz": record("zzz")})
    assert changed.num_images == 9001
    assert len({p.digest for p in changed.parts} - {p.digest for p in base.parts}) <= 3
    assert [r.key for r in galleries.records(changed)] == sorted(r.key for r in galleries.records(changed))
    assert galleries.find(changed, "004500") is None
    assert galleries.find(changed, "004500b") is not None
    table = RecordTable(tmp_path / "t.sqlite", store)
    table.follow(base)
    table.follow(changed)
    assert len(table) == 9001
    assert table.by_key("zzz") is not None
    table.close()


def test_items_are_sorted_cannot_be_changed_and_follow_the_version(tmp_path: Path) -> None:
    """They are kept between calls, for every index of a gallery asks for them."""
    store = LocalStore(tmp_path / "store")
    table = RecordTable(tmp_path / "a.sqlite", store)
    assert table.items().shape == (0, 48)
    galleries = Galleries(store)
    galleries.create("g")
    for last in (40, 41):
        changes = {str(number): record(str(number)) for number in range(last)}
        table.follow(galleries.apply("g", changes))
        items = table.items()
        expected = sorted(bytes.fromhex(made.image_id.replace("-", "") + made.sha256) for made in changes.values())
        assert [row.tobytes() for row in items] == expected
        assert table.items() is items
        with pytest.raises(ValueError, match="read-only"):
            items[0, 0] = 1
    table.close()
