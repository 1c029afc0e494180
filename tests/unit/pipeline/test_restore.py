"""What comes back from a backup: into which stores, in which order, and after which accidents."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from backed_up import GALLERY, NEW, NO_GATE, OLD, TWO, Tiles, answers, backed_up, content, restored, tiles_in
from doubles.qdrant_rest import QdrantDouble

from lookalike.catalog import documents, keys
from lookalike.errors import (
    AlreadyExists,
    BackupNotFound,
    DamagedArtifact,
    DependencyUnavailable,
    InvalidRequest,
    StoreNotEmpty,
)
from lookalike.jobs.dispatch import Dispatch, Message
from lookalike.jobs.lanes import Lanes
from lookalike.jobs.port import JobRequest, JobState
from lookalike.jobs.queued import QueuedJobs
from lookalike.jobs.records import JobRecords
from lookalike.pipeline.backup_format import object_key, read_entries
from lookalike.pipeline.backup_walk import RESTORING
from lookalike.pipeline.job_steps import JobSteps
from lookalike.pipeline.progress import Progress
from lookalike.pipeline.reembed import reembed
from lookalike.pipeline.restore_indexes import rebuild_lost
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelManifest


@pytest.fixture
def tiles(tmp_path: Path) -> Iterator[Tiles]:
    made = tiles_in(tmp_path / "one")
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "backups")


class Nothing:
    """A queue that is away: jobs wait in the store."""

    def send(self, message: Message) -> None:
        raise DependencyUnavailable("no queue here", dependency="queue")

    def __getattr__(self, name: str) -> object:
        def away(*arguments: object, **options: object) -> None:
            raise DependencyUnavailable("no queue here", dependency="queue")

        return away


def queue_of(tiles: Tiles) -> QueuedJobs:
    steps = JobSteps(tiles.at, lambda request, report: {})
    nothing = Nothing()
    return QueuedJobs(tiles.at.store, steps, Dispatch(nothing, nothing))  # type: ignore[arg-type]


def killed_after(writes: int, folder: Path, place: Path) -> list[str]:
    """Runs a restore and kills it before the write after so many; says for which keys these were."""
    program = Path(__file__).with_name("restore_until_killed.py")
    command = [sys.executable, str(program), str(folder), str(place)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    written = []
    try:
        for _ in range(writes):
            written.append(process.stdout.readline().decode().strip())
            process.stdin.write(b".")
            process.stdin.flush()
        process.stdout.readline()
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    return written


def test_after_a_kill_at_any_write_the_same_restore_goes_on(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    before = answers(tiles)
    made = backed_up(tiles, place)
    for writes in (1, 20, 60, made.num_objects - 1, made.num_objects):
        folder = tmp_path / f"killed after {writes}"
        written = killed_after(writes, folder, tmp_path / "backups")
        assert len(set(written)) == writes
        assert written[0] == RESTORING
        store = LocalStore(folder / "store")
        if keys.gallery_pointer(GALLERY) not in content(store):
            assert [info.key for info in store.list("galleries/") if info.key.endswith("gallery.json")] == []
        with restored(folder, place) as (back, report):
            assert report.there >= writes - 8  # pointers, jobs and models' manifests are written again
            assert answers(back) == before
            assert RESTORING not in content(back.at.store)
            assert back.at.store.get(keys.live(GALLERY)) == tiles.at.store.get(keys.live(GALLERY))


def test_what_makes_things_count_is_written_last(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    queue_of(tiles).submit(JobRequest(kind="embed", gallery=GALLERY, params={"model": NEW}))
    made = backed_up(tiles, place)
    order = killed_after(made.num_objects + 1, tmp_path / "two", tmp_path / "backups")[1:]
    position = {key: number for number, key in enumerate(order)}
    assert len(position) == made.num_objects
    contents = [number for key, number in position.items() if "/images/" in key or "/records/" in key]
    manifests = [number for key, number in position.items() if key.endswith(("part.json", "index.json"))]
    newest = [number for key, number in position.items() if key.endswith("newest.json")]
    jobs = [number for key, number in position.items() if key.startswith("jobs/")]
    (lane,) = [number for key, number in position.items() if key.startswith("lanes/")]
    live, gallery = position[keys.live(GALLERY)], position[keys.gallery_pointer(GALLERY)]
    assert max(contents) < min(manifests)
    assert max(manifests) < min(newest)
    assert max(newest) < live < gallery < min(jobs)
    assert max(jobs) < lane == made.num_objects - 1


def test_another_backup_is_not_mixed_into_half_a_restore(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    first = backed_up(tiles, place)
    killed_after(30, tmp_path / "two", tmp_path / "backups")
    second = backed_up(tiles, place)
    with pytest.raises(StoreNotEmpty, match=first.backup_id), restored(tmp_path / "two", place):
        pass
    with restored(tmp_path / "two", place, backup_id=first.backup_id) as (back, report):
        assert report.there > 20
        assert back.keys() == tiles.keys()
    killed_after(30, tmp_path / "three", tmp_path / "backups")
    third = backed_up(tiles, place)
    assert third.backup_id > second.backup_id
    with restored(tmp_path / "three", place, force=True) as (back, _):
        assert back.keys() == tiles.keys()


def test_a_store_that_holds_anything_but_models_is_left_alone(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    backed_up(tiles, place)
    other = Tiles(tmp_path / "two")  # its models are the same, and it has an empty gallery of the same name
    try:
        before = content(other.at.store)
        with pytest.raises(StoreNotEmpty), restored(tmp_path / "two", place):
            pass
        with pytest.raises(StoreNotEmpty), restored(tmp_path / "two", place, galleries=[GALLERY]):
            pass
        assert content(other.at.store) == before
        other.at.galleries.create("kept")
        with restored(tmp_path / "two", place, galleries=[GALLERY], force=True) as (back, _):
            assert back.keys() == tiles.keys()
            assert {pointer.name for pointer in back.at.galleries.list()} == {GALLERY, "kept"}
    finally:
        other.close()


def test_a_model_of_the_same_name_that_is_another_is_not_replaced(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    backed_up(tiles, place)
    store = LocalStore(tmp_path / "two" / "store")
    manifest = documents.read(tiles.at.store, ModelManifest, keys.model_manifest("new", 1))
    other = manifest.model_copy(update={"digest": "another"})
    store.put(keys.model_manifest("new", 1), documents.encode(other))
    for options in ({}, {"force": True}, {"galleries": [GALLERY]}):
        with pytest.raises(AlreadyExists, match="new@1"), restored(tmp_path / "two", place, **options):
            pass
    assert [info.key for info in store.list("")] == [keys.model_manifest("new", 1)]


def test_some_galleries_come_back_beside_what_is_there(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    tiles.at.galleries.create("second")
    tiles.at.store.put("access/keys/0123456789abcdef.json", b"{}")
    backed_up(tiles, place)
    before = answers(tiles)
    there = LocalStore(tmp_path / "two" / "store")
    there.put("jobs/01234567-aaaa.json", b"{}")
    with restored(tmp_path / "two", place, galleries=[GALLERY]) as (back, report):
        assert report.galleries == (GALLERY,)
        assert answers(back) == before
        found = content(back.at.store)
        assert {key.split("/")[0] for key in found} == {"galleries", "jobs", "models"}
        assert not [key for key in found if key.startswith("galleries/second")]
    with pytest.raises(BackupNotFound, match="third"), restored(tmp_path / "three", place, galleries=["third"]):
        pass


def test_force_writes_over_what_is_there(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    before = answers(tiles)
    backed_up(tiles, place)
    tiles.take(*range(10, 20))
    tiles.put(80)
    with restored(tiles.folder, place, force=True) as (back, report):
        assert answers(back) == before
        assert report.there > 30
        assert back.keys() == set(range(31 + 1)) - {3, 4}


def test_a_job_that_had_not_ended_goes_on(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    """Its document, its place in its lane, its plan, and what is done of the plan although no set has it yet."""
    tiles.put(*range(50, 60))
    jobs = queue_of(tiles)
    ended = jobs.submit(JobRequest(kind="embed", gallery=GALLERY, params={"model": OLD}))
    jobs.cancel(ended.job_id)
    job = jobs.submit(JobRequest(kind="embed", gallery=GALLERY, params={"model": NEW}))
    steps = JobSteps(tiles.at, lambda request, report: {}, part_images=4)
    pending = steps.advance(job, "index", lambda progress: None)  # type: ignore[arg-type]
    first, *others = [unit.name for unit in pending.units]  # type: ignore[union-attr]
    steps.run(job, first, lambda progress: None, starts=1)
    assert others
    tiles.at.store.put("lanes/tiles/main/20200101T000000000000-00000000-0000-4000-8000-000000000000", b"\n")
    backed_up(tiles, place)
    with restored(tmp_path / "two", place) as (back, _):
        assert {one.job_id: one.state for one in queue_of(back).list()} == {
            job.job_id: JobState.QUEUED,
            ended.job_id: JobState.CANCELLED,
        }
        assert [entry.job_id for entry in Lanes(back.at.store).all()] == [job.job_id]
        assert JobRecords(back.at.store).get(job.job_id).entry in content(back.at.store)
        there = JobSteps(back.at, lambda request, report: {}, part_images=4)
        assert [unit.name for unit in there.pending(job)] == others
        for unit in others:
            there.run(job, unit, lambda progress: None, starts=1)
        there.advance(job, "index", lambda progress: None)  # type: ignore[arg-type]
        assert back.keys_of(NEW) == back.keys() == tiles.keys()


def test_what_lies_on_a_qdrant_server_is_built_there_again(place: LocalStore, tmp_path: Path) -> None:
    backends: dict[str, dict[str, object]] = {**TWO, "qdrant": {}}
    with QdrantDouble() as server, QdrantDouble() as other:
        tiles = Tiles(tmp_path / "one", LOOKALIKE_QDRANT__URL=server.url)
        tiles.put(*range(20))
        reembed(tiles.at, GALLERY, NEW, backends, checks=NO_GATE)
        live = tiles.at.pointers.get(GALLERY)
        before = tiles.find(5, backend="qdrant", k=5)
        backed_up(tiles, place)
        tiles.close()

        port = other.port
        other.stop()
        with (
            pytest.raises(DependencyUnavailable),
            restored(tmp_path / "two", place, more={"LOOKALIKE_QDRANT__URL": f"http://127.0.0.1:{port}"}),
        ):
            pass
        assert keys.gallery_pointer(GALLERY) not in content(LocalStore(tmp_path / "two" / "store"))
        other.start()
        with restored(tmp_path / "two", place, more={"LOOKALIKE_QDRANT__URL": other.url}) as (back, report):
            assert back.at.pointers.get(GALLERY) == live
            assert report.there > 20
            assert len(report.built) == 1
            assert report.built[0].startswith("qdrant-")
            assert back.find(5, backend="qdrant", k=5) == before
            assert f"lookalike-{GALLERY}" in {one["alias_name"] for one in other.points.list_aliases()["aliases"]}


def test_what_a_qdrant_server_lost_is_built_again_and_nothing_else(tmp_path: Path) -> None:
    backends: dict[str, dict[str, object]] = {"exact": {}, "qdrant": {}}
    with QdrantDouble() as server:
        tiles = Tiles(tmp_path / "one", LOOKALIKE_QDRANT__URL=server.url)
        try:
            tiles.put(*range(20))
            reembed(tiles.at, GALLERY, OLD, backends, checks=NO_GATE)
            reembed(tiles.at, GALLERY, NEW, backends, checks=NO_GATE)
            before, live = tiles.find(5, backend="qdrant", k=5), tiles.at.pointers.get(GALLERY)
            assert live is not None
            assert rebuild_lost(tiles.at, GALLERY) == []
            server.points.collections.clear()
            server.points.aliases.clear()
            fresh = Tiles(tmp_path / "one", LOOKALIKE_QDRANT__URL=server.url)
            with pytest.raises(DamagedArtifact, match="no collection"):
                fresh.find(5, backend="qdrant")
            expected = {live.models[model].indexes["qdrant"] for model in (OLD, NEW)}
            assert set(rebuild_lost(tiles.at, GALLERY)) == expected
            # The process that could not open it finds it without being started again.
            assert fresh.find(5, backend="qdrant", k=5) == before
            assert f"lookalike-{GALLERY}" in server.points.aliases
            server.stop()
            with pytest.raises(DependencyUnavailable):
                rebuild_lost(tiles.at, GALLERY)
            fresh.close()
        finally:
            tiles.close()


def test_a_store_that_is_being_restored_is_not_backed_up(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    """It would take the place of the backup from which it comes."""
    backed_up(tiles, place)
    killed_after(30, tmp_path / "two", tmp_path / "backups")
    with pytest.raises(InvalidRequest, match="being restored"):
        backed_up(tiles, place, store=LocalStore(tmp_path / "two" / "store"), keep=1)


def test_a_forced_restore_that_was_interrupted_still_writes_over_what_was_there(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    """What has the size of what is in the backup need not be it: it may be what the store had before."""
    key = keys.failures(GALLERY, "ingest")
    tiles.at.store.put(key, b"1" * 100)
    backed_up(tiles, place)
    tiles.at.store.put(key, b"2" * 100)

    def interrupted(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), restored(tiles.folder, place, force=True, threads=1, report=interrupted):
        pass
    assert tiles.at.store.head(RESTORING) is not None
    tiles.at.store.put(key, b"2" * 100)  # it had not come so far
    with restored(tiles.folder, place, force=True) as (back, _):
        assert back.at.store.get(key) == b"1" * 100


def test_no_gallery_is_deleted_for_a_backup_that_lacks_what_it_needs(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    before = answers(tiles)
    made = backed_up(tiles, place)
    lost = next(entry for entry in read_entries(place, made) if "/images/" in entry.key)
    place.delete(object_key(lost.sha256))
    with (
        pytest.raises(DamagedArtifact, match=lost.key),
        restored(tiles.folder, place, galleries=[GALLERY], force=True),
    ):
        pass
    assert answers(tiles) == before
