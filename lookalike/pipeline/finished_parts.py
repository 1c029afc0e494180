"""What is embedded already, by whichever run: the finished parts of one gallery under one model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets, PartFailure, SetPart, contains
from lookalike.types.ids import as_keys

_NOTHING = np.zeros((0, 48), np.uint8)


@dataclass(frozen=True)
class FinishedParts:
    """Finished parts, those of the newest set first and in its order, then those that it does not use.

    The latter are of a run that was interrupted, or of an earlier state of the gallery. ``items`` are those of
    all their rows, ``S48 [N]`` and sorted: the only thing here that grows with the gallery, 48 bytes an image.
    ``failures`` are the images that a part left out.
    """

    sets: EmbeddingSets
    gallery: str
    model_digest: str
    part_ids: tuple[str, ...]
    items: NDArray[np.bytes_]
    failures: tuple[PartFailure, ...]

    def serving(self, wanted: NDArray[np.bytes_]) -> list[SetPart]:
        """The parts as a set of ``wanted`` (sorted ``S48``) uses them: rows of other images excluded, each item once.

        Parts of which nothing is wanted are left out. One part at a time is in memory.
        """
        doubled = np.unique(self.items[1:][self.items[1:] == self.items[:-1]])
        seen = np.zeros(doubled.size, dtype=bool)
        used: list[SetPart] = []
        missing = wanted.size
        for identifier in self.part_ids:
            if missing == 0:
                break
            _, items_N48 = self.sets.read_items(self.gallery, self.model_digest, identifier)
            keep = contains(wanted, items_N48)
            if doubled.size:
                again = np.flatnonzero(contains(doubled, items_N48))
                positions = np.searchsorted(doubled, as_keys(items_N48)[again])
                keep[again] &= ~seen[positions]
                seen[positions] = True
            if keep.any():
                excluded = tuple(int(row) for row in np.flatnonzero(~keep))
                used.append(SetPart(part_id=identifier, num_rows=len(items_N48), excluded_rows=excluded))
                missing -= len(items_N48) - len(excluded)
        return used


def sorted_items(items: list[NDArray[np.uint8]]) -> NDArray[np.bytes_]:
    """uint8 ``[N, 48]`` arrays as one sorted ``S48`` array. Empties the list, so that no row is held twice for long."""
    joined = as_keys(np.concatenate([_NOTHING, *items]))
    items.clear()
    joined.sort()
    return joined


def finished_parts(sets: EmbeddingSets, gallery: str, model_digest: str, newest: EmbeddingSet | None) -> FinishedParts:
    """Reads what every finished part is of. A part of ``newest`` that somebody removed does not count.

    Raises DamagedArtifact, naming the file, for one whose bytes are not those that were written.
    """
    in_set = [part.part_id for part in newest.parts] if newest else []
    done = set(sets.finished_parts(gallery, model_digest))
    ordered = [identifier for identifier in in_set if identifier in done]
    ordered += sorted(done.difference(in_set))
    items: list[NDArray[np.uint8]] = []
    failures: list[PartFailure] = []
    for identifier in ordered:
        manifest, items_N48 = sets.read_items(gallery, model_digest, identifier)
        items.append(items_N48)
        failures.extend(manifest.failures)
    return FinishedParts(sets, gallery, model_digest, tuple(ordered), sorted_items(items), tuple(failures))
