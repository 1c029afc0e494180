"""A process for test_embed_killed.py: embeds the gallery in a folder.

Before every step it says what it does, and waits for a byte: the test lets it do so many steps and no more.
"""

import os
import sys
from pathlib import Path

from small_gallery import BlockEmbedder, SmallGallery

from lookalike.storage.local import LocalStore


class SayingStore(LocalStore):
    """Says before each write that it comes."""

    def put(self, key: str, data: bytes) -> str:
        say("put")
        return super().put(key, data)

    def put_if(self, key: str, data: bytes, *, etag: str | None) -> str:
        say("put_if")
        return super().put_if(key, data, etag=etag)


def say(what: str) -> None:
    os.write(1, f"{what}\n".encode())  # one call, so that threads don't mix their lines
    os.read(0, 1)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    gallery = SmallGallery(folder, SayingStore(folder / "store"))
    gallery.embed(BlockEmbedder(seen=lambda number: say(f"embed {number}")))
    say("done")
