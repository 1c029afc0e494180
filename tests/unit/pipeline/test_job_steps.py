"""Jobs done unit by unit, by hand: what is next follows from the store alone, whoever asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import JsonValue
from reembedded_gallery import GALLERY, NEW, OLD, Tiles

from lookalike.errors import DamagedArtifact, GateFailed
from lookalike.jobs.port import Job
from lookalike.jobs.steps import Finished, Pending, Queue, Unit
from lookalike.pipeline.job_run import run_job
from lookalike.pipeline.job_steps import JobSteps
from lookalike.pipeline.progress import Progress, silent

JOB = "00000000-0000-0000-0000-000000000001"
INDEXES = {"backends": ["exact", "faiss"]}


class Worked:
    """Units done by processes that each have a view of their own of one store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.opened: list[Tiles] = []
        self.done: list[str] = []
        self.tiles = self.open()

    def open(self) -> Tiles:
        self.opened.append(Tiles(self.folder))
        return self.opened[-1]

    def steps(self) -> JobSteps:
        at = self.open().at
        return JobSteps(at, lambda request, report: run_job(at, request, report), part_images=4)

    def to_the_end(self, job: Job) -> Finished:
        """Asks what is next and does it, each time in another process."""
        for _ in range(20):
            outcome = self.steps().advance(job, Queue.INDEX, silent)
            if isinstance(outcome, Finished):
                return outcome
            assert outcome.units == self.steps().pending(job)
            for unit in outcome.units:
                self.steps().run(job, unit.name, silent, starts=1)
                self.done.append(unit.name)
        raise AssertionError("the job comes to no end")


@pytest.fixture
def worked(tmp_path: Path) -> Iterator[Worked]:
    made = Worked(tmp_path)
    yield made
    for tiles in made.opened:
        tiles.close()


def job(kind: str, attempt: int = 1, **params: JsonValue) -> Job:
    return Job(
        job_id=JOB, kind=kind, gallery=GALLERY, attempt=attempt, created_at="2026-01-01T00:00:00+00:00", params=params
    )


def pending(outcome: Pending | Finished) -> Pending:
    assert isinstance(outcome, Pending)
    return outcome


def test_a_gallery_is_embedded_in_parts_that_anybody_can_do(worked: Worked) -> None:
    worked.tiles.put(*range(10))
    wanted = job("embed", model=OLD)
    first = pending(worked.steps().advance(wanted, Queue.INDEX, silent))
    assert first.units == tuple(Unit(f"part-0-{n}", Queue.EMBED) for n in range(3))
    assert (first.progress.done, first.progress.total) == (0, 10)
    said = worked.steps().run(wanted, "part-0-1", silent, starts=1)
    assert (said.done, said.total) == (4, 10)
    embedded = worked.opened[-1].num_embedded
    worked.steps().run(wanted, "part-0-1", silent, starts=1)
    assert (embedded, worked.opened[-1].num_embedded) == (4, 0)
    assert [unit.name for unit in worked.steps().pending(wanted)] == ["part-0-0", "part-0-2"]
    made = worked.to_the_end(wanted)
    assert (made.result["embedded"], made.result["reused"], made.result["failed"]) == (10, 0, 0)
    assert worked.to_the_end(wanted).result["set_id"] == made.result["set_id"]


def test_images_that_come_before_the_end_of_a_plan_are_left_to_another_job(worked: Worked) -> None:
    worked.tiles.put(*range(6))
    wanted = job("embed", model=OLD)
    worked.steps().advance(wanted, Queue.INDEX, silent)
    worked.tiles.put(6)
    assert worked.to_the_end(wanted).result["embedded"] == 6


def test_another_attempt_goes_on_with_the_plan_and_makes_a_new_one_of_another_gallery(worked: Worked) -> None:
    worked.tiles.put(*range(10))
    worked.steps().advance(job("embed", model=OLD), Queue.INDEX, silent)
    worked.steps().run(job("embed", model=OLD), "part-0-0", silent, starts=1)
    again = pending(worked.steps().advance(job("embed", 2, model=OLD), Queue.INDEX, silent))
    assert [unit.name for unit in again.units] == ["part-0-1", "part-0-2"]
    worked.tiles.put(10, 11)
    third = job("embed", 3, model=OLD)
    anew = pending(worked.steps().advance(third, Queue.INDEX, silent))
    assert [unit.name for unit in anew.units] == ["part-1-0", "part-1-1"]
    worked.steps().run(third, "part-0-1", silent, starts=1)  # late, of a plan that no longer counts
    assert worked.opened[-1].num_embedded == 0
    assert worked.to_the_end(third).result["embedded"] == 12


