"""With what the embeddings of a gallery were made."""

from collections import Counter
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from lookalike.embedding.runtime import Runtime
from lookalike.pipeline.workspace import Workspace


class SharedOrigin(BaseModel):
    """Embeddings that one runtime made; several where compaction joined parts, none for parts of before lineage."""

    model_config = ConfigDict(frozen=True)

    made_with: tuple[Runtime, ...]
    num_parts: int
    num_embeddings: int


class SetLineage(BaseModel):
    """The newest embedding set of a gallery under one model, by origin, the most embeddings first."""

    model_config = ConfigDict(frozen=True)

    model: str
    set_id: str
    num_embeddings: int
    origins: tuple[SharedOrigin, ...]


def lineage(workspace: Workspace, gallery: str) -> Iterator[SetLineage]:
    """One for every model under which ``gallery`` is embedded; reads the manifest of every part."""
    seen = set()
    for manifest in workspace.models.list():
        embedding_set = workspace.sets.newest(gallery, manifest.embedding_digest)
        if embedding_set is None or manifest.embedding_digest in seen:
            continue
        seen.add(manifest.embedding_digest)
        counts: Counter[str] = Counter()
        parts: Counter[str] = Counter()
        origins: dict[str, tuple[Runtime, ...]] = {}
        for part, made in zip(embedding_set.parts, workspace.sets.lineage(embedding_set), strict=True):
            said = "".join(runtime.model_dump_json() for runtime in made.made_with)
            origins[said] = made.made_with
            counts[said] += part.num_embeddings
            parts[said] += 1
        yield SetLineage(
            model=embedding_set.model,
            set_id=embedding_set.set_id,
            num_embeddings=embedding_set.num_embeddings,
            origins=tuple(
                SharedOrigin(made_with=origins[said], num_parts=parts[said], num_embeddings=number)
                for said, number in counts.most_common()
            ),
        )
