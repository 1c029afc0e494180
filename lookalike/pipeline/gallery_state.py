"""What can be said of a gallery as it is served."""

from pydantic import BaseModel, ConfigDict

from lookalike.pipeline.workspace import Workspace


class GalleryState(BaseModel):
    """``pending_adds`` are searched exactly beside each model's indexes; ``pending_deletes`` are filtered out."""

    model_config = ConfigDict(frozen=True)

    name: str
    created_at: str
    description: str
    num_images: int
    labels: dict[str, dict[str, int]]
    default_model: str | None
    live: dict[str, dict[str, str]]
    pending_adds: dict[str, int]
    pending_deletes: dict[str, int]
    num_failures: int
    sources: dict[str, str]


def gallery_state(workspace: Workspace, name: str) -> GalleryState:
    """Raises GalleryNotFound."""
    pointer = workspace.galleries.get(name)
    served = workspace.serving.refresh(name)
    adds, deletes = {}, {}
    for model, entry in served.live.models.items():
        base = workspace.sets.get(name, entry.base)
        newest = workspace.sets.get(name, entry.newest)
        rows = {part.part_id: part for part in base.parts}
        kept = sum(min(p.num_embeddings, rows[p.part_id].num_embeddings) for p in newest.parts if p.part_id in rows)
        adds[model] = newest.num_embeddings - kept
        deletes[model] = base.num_embeddings - kept
    return GalleryState(
        name=name,
        created_at=pointer.created_at,
        description=pointer.description,
        num_images=workspace.galleries.version(name, pointer.version_id).num_images,
        labels=served.table.label_counts(),
        default_model=served.live.default_model,
        live={model: dict(entry.indexes) for model, entry in served.live.models.items()},
        pending_adds=adds,
        pending_deletes=deletes,
        num_failures=len(workspace.ledger.all(name)),
        sources=pointer.sources,
    )
