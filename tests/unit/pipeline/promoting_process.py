"""A process that promotes: ``python promoting_process.py STORE NUMBER COUNT``; it waits for a line on its input."""

import sys
from pathlib import Path

from lookalike.catalog.live import LiveModel, LivePointers
from lookalike.storage.local import LocalStore


def main() -> None:
    store, number, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    pointers = LivePointers(LocalStore(store))
    print("ready", flush=True)  # noqa: T201 -- what its parent waits for
    sys.stdin.readline()
    for attempt in range(count):
        entry = LiveModel(
            model=f"m{number}-{attempt}@1",
            model_digest="0" * 64,
            base="base",
            newest="base",
            indexes={"exact": f"exact-{number}-{attempt}"},
            promoted_at="",
        )
        pointers.promote("busy", version_id=lambda: "0" * 32, entry=entry)


if __name__ == "__main__":
    main()
