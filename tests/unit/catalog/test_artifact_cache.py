"""The artifact cache: a limit that what is in use outlives, one writer, complete or nothing."""

import errno
import gc
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from lookalike.catalog.artifact_cache import ArtifactCache
from lookalike.errors import DiskFull
from lookalike.telemetry.declared import CACHE_BYTES, CACHE_EVICTIONS
from lookalike.telemetry.metrics import PROCESS

KINDS = ("sets", "indexes")


def writer(size: int = 1000) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_bytes(b"x" * size)

    return write


def names(root: Path, kind: str = "sets") -> set[str]:
    return {path.name for path in (root / kind).iterdir()} if (root / kind).exists() else set()


def left_over(root: Path) -> list[Path]:
    return list((root / "scratch").iterdir()) if (root / "scratch").exists() else []


def used_at(folder: Path, second: int) -> None:
    """As if it had been used then: no test waits for a clock."""
    os.utime(folder, (second, second))


def fill(cache: ArtifactCache, root: Path, *wanted: str) -> None:
    for second, name in enumerate(wanted):
        cache.complete("sets", name, 1000, writer())[1].release()
        used_at(root / "sets" / name, second)


def test_the_folder_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=3500)
    fill(cache, tmp_path, "a", "b", "c")
    cache.complete("sets", "a", 1000, writer())[1].release()  # used again: now b is the oldest
    cache.complete("indexes", "d", 1000, writer())[1].release()
    assert names(tmp_path) == {"a", "c"}
    assert names(tmp_path, "indexes") == {"d"}
    assert left_over(tmp_path) == []


def test_what_goes_is_counted_and_the_size_is_shown(tmp_path: Path) -> None:
    registry = PROCESS.start()
    before = registry.get_sample_value(CACHE_EVICTIONS.exposed) or 0
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=3500)
    fill(cache, tmp_path, "a", "b", "c")
    assert registry.get_sample_value(CACHE_BYTES.exposed) == 3000
    cache.complete("indexes", "d", 2000, writer(2000))[1].release()
    assert registry.get_sample_value(CACHE_BYTES.exposed) == 3000
    assert registry.get_sample_value(CACHE_EVICTIONS.exposed) == before + 2


def test_what_is_in_use_stays_and_goes_when_it_is_let_go(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=1500)
    folder, lease = cache.complete("sets", "a", 1000, writer())
    used_at(folder, 0)
    cache.complete("sets", "b", 1000, writer())[1].release()
    assert names(tmp_path) == {"a", "b"}, "over the limit rather than without what is in use"
    lease.release()
    lease.release()
    cache.complete("sets", "c", 1000, writer())[1].release()
    assert names(tmp_path) == {"c"}


def test_a_lease_ends_with_its_last_reference(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=1500)
    held = cache.complete("sets", "a", 1000, writer())
    del held
    gc.collect()
    cache.complete("sets", "b", 1000, writer())
    assert names(tmp_path) == {"b"}


def test_without_a_limit_everything_stays(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS)
    fill(cache, tmp_path, *"abcdef")
    assert names(tmp_path) == set("abcdef")


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS)

    def fail(folder: Path) -> None:
        writer()(folder)
        raise ConnectionError("in the middle")

    with pytest.raises(ConnectionError):
        cache.complete("sets", "a", 1000, fail)
    assert names(tmp_path) == set()
    assert left_over(tmp_path) == []
    cache.complete("sets", "a", 1000, writer())
    assert names(tmp_path) == {"a"}


def on_a_disk_that_holds(folders: int, root: Path) -> Callable[[Path], None]:
    """A writer for which the disk is full while that many other folders are there."""

    def write(folder: Path) -> None:
        writer()(folder)
        if len(names(root)) >= folders:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return write


def test_a_full_disk_costs_the_oldest_folders(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS)
    fill(cache, tmp_path, "a", "b", "c")
    cache.complete("sets", "d", 1000, on_a_disk_that_holds(2, tmp_path))
    assert names(tmp_path) == {"c", "d"}
    assert left_over(tmp_path) == []


def test_a_full_disk_with_nothing_to_remove_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS)
    held = cache.complete("sets", "a", 1000, writer())
    with pytest.raises(DiskFull, match=r"storage\.cache"):
        cache.complete("sets", "b", 1000, on_a_disk_that_holds(1, tmp_path))
    assert names(tmp_path) == {"a"}
    assert left_over(tmp_path) == []
    assert (held[0] / "deep" / "file").exists()


def test_another_error_of_the_disk_removes_nothing(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS)
    fill(cache, tmp_path, "a")

    def fail(folder: Path) -> None:
        raise PermissionError(errno.EACCES, "no")

    with pytest.raises(PermissionError):
        cache.complete("sets", "b", 1000, fail)
    assert names(tmp_path) == {"a"}


def test_what_was_built_here_is_adopted_once(tmp_path: Path) -> None:
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=2500)
    fill(cache, tmp_path, "a", "b")
    for content in ("first", "second"):
        built = cache.scratch()
        (built / "file").write_text(content * 200)
        cache.adopt("indexes", "i", built)
        assert not built.exists()
    folder, lease = cache.complete("indexes", "i", 0, writer())
    assert (folder / "file").read_text() == "first" * 200
    assert names(tmp_path) == {"b"}, "what is adopted counts"
    lease.release()
    cache.make_room(2500)
    assert names(tmp_path, "indexes") == set(), "nobody holds it for ever"


def _hold(root: Path, pipe: Connection) -> None:
    cache = ArtifactCache(root, KINDS, max_bytes=1500)
    held = cache.complete("sets", "a", 1000, writer())
    half = cache.scratch()
    (half / "part").write_bytes(b"x")
    pipe.send(str(held[0]))
    pipe.recv()


def test_another_process_keeps_what_it_uses_until_it_is_killed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_hold, args=(tmp_path, theirs))
    process.start()
    folder = Path(ours.recv())
    used_at(folder, 0)
    cache = ArtifactCache(tmp_path, KINDS, max_bytes=1500)
    cache.complete("sets", "b", 1000, writer())[1].release()
    assert folder.exists()
    assert len(left_over(tmp_path)) == 1, "the scratch folder of a living process"
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    fresh = ArtifactCache(tmp_path, KINDS, max_bytes=1500)
    fresh.complete("sets", "c", 1000, writer())
    assert names(tmp_path) == {"c"}
    assert left_over(tmp_path) == []


def _want(root: Path, log: Path, start: Barrier) -> None:
    cache = ArtifactCache(root, KINDS)

    def write(folder: Path) -> None:
        with log.open("a") as file:
            file.write("written\n")
        writer(100_000)(folder)

    start.wait()
    folder, _ = cache.complete("sets", "a", 1000, write)
    assert (folder / "deep" / "file").stat().st_size == 100_000


def test_several_processes_that_want_one_artifact_write_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(4)
    log = tmp_path / "log"
    processes = [context.Process(target=_want, args=(tmp_path / "cache", log, start)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text() == "written\n"


def _churn(root: Path, seed: int) -> None:
    cache = ArtifactCache(root, KINDS, max_bytes=2500)
    for turn in range(60):
        folder, lease = cache.complete("sets", str((turn * 7 + seed) % 5), 1000, writer())
        assert (folder / "deep" / "file").stat().st_size == 1000, "complete, and here while it is held"
        lease.release()


def test_processes_that_evict_each_others_folders_never_see_half_of_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_churn, args=(tmp_path, seed)) for seed in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(names(tmp_path)) <= 5
    assert left_over(tmp_path) == []