def test_indexes_are_built_from_the_set_that_was_the_newest_first(worked: Worked) -> None:
    worked.tiles.put(*range(6))
    worked.to_the_end(job("embed", model=OLD))
    wanted = Job(**{**job("build", model=OLD, **INDEXES).model_dump(), "job_id": JOB[:-1] + "2"})
    first = pending(worked.steps().advance(wanted, Queue.INDEX, silent))
    assert first.units == (Unit("build-exact", Queue.INDEX), Unit("build-faiss", Queue.INDEX))
    worked.steps().run(wanted, "build-faiss", silent, starts=1)
    worked.tiles.put(6)
    worked.to_the_end(Job(**{**job("embed", model=OLD).model_dump(), "job_id": JOB[:-1] + "3"}))
    made = worked.to_the_end(wanted)
    indexes = made.result["indexes"]
    assert isinstance(indexes, list)
    assert [index["num_embeddings"] for index in indexes] == [6, 6]  # type: ignore[index,call-overload]


def test_a_re_embedding_takes_up_what_comes_until_it_promotes(worked: Worked) -> None:
    worked.tiles.put(*range(9))
    done = worked.to_the_end(job("reembed", model=OLD, **INDEXES))
    assert done.progress == Progress("promote", 1, 1)  # its last stage is not shown as still to be done
    wanted = Job(**{**job("reembed", model=NEW, gate=False, **INDEXES).model_dump(), "job_id": JOB[:-1] + "2"})
    for unit in pending(worked.steps().advance(wanted, Queue.INDEX, silent)).units:
        worked.steps().run(wanted, unit.name, silent, starts=1)
    assert [unit.name for unit in pending(worked.steps().advance(wanted, Queue.INDEX, silent)).units] == [
        "build-exact",
        "build-faiss",
    ]
    worked.tiles.put(9)
    worked.tiles.take(3)
    assert worked.tiles.find(0)[0] == OLD
    made = worked.to_the_end(wanted)
    assert made.result["promoted"] is True
    assert made.then == (("add", {}),)
    assert worked.done[-3:] == ["build-exact", "build-faiss", "part-1-0"] or "part-1-0" in worked.done
    assert worked.tiles.find(0)[0] == NEW
    assert worked.tiles.keys_of() == worked.tiles.keys() == {0, 1, 2, 4, 5, 6, 7, 8, 9}


def test_a_gate_that_refuses_fails_the_job_and_force_embeds_nothing_again(worked: Worked) -> None:
    worked.tiles.put(*range(12))
    worked.to_the_end(job("reembed", model=OLD, **INDEXES))
    bad = Job(**{**job("reembed", model="bad@1", **INDEXES).model_dump(), "job_id": JOB[:-1] + "2"})
    with pytest.raises(GateFailed):
        worked.to_the_end(bad)
    assert worked.tiles.find(0)[0] == OLD
    num_units = len(worked.done)
    forced = bad.model_copy(update={"attempt": 2, "params": {**bad.params, "force": True}})
    assert worked.to_the_end(forced).result["forced"]
    assert len(worked.done) == num_units
    assert worked.tiles.find(0)[0] == "bad@1"


def test_other_kinds_are_one_unit_and_unknown_units_are_refused(worked: Worked) -> None:
    worked.tiles.put(*range(6))
    worked.to_the_end(job("reembed", model=OLD, **INDEXES))
    worked.tiles.put(6)
    steps = worked.steps()
    assert steps.first("add") == Unit("advance", Queue.EMBED, urgent=True)
    assert (steps.first("ingest").queue, steps.first("evaluate").queue) == (Queue.INDEX, Queue.EVALUATE)
    assert (steps.lane("add"), steps.lane("reembed"), steps.lane("ingest")) == ("add", "main", "main")
    added = Job(**{**job("add").model_dump(), "job_id": JOB[:-1] + "4"})
    assert isinstance(worked.steps().advance(added, Queue.EMBED, silent), Finished)
    assert worked.steps().pending(added) == ()
    assert 6 in worked.tiles.keys_of()
    for unit in ("part-0-0", "build-exact", "other"):
        with pytest.raises(DamagedArtifact):
            worked.steps().run(added, unit, silent, starts=1)
