"""A gallery of tiny images in a store of files, and an embedder whose answers depend on what it sees."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lookalike.catalog.embedding_sets import EmbeddingSet, EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.local_artifacts import LocalArtifacts, SetMatrix
from lookalike.embedding.runtime import Runtime
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.embed import EmbedReport, embed
from lookalike.pipeline.ingest import store_image
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectStore
from lookalike.types.ids import image_id, sha256_hex
from lookalike.types.images import ImageRecord, Labels
from lookalike.types.models import ModelManifest, ResizePolicy

GALLERY = "small"
PART_IMAGES = 8


@dataclass
class BlockEmbedder:
    """The mean colours of 4 x 4 blocks: the same image has the same 48 numbers, whatever else is in its batch."""

    precision: str = "float32"
    batch_size: int = 3
    seen: Callable[[int], None] = lambda number: None
    num_embedded: int = 0
    manifest: ModelManifest = field(
        default_factory=lambda: ModelManifest(
            name="blocks", version=1, dimension=48, input_size=16, resize_policy=ResizePolicy.SQUASH, digest="b10c"
        )
    )

    @property
    def runtime(self) -> Runtime:
        return Runtime(precision=self.precision, device="cpu", batch_size=self.batch_size, threads=1)

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.seen(len(images_NHWC))
        self.num_embedded += len(images_NHWC)
        blocks = images_NHWC.reshape(-1, 4, 4, 4, 4, 3).mean(axis=(2, 4), dtype=np.float64).reshape(-1, 48)
        embeddings = (blocks + 1).astype(np.float32)
        return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)

    def close(self) -> None: ...


def picture(number: int) -> bytes:
    """A PNG that no other number gives."""
    file = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


class SmallGallery:
    """The gallery ``small`` in the store below ``folder``."""

    def __init__(self, folder: Path, store: ObjectStore | None = None) -> None:
        self.store = store or LocalStore(folder / "store")
        self.galleries, self.sets, self.ledger = Galleries(self.store), EmbeddingSets(self.store), Ledger(self.store)
        self.artifacts = LocalArtifacts(folder / "cache", self.store, self.sets)

    def put(self, *numbers: int, prefix: str = "") -> None:
        """Puts :func:`picture` of each number under the key of that number."""
        self.galleries.get_or_create(GALLERY)
        records = {}
        for number in numbers:
            key = f"{prefix}{number:05}"
            records[key] = store_image(
                self.store, GALLERY, key, picture(number), limits=ImageLimits(), labels=Labels(), metadata={}
            )
        self.galleries.apply(GALLERY, records)

    def put_bytes(self, key: str, data: bytes) -> None:
        """Bytes that ingest would have refused, as if they had passed."""
        digest = sha256_hex(data)
        self.store.put(f"galleries/{GALLERY}/images/{digest[:2]}/{digest}", data)
        record = ImageRecord(
            image_id=image_id(GALLERY, key),
            key=key,
            sha256=digest,
            size_bytes=len(data),
            width=1,
            height=1,
            format="png",
        )
        self.galleries.apply(GALLERY, {key: record})

    def take(self, *numbers: int) -> None:
        self.galleries.apply(GALLERY, {f"{number:05}": None for number in numbers})

    def embed(self, embedder: BlockEmbedder, *, retry_failed: bool = False) -> EmbedReport:
        return embed(
            self.store,
            self.galleries,
            self.sets,
            self.ledger,
            GALLERY,
            embedder,
            limits=ImageLimits(),
            retry_failed=retry_failed,
            part_images=PART_IMAGES,
        )

    def newest(self) -> EmbeddingSet:
        found = self.sets.newest(GALLERY, BlockEmbedder().manifest.embedding_digest)
        assert found is not None
        return found

    def by_item(self) -> dict[bytes, bytes]:
        """The bits of every embedding of the newest set by image_id and digest; each item is there once."""
        matrix: SetMatrix = self.artifacts.matrix(self.newest())
        found = {
            item.tobytes(): row.tobytes() for item, row in zip(matrix.items_N48, matrix.embeddings_ND, strict=True)
        }
        assert len(found) == len(matrix.items_N48) == self.newest().num_embeddings
        return found
