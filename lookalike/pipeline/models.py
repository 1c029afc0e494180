"""Ways to have a model: torchvision's, the built-in baselines, an archive."""

from pathlib import Path

from lookalike.embedding.archive import read_manifest, read_program, write_archive
from lookalike.errors import InvalidRequest
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelManifest, ResizePolicy


def import_model(
    workspace: Workspace,
    source: str,
    *,
    weights: Path | None = None,
    pooled: bool = True,
    resize_policy: ResizePolicy = ResizePolicy.LETTERBOX,
    name: str | None = None,
    mean: str | None = None,
    std: str | None = None,
) -> ModelManifest:
    """``torchvision:NAME`` or ``baseline:NAME`` as the next version of a model in the store.

    Raises InvalidRequest for another source, and what the importers raise.
    """
    kind, _, wanted = source.partition(":")
    if kind == "baseline":
        from lookalike.embedding.baselines import build_baseline

        program, manifest = build_baseline(wanted)
    elif kind == "torchvision":
        from lookalike.embedding.torchvision_import import import_torchvision

        program, manifest = import_torchvision(
            wanted,
            weights=weights,
            pooled=pooled,
            resize_policy=resize_policy,
            mean=_channels(mean, "mean"),
            std=_channels(std, "std"),
        )
    else:
        raise InvalidRequest(f"not a model source: {source!r:.100} (torchvision:NAME or baseline:NAME)")
    if name is not None:
        manifest = ModelManifest.model_validate({**manifest.model_dump(), "name": name})
    archive = workspace.artifacts.scratch() / "model.mar"
    complete = write_archive(archive, program, manifest)
    return workspace.models.add(archive, complete)


def register_archive(workspace: Workspace, archive: Path) -> ModelManifest:
    """Checks an archive and stores it. Raises InvalidArchive, DamagedArtifact."""
    read_program(archive)
    return workspace.models.add(archive, read_manifest(archive))


def _channels(text: str | None, what: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequest(f"{what} is three numbers as r,g,b, not {text!r:.50}") from None
    return red, green, blue
