"""A process for test_backup_killed.py: backs up a store, and waits before each write to be told to go on."""

import os
import sys
from pathlib import Path

from lookalike.pipeline.backup import back_up
from lookalike.pipeline.backup_lock import LOCK, locked
from lookalike.storage.local import LocalStore


class SayingStore(LocalStore):
    """Says before each write which key it is for, and goes on when it is told to."""

    def put(self, key: str, data: bytes) -> str:
        if key != LOCK:
            os.write(1, f"{key}\n".encode())
            os.read(0, 1)
        return super().put(key, data)


if __name__ == "__main__":
    store, place, scratch = map(Path, sys.argv[1:])
    to = SayingStore(place)
    back_up(LocalStore(store), to, scratch, lock=locked(to), threads=1)
