"""In which order a restore writes what a backup has: last what makes the rest count."""

from enum import IntEnum

from lookalike.catalog import keys
from lookalike.catalog.snapshot import is_pointer
from lookalike.jobs.lanes import LANES
from lookalike.jobs.records import JOBS

_PLANS = "plans/"
_MANIFESTS = ("index.json", "part.json", "manifest.json")


class Rank(IntEnum):
    """One after the other. Indexes that must be built are built before ``LIVE``."""

    CONTENT = 0
    MANIFEST = 1
    SET = 2
    LIVE = 3
    GALLERY = 4
    JOB = 5
    LANE = 6


# Where the objects of each are.
WHERE = {
    Rank.CONTENT: ("",),
    Rank.MANIFEST: ("",),
    Rank.SET: (keys.GALLERIES,),
    Rank.LIVE: (keys.GALLERIES,),
    Rank.GALLERY: (keys.GALLERIES,),
    Rank.JOB: (_PLANS, JOBS),
    Rank.LANE: (LANES,),
}


def rank_of(key: str) -> Rank:
    """When the object under ``key`` is written."""
    if is_pointer(key):
        if key.endswith("/gallery.json"):
            return Rank.GALLERY
        return Rank.LIVE if key.endswith("/live.json") else Rank.SET
    if key.startswith(LANES):
        return Rank.LANE
    if key.startswith((JOBS, _PLANS)):
        return Rank.JOB
    return Rank.MANIFEST if key.endswith(_MANIFESTS) else Rank.CONTENT
