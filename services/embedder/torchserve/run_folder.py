"""The folder in which one TorchServe runs: its configuration, its keys, its model store, what it unpacks."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lookalike.errors import InvalidRequest

_LOCK = "lock"
_MAX_SOCKET_PATH = 107  # of a Unix socket, on Linux
_LONGEST_SOCKET = "/tmp/.ts.sock.9000000"  # noqa: S108 below the folder


@contextmanager
def run_folder(parent: Path) -> Iterator[Path]:
    """A new folder, which only this user may read, for as long as it is within; then it is gone.

    What processes that were killed have left in ``parent`` is removed first. Raises InvalidRequest where its path would
    be too long for the sockets in it.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent)).resolve()
    if len(str(folder)) + len(_LONGEST_SOCKET) > _MAX_SOCKET_PATH:
        folder.rmdir()
        raise InvalidRequest(f"storage.cache is too long a path for TorchServe's sockets: {folder}")
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob("run-*"):
        with suppress(OSError), (folder / _LOCK).open("r+") as lock:  # another one's, or half removed
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
