"""A process for test_restore.py: restores the backup of a folder, and waits before each write to be told to go on."""

import os
import sys
from dataclasses import replace
from pathlib import Path

from lookalike.bootstrap import wire
from lookalike.pipeline.backup_format import find_backup
from lookalike.pipeline.restore import restore
from lookalike.settings import load
from lookalike.storage.local import LocalStore


class SayingStore(LocalStore):
    """Says before each write which key it is for, and goes on when it is told to."""

    def put(self, key: str, data: bytes) -> str:
        os.write(1, f"{key}\n".encode())
        os.read(0, 1)
        return super().put(key, data)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    workspace = replace(wire(load(environment, folder / "none.toml")), store=SayingStore(folder / "store"))
    place = LocalStore(Path(sys.argv[2]))
    with workspace.artifacts.temporary() as scratch:
        restore(workspace, place, find_backup(place, None), scratch, threads=1)
