"""A gallery of coloured tiles under three tiny models, for tests of re-embedding: real images, all parts real."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.catalog import documents, keys
from lookalike.embedding.runtime import Runtime
from lookalike.pipeline.change import NewImage, add_images, delete_image
from lookalike.pipeline.promote import Checks
from lookalike.pipeline.search import QueryParts, search
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from lookalike.types.ids import image_id
from lookalike.types.images import Labels
from lookalike.types.models import ModelManifest, ResizePolicy
from lookalike.types.search import SearchRequest

GALLERY = "tiles"
KINDS = ("red", "green", "blue")
NO_GATE = Checks(min_parity=0)
OLD, NEW, BAD = "old@1", "new@1", "bad@1"
_BLOCKS = {"old": 2, "new": 4, "bad": 4}
EXACT: dict[str, dict[str, object]] = {"exact": {}}
TWO: dict[str, dict[str, object]] = {"exact": {}, "faiss": {}}


@dataclass
class TileEmbedder:
    """Mean colours of blocks: ``old`` sees 2 x 2 of them, ``new`` 4 x 4; ``bad`` sees noise that the bytes decide."""

    manifest: ModelManifest
    seen: list[int]
    runtime: Runtime = field(
        default_factory=lambda: Runtime(precision="float32", device="cpu", batch_size=4, threads=1)
    )
    batch_size: int = 4

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen.append(len(images_NHWC))
        number = _BLOCKS[self.manifest.name]
        side = 16 // number
        rows = (
            images_NHWC.reshape(-1, number, side, number, side, 3).mean(axis=(2, 4)).reshape(len(images_NHWC), -1) + 1
        )
        if self.manifest.name == "bad":
            seeds = [int(image.astype(np.int64).sum()) for image in images_NHWC]
            rows = np.array([np.random.default_rng(seed).standard_normal(48) for seed in seeds]).reshape(-1, 48)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def close(self) -> None: ...


def tile(number: int) -> bytes:
    """A PNG, mostly of the colour of ``KINDS[number % 3]``, that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 60, (16, 16, 3), np.uint8)
    pixels[..., number % 3] += 150
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class Tiles:
    """The gallery ``tiles`` below ``folder``; each one made of the same folder is another process's view of it."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.open(folder, **more)
        for name in _BLOCKS:
            manifest = _manifest(name)
            self.at.store.put(keys.model_manifest(name, 1), documents.encode(manifest))
        self.at.galleries.get_or_create(GALLERY)

    def open(self, folder: Path, **more: str) -> None:
        """Without putting anything into the store."""
        environment = {
            "LOOKALIKE_STORAGE__FOLDER": f"{folder}/store",
            "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache",
            "LOOKALIKE_SEARCH__POLL_S": "0",
            **more,
        }
        wired = wire(load(environment, folder / "none.toml"))
        self.folder = folder
        self.seen: list[int] = []
        self.before_embedding: Callable[[str], None] = lambda model: None
        self.at: Workspace = replace(
            wired, embedder=self._embedder, query=QueryParts(self._embedder, wired.fetch, wired.limits, "exact")
        )

    @property
    def num_embedded(self) -> int:
        return sum(self.seen)

    def put(self, *numbers: int) -> None:
        """Adds :func:`tile` of each number as an upload does; nothing is embedded yet."""
        images = [
            NewImage(f"{number:05}", tile(number), Labels(subcategory=kind, subcategories=(kind,)), {})
            for number in numbers
            for kind in [KINDS[number % 3]]
        ]
        add_images(self.at, GALLERY, images)

    def take(self, *numbers: int) -> None:
        for number in numbers:
            delete_image(self.at, GALLERY, image_id(GALLERY, f"{number:05}"))

    def find(
        self, number: int, *, model: str | None = None, backend: str = "exact", k: int = 3
    ) -> tuple[str, list[int]]:
        """The model that answered for the picture of ``number``, and the numbers that it found."""
        served = self.at.serving.gallery(GALLERY)
        request = SearchRequest(model=model, backend=backend, k=k)
        answer = search(served, request, self.at.query, image=tile(number))
        return answer.model, [int(hit.key) for hit in answer.hits]

    def keys_of(self, model: str | None = None, backend: str = "exact") -> set[int]:
        """Every image that a search can find."""
        return set(self.find(0, model=model, backend=backend, k=1000)[1])

    def keys(self) -> set[int]:
        """Every image of the gallery."""
        version = self.at.galleries.version(GALLERY)
        return {int(record.key) for record in self.at.galleries.records(version)}

    def objects(self) -> dict[str, bytes]:
        """The whole store."""
        return {info.key: self.at.store.get(info.key) for info in self.at.store.list("galleries/")}

    def close(self) -> None:
        self.at.close()

    def _embedder(self, model: str) -> TileEmbedder:
        self.before_embedding(model)
        return TileEmbedder(_manifest(model.partition("@")[0]), self.seen)


def _manifest(name: str) -> ModelManifest:
    return ModelManifest(
        name=name,
        version=1,
        dimension=3 * _BLOCKS[name] ** 2,
        input_size=16,
        resize_policy=ResizePolicy.SQUASH,
        digest=name,
    )
