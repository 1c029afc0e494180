"""Which bytes a place of backups has: their digests, 32 bytes of memory each."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.pipeline.backup_format import OBJECTS
from lookalike.storage.port import ObjectStore

_CHUNK = 1 << 16
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Digests:
    """SHA-256 digests; ``sorted_digests`` is S32, ascending."""

    sorted_digests: NDArray[np.bytes_]

    @classmethod
    def none(cls) -> "Digests":
        return cls(np.zeros(0, "S32"))

    @classmethod
    def of(cls, digests: Iterable[str]) -> "Digests":
        """Of hexadecimal digests in any order."""
        chunks: list[NDArray[np.bytes_]] = []
        pending = bytearray()
        for digest in digests:
            pending += bytes.fromhex(digest)
            if len(pending) >= 32 * _CHUNK:
                chunks.append(np.unique(np.frombuffer(bytes(pending), "S32")))
                pending.clear()
        chunks.append(np.frombuffer(bytes(pending), "S32"))
        return cls(np.unique(np.concatenate(chunks)))

    def __contains__(self, digest: str) -> bool:
        wanted = np.frombuffer(bytes.fromhex(digest), "S32")
        position = int(np.searchsorted(self.sorted_digests, wanted)[0])
        return position < self.sorted_digests.size and bool(self.sorted_digests[position] == wanted[0])

    def __len__(self) -> int:
        return int(self.sorted_digests.size)


def known_objects(place: ObjectStore) -> Digests:
    """What is in ``objects/`` of the place."""
    return Digests.of(digest for digest, _ in listed_objects(place))


def listed_objects(place: ObjectStore) -> Iterator[tuple[str, str]]:
    """Digest and key of each object in ``objects/``; what others have left there, such as a ``.DS_Store``, is none."""
    for info in place.list(OBJECTS):
        name = info.key.rpartition("/")[2]
        if _DIGEST.fullmatch(name):
            yield name, info.key
