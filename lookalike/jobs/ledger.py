"""The failure ledger: what could not be done, why, and how often it was tried.

One object per gallery and stage, JSON lines in key order, written when a run ends. An entry leaves the ledger
when its image succeeds or is no longer in the source.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from lookalike.catalog import keys
from lookalike.errors import ObjectNotFound
from lookalike.storage.port import ObjectStore

INGEST = "ingest"


def embed_stage(embedding_digest: str) -> str:
    """The stage name of embedding under one model."""
    return f"embed-{embedding_digest[:16]}"


class Failure(BaseModel):
    """One image at one stage. ``version`` is the stamp or digest of the bytes that failed: others are tried anew."""

    model_config = ConfigDict(frozen=True)

    key: str
    stage: str
    code: str
    reason: str
    attempts: int = 1
    version: str | None = None
    image_id: str | None = None
    source: str = ""


@dataclass(frozen=True)
class Ledger:
    """The failure ledgers of one object store."""

    store: ObjectStore

    def entries(self, gallery: str, stage: str) -> list[Failure]:
        """The entries of one stage in key order; several sources may each have one under the same key."""
        try:
            lines = self.store.get(keys.failures(gallery, stage)).splitlines()
        except ObjectNotFound:
            return []
        return [Failure.model_validate_json(line) for line in lines]

    def read(self, gallery: str, stage: str) -> dict[str, Failure]:
        """The entries of one stage by image key, for stages that know no sources."""
        return {failure.key: failure for failure in self.entries(gallery, stage)}

    def write(self, gallery: str, stage: str, failures: Iterable[Failure]) -> None:
        """Replaces the entries of one stage."""
        ordered = sorted(failures, key=lambda failure: (failure.key, failure.source))
        key = keys.failures(gallery, stage)
        if ordered:
            self.store.put(key, b"".join(failure.model_dump_json().encode() + b"\n" for failure in ordered))
        else:
            self.store.delete(key)

    def all(self, gallery: str) -> list[Failure]:
        """Every entry of ``gallery``, by stage and key."""
        found: list[Failure] = []
        for info in self.store.list(f"{keys.gallery_folder(gallery)}failures/"):
            stage = info.key.rpartition("/")[2].removesuffix(".jsonl")
            found.extend(self.entries(gallery, stage))
        return found
