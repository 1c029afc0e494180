"""A backup that is killed at any write: there is none of it, and the next copies only what is missing."""

import subprocess
import sys
from pathlib import Path

from backed_up import GALLERY, backed_up, tiles_in

from lookalike.pipeline.backup_format import BACKUPS, OBJECTS, find_backup
from lookalike.pipeline.backup_lock import locked
from lookalike.pipeline.backup_verify import verify
from lookalike.storage.local import LocalStore


def killed_after(writes: int, *arguments: Path) -> list[str]:
    """Runs a backup and kills it before the write after so many; says for which keys these were."""
    program = Path(__file__).with_name("backup_until_killed.py")
    command = [sys.executable, str(program), *map(str, arguments)]
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


def test_killed_at_any_write_there_is_no_backup_and_the_next_goes_on(tmp_path: Path) -> None:
    tiles = tiles_in(tmp_path / "one")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    try:
        whole = backed_up(tiles, LocalStore(tmp_path / "whole"))
        everything = {info.key for info in LocalStore(tmp_path / "whole").list(OBJECTS)}
        for writes in (1, 30, whole.new_objects, whole.new_objects + len(whole.parts)):
            folder = tmp_path / f"killed after {writes}"
            place = LocalStore(folder)
            written = killed_after(writes, tmp_path / "one" / "store", folder, scratch)
            assert len(written) == writes
            assert list(place.list(BACKUPS)) == []
            objects = {key for key in written if key.startswith(OBJECTS)}
            assert len(list(place.list(OBJECTS))) == len(objects)
            waited: list[float] = []
            made = backed_up(tiles, place, lock=locked(place, lease_s=0.1, sleep=waited.append))
            assert waited == [0.1]  # whoever was killed had the lock
            assert made.new_objects <= whole.new_objects - len(objects)
            assert {info.key for info in place.list(OBJECTS)} == everything
            assert made.parts == whole.parts
            assert verify(place, find_backup(place, None), scratch).num_damaged == 0
        assert GALLERY in whole.galleries
    finally:
        tiles.close()
