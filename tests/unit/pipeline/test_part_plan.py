"""Plans in the store: what they name is found again, whatever came since."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.catalog.galleries import Galleries, GalleryVersion
from lookalike.errors import DamagedArtifact
from lookalike.pipeline.embed_plan import PlannedPart
from lookalike.pipeline.part_plan import PartPlan, Plans, plan_part, planned_part
from lookalike.storage.local import LocalStore
from lookalike.types.ids import image_id
from lookalike.types.images import ImageRecord

JOB = "00000000-0000-0000-0000-000000000001"


def record(number: int) -> ImageRecord:
    key = f"{number:06d}"
    return ImageRecord(
        image_id=image_id("g", key), key=key, sha256=f"{number:064x}", size_bytes=1, width=1, height=1, format="png"
    )


def plan(number: int, version: GalleryVersion, *parts: PlannedPart, attempt: int = 1) -> PartPlan:
    return PartPlan(
        job_id=JOB,
        number=number,
        job_attempt=attempt,
        gallery="g",
        model="m@1",
        model_digest="d",
        version_id=version.version_id,
        newest_etag=None,
        num_images=version.num_images,
        parts=tuple(plan_part(part) for part in parts),
    )


@given(st.sets(st.integers(0, 10_000)))
def test_rows_are_kept_as_runs(rows: set[int]) -> None:
    ordered = tuple(sorted(rows))
    made = plan_part(PlannedPart("p", [], 0, rows=ordered))
    assert made.rows == list(ordered)
    assert made.num_images == len(rows)
    assert all(start < stop for start, stop in made.runs)
    assert all(one[1] < other[0] for one, other in zip(made.runs, made.runs[1:], strict=False))


def test_a_part_finds_its_records_although_the_gallery_has_changed(tmp_path: Path) -> None:
    galleries = Galleries(LocalStore(tmp_path))
    galleries.create("g")
    records = [record(number) for number in range(9000)]  # several record parts
    version = galleries.replace(galleries.version("g"), records)
    assert len(version.parts) > 1
    rows = (0, 1, 2, 4095, 4096, 4097, 8999)
    part = PlannedPart("p", [records[row] for row in rows], 2, rows=rows)
    plans = Plans(LocalStore(tmp_path))
    plans.write(plan(0, version, part))
    galleries.apply("g", {records[0].key: None, "zzz": record(1).model_copy(update={"key": "zzz"})})
    kept = plans.last(JOB)
    assert kept is not None
    found = planned_part(galleries, kept, kept.parts[0])
    assert (found.part_id, found.attempt, found.records) == ("p", 2, part.records)
    beyond = kept.parts[0].model_copy(update={"runs": ((8999, 9001),), "num_images": 2})
    with pytest.raises(DamagedArtifact):
        planned_part(galleries, kept, beyond)


def test_of_two_that_plan_at_once_the_first_counts(tmp_path: Path) -> None:
    plans, version = Plans(LocalStore(tmp_path)), GalleryVersion(gallery="g")
    first = plans.write(plan(0, version, PlannedPart("a", [], 0, rows=(1, 2))))
    assert plans.write(plan(0, version, PlannedPart("b", [], 0, rows=(1,)))) == first
    later = plans.write(plan(1, version, PlannedPart("c", [], 0, rows=(5,))))
    assert plans.last(JOB) == later
    assert plans.planned(JOB) == ["a", "c"]
    assert plans.pin(JOB, 1, "set-a") == "set-a"
    assert plans.pin(JOB, 1, "set-b") == "set-a"
    assert (plans.pinned(JOB, 1), plans.pinned(JOB, 2)) == ("set-a", None)
    plans.forget(JOB)
    assert (plans.last(JOB), plans.pinned(JOB, 1)) == (None, None)
