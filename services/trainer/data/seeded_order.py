"""An order of images that depends on a seed and on each image's key alone."""

import hashlib
from collections.abc import Sequence


def ranks_within(keys: Sequence[str], strata: Sequence[str | int], seed: int, purpose: str) -> list[tuple[int, int]]:
    """For each image its place among those of its stratum, from 0, and their number.

    Places follow a hash of ``purpose``, ``seed`` and key, so that an image more moves the others by at most one place,
    and the order for one purpose says nothing of that for another.
    """
    members: dict[str | int, list[int]] = {}
    for row, stratum in enumerate(strata):
        members.setdefault(stratum, []).append(row)
    places = [(0, 0)] * len(keys)
    for rows in members.values():
        rows.sort(key=lambda row: (_hash(purpose, seed, keys[row]), keys[row]))
        for place, row in enumerate(rows):
            places[row] = (place, len(rows))
    return places


def subset(keys: Sequence[str], strata: Sequence[str], num_wanted: int, seed: int) -> list[int]:
    """At most ``num_wanted`` rows, ascending, in the proportions of the strata.

    Rows are taken by (place + 1/2) / number in the stratum, which shares out as Sainte-Laguë's method does seats; a
    greater ``num_wanted`` gives a superset.
    """
    places = ranks_within(keys, strata, seed, "subset")

    def turn(row: int) -> tuple[float, bytes]:
        place, number = places[row]
        return (place + 0.5) / number, _hash("tie", seed, keys[row])

    return sorted(sorted(range(len(keys)), key=turn)[:num_wanted])


def _hash(purpose: str, seed: int, key: str) -> bytes:
    return hashlib.sha256(f"{purpose}/{seed}/{key}".encode()).digest()
