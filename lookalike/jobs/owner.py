"""Whether the process that owns a job still lives, told by a lock that the kernel releases when it dies."""

import fcntl
import uuid
from pathlib import Path


class JobOwner:
    """This process as an owner of jobs: a locked file of its own in ``folder``, which is on this machine.

    Process ids are not used: they come again, and in a container every process is number 1.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.owner_id = uuid.uuid4().hex
        self._path = folder / f"{self.owner_id}.lock"
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def is_alive(self, owner_id: str) -> bool:
        """Whether the process called ``owner_id`` runs on this machine. One of another machine counts as gone."""
        try:
            with (self._folder / f"{owner_id}.lock").open("r+") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                Path(file.name).unlink(missing_ok=True)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def release(self) -> None:
        """This process owns nothing any more."""
        self._path.unlink(missing_ok=True)
        self._file.close()
