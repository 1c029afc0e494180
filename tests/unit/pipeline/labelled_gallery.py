"""A gallery of labelled images whose embeddings a test chooses: nothing is decoded, no model runs."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.bootstrap import wire
from lookalike.catalog.embedding_sets import EmbeddingSet, Part, SetPart, kept_rows, pack_items, part_id
from lookalike.catalog.live import Live
from lookalike.pipeline.index_gallery import build_indexes, promote_indexes
from lookalike.pipeline.promote import Checks, follow_gallery
from lookalike.settings import load
from lookalike.types.ids import image_id
from lookalike.types.images import ImageRecord, Labels

GALLERY = "labelled"
BACKENDS = ("exact", "faiss", "annoy", "qdrant")
NO_CHECKS = Checks(min_parity=0)
Rows = NDArray[np.float32]

TAXONOMY = {"cat": "animal", "dog": "animal", "cow": "animal", "pizza": "food", "cake": "food"}


def photo(*subs: str) -> Labels:
    """Labels of an image that shows ``subs``; with exactly one, that is its single label too."""
    supers = tuple(sorted({TAXONOMY[sub] for sub in subs}))
    one = subs[0] if len(subs) == 1 else None
    return Labels(
        subcategory=one,
        supercategory=TAXONOMY[one] if one else None,
        subcategories=tuple(sorted(subs)),
        supercategories=supers,
    )


def unit(rows: object) -> Rows:
    """Rows of length 1."""
    made = np.asarray(rows, np.float32)
    return made / np.linalg.norm(made, axis=-1, keepdims=True)


class LabelledGallery:
    """The gallery ``labelled`` in a workspace below ``folder``; ``model`` is ``name@version``."""

    def __init__(self, folder: Path) -> None:
        environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
        self.at = wire(load(environment, folder / "none.toml"))
        self.at.galleries.create(GALLERY)

    def put(self, images: Mapping[str, Labels], *, version: int = 0) -> None:
        """Adds images by key, or replaces them; ``version`` stands for their bytes."""
        records = {
            key: ImageRecord(
                image_id=image_id(GALLERY, key),
                key=key,
                sha256=f"{version:032x}{int.from_bytes(key.encode()):032x}"[-64:],
                size_bytes=1,
                width=1,
                height=1,
                format="PNG",
                labels=labels,
            )
            for key, labels in images.items()
        }
        self.at.galleries.apply(GALLERY, records)
        self._follow()

    def take(self, *keys: str) -> None:
        self.at.galleries.apply(GALLERY, dict.fromkeys(keys))
        self._follow()

    def embed(self, model: str, embeddings: Mapping[str, Rows]) -> EmbeddingSet:
        """Gives images that have no embedding under ``model`` theirs, by key; others stay without."""
        digest = model.encode().hex().ljust(64, "0")
        version = self.at.galleries.version(GALLERY)
        records = list(self.at.galleries.records(version))
        wanted = {item.tobytes(): record for item, record in zip(pack_items(records), records, strict=True)}
        newest = self.at.sets.newest(GALLERY, digest)
        parts, present = [], set()
        for used in () if newest is None else newest.parts:
            items = self.at.sets.read_part(GALLERY, digest, used.part_id).items_N48
            gone = [row for row, item in enumerate(items) if item.tobytes() not in wanted]
            parts.append(SetPart(part_id=used.part_id, num_rows=used.num_rows, excluded_rows=tuple(gone)))
            present |= {items[row].tobytes() for row in kept_rows(parts[-1])}
        new = [record for item, record in wanted.items() if item not in present and record.key in embeddings]
        if new:
            part = Part(unit([embeddings[record.key] for record in new]), pack_items(new))
            name = part_id(digest, part.items_N48, 0)
            self.at.sets.write_part(GALLERY, digest, name, part)
            parts.append(SetPart(part_id=name, num_rows=len(new)))
        made = EmbeddingSet(
            gallery=GALLERY,
            version_id=version.version_id,
            model=model,
            model_digest=digest,
            dimension=len(next(iter(embeddings.values()))),
            parts=tuple(parts),
        )
        self.at.sets.finish(made)
        self._follow()
        return made

    def promote(self, made: EmbeddingSet, backends: Sequence[str] = BACKENDS, checks: Checks = NO_CHECKS) -> Live:
        return promote_indexes(self.at, GALLERY, made, build_indexes(self.at, GALLERY, made, backends), checks=checks)

    def _follow(self) -> None:
        follow_gallery(self.at.galleries, self.at.sets, self.at.pointers, GALLERY)


def random_gallery(num_images: int, *, dimension: int = 16, seed: int = 0) -> tuple[dict[str, Labels], dict[str, Rows]]:
    """Images of every kind: one label, two, none, a label that nobody else has; some embeddings are the same."""
    rng = np.random.default_rng(seed)
    subs = ["cat", "dog", "cow", "pizza"]
    centres = {sub: rng.standard_normal(dimension) for sub in subs}
    images, embeddings = {}, {}
    for number in range(num_images):
        shown = list(rng.choice(subs, size=rng.choice([0, 1, 1, 1, 2]), replace=False))
        key = f"{number:04d}"
        images[key] = photo(*shown)
        embeddings[key] = sum((centres[sub] for sub in shown), start=1.5 * rng.standard_normal(dimension))
        if number % 7 == 3:
            embeddings[key] = embeddings[f"{number - 1:04d}"]
    images[f"{num_images:04d}"] = photo("cake")
    embeddings[f"{num_images:04d}"] = rng.standard_normal(dimension)
    return images, embeddings
