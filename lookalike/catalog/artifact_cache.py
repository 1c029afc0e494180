"""Folders of this machine's disk that hold copies, up to a size, shared by any number of processes.

A folder is named by what is in it and never changes; it appears complete or not at all. Whoever uses one holds a
shared lock (flock) on the folder itself; who removes one takes it exclusively first. The locks of a process that dies
are gone with it.
"""

import errno
import fcntl
import hashlib
import os
import shutil
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookalike.errors import DiskFull
from lookalike.telemetry.declared import CACHE_BYTES, CACHE_EVICTIONS
from lookalike.telemetry.metrics import PROCESS

_NUM_TURNS = 64  # files by which the writers of one folder take turns; folders share them
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Lease:
    """A shared lock on a folder: nobody removes it until :meth:`release`, or until no reference is left."""

    def __init__(self, descriptor: int) -> None:
        self._close = weakref.finalize(self, os.close, descriptor)

    def release(self) -> None:
        """Ends the lease; a second time does no harm."""
        self._close()


class ArtifactCache:
    """Folders below ``root``, in ``kinds`` of them; at most ``max_bytes`` together, None for any number.

    More is kept only while all that could go is in use.
    """

    def __init__(self, root: Path, kinds: tuple[str, ...], *, max_bytes: int | None = None) -> None:
        self._root = root
        self._kinds = kinds
        self._max_bytes = max_bytes
        self._scratches: dict[Path, Lease] = {}
        self._swept = False
        self._lock = threading.Lock()

    def complete(self, kind: str, name: str, size_bytes: int, write: Callable[[Path], None]) -> tuple[Path, Lease]:
        """The folder ``kind/name``, written by ``write`` into an empty folder when it isn't there.

        Several that want it at once write it once. ``size_bytes`` is about what it needs. Raises DiskFull when there
        is no room although all that nobody uses was removed, and whatever ``write`` raises; nothing is left then.
        """
        target = self._root / kind / name
        while True:
            lease = self._lease(target)
            if lease is not None:
                return target, lease
            with self._turn(target):
                if not target.exists():
                    self._write(target, size_bytes, write)

    def adopt(self, kind: str, name: str, built: Path) -> None:
        """Makes ``built``, a scratch folder, the folder ``kind/name``; where that is there already, it stays."""
        target = self._root / kind / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._turn(target):
            if target.exists():
                shutil.rmtree(built)
            else:
                self.make_room(_size(built))
                os.utime(built)
                built.rename(target)
                self._tell_size()
        self._let_go(built)

    def scratch(self) -> Path:
        """A new empty folder on the same file system. It is removed by whoever takes it, or after its process."""
        self._sweep()
        while True:
            folder = self._root / "scratch" / uuid.uuid4().hex
            folder.mkdir(parents=True)
            lease = self._lease(folder)
            if lease is not None:  # else another process took it for a dead one's
                break
        with self._lock:
            self._scratches = {path: held for path, held in self._scratches.items() if path.exists()}
            self._scratches[folder] = lease
        return folder

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        """:meth:`scratch`, removed at the end with whatever is in it."""
        folder = self.scratch()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._let_go(folder)

    def make_room(self, size_bytes: int) -> None:
        """Removes the folders that were not used for longest until ``size_bytes`` more are within the limit."""
        if self._max_bytes is None:
            return
        folders = self._folders()
        over = sum(size for _, size in folders) + size_bytes - self._max_bytes
        for folder, size in folders:
            if over <= 0:
                return
            if self._evict(folder):
                over -= size

    def _write(self, target: Path, size_bytes: int, write: Callable[[Path], None]) -> None:
        self.make_room(size_bytes)
        while True:
            with self.temporary() as temporary:
                try:
                    write(temporary)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    temporary.rename(target)
                    self._tell_size()
                    return
                except OSError as error:
                    if error.errno not in _FULL:
                        raise
            # What was written so far is gone. The limit says more than the disk holds: older folders go as well.
            if not self._free(size_bytes):
                raise DiskFull(
                    f"no room for {size_bytes} bytes in the cache folder {self._root}, and nothing there that could "
                    "be removed: free disk space, or name another folder in storage.cache",
                    size_bytes=size_bytes,
                )

    def _free(self, size_bytes: int) -> bool:
        """Removes folders until ``size_bytes`` are freed; whether any could be removed."""
        freed, removed = 0, False
        for folder, size in self._folders():
            if freed >= size_bytes:
                break
            if self._evict(folder):
                freed, removed = freed + size, True
        return removed

    def _evict(self, folder: Path) -> bool:
        """:meth:`_remove`, counted."""
        removed = self._remove(folder)
        if removed:
            PROCESS.count(CACHE_EVICTIONS)
        return removed

    def _tell_size(self) -> None:
        PROCESS.set(CACHE_BYTES, sum(size for _, size in self._folders()))

    def _let_go(self, scratch: Path) -> None:
        with self._lock:
            self._scratches.pop(scratch, None)

    def _lease(self, folder: Path) -> Lease | None:
        """A lease on the folder as it is now, marked as just used; None where there is none."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return None
        lease = Lease(descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        try:
            is_there = os.path.samestat(os.fstat(descriptor), folder.stat())
        except FileNotFoundError:
            is_there = False
        if not is_there:  # renamed away while we waited
            lease.release()
            return None
        with suppress(PermissionError):  # of another user: then only they say when it was used
            os.utime(folder)
        return lease

    def _remove(self, folder: Path) -> bool:
        """Removes a folder unless it is in use; whether it did."""
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            gone = self._root / "scratch" / uuid.uuid4().hex
            gone.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(gone)  # nobody finds half of it
            shutil.rmtree(gone, ignore_errors=True)
            return True
        except OSError:  # in use, or removed by another process
            return False
        finally:
            os.close(descriptor)

    def _folders(self) -> list[tuple[Path, int]]:
        """The folders of all kinds with their sizes, the one not used for longest first."""
        found = []
        for kind in self._kinds:
            with suppress(FileNotFoundError):
                for folder in (self._root / kind).iterdir():
                    with suppress(OSError):
                        found.append((folder.stat().st_mtime_ns, folder, _size(folder)))
        return [(folder, size) for _, folder, size in sorted(found)]

    def _sweep(self) -> None:
        """Removes, once, what processes that are no more left in the scratch folder."""
        with self._lock:
            if self._swept:
                return
            self._swept = True
        with suppress(FileNotFoundError):
            for folder in list((self._root / "scratch").iterdir()):
                self._remove(folder)

    @contextmanager
    def _turn(self, target: Path) -> Iterator[None]:
        """One thread of one process at a time."""
        digest = hashlib.sha256(f"{target.parent.name}/{target.name}".encode()).digest()
        turns = self._root / "turns"
        turns.mkdir(parents=True, exist_ok=True)
        with (turns / str(digest[0] % _NUM_TURNS)).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _size(folder: Path) -> int:
    """Bytes of the files below ``folder`` that are there."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            if path.is_file():
                total += path.stat().st_size
    return total
