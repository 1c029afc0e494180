"""Ways to have a model: the house model, torchvision's, the baselines, an archive; and the way to take one along."""

import shutil
import uuid
from contextlib import suppress
from pathlib import Path

from lookalike.embedding.archive import read_manifest, read_program, write_archive
from lookalike.embedding.batching import Batching
from lookalike.embedding.house import HOUSE, house_archive
from lookalike.errors import DamagedArtifact, InvalidArchive, InvalidRequest, ModelNotFound
from lookalike.pipeline.workspace import Workspace
from lookalike.types.models import ModelManifest, ModelRef, ResizePolicy, check_model_name

# Named here too, since the module that draws them needs torch.
BASELINES = ("pixels16", "color_edges")


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
    batching: Batching | None = None,
) -> ModelManifest:
    """``house``, ``torchvision:NAME`` or ``baseline:NAME`` as the next version of a model in the store.

    A model that is there already stays as it is, with the ``batching`` that it has.

    Raises InvalidRequest for another source, and what the importers raise.
    """
    if name is not None:
        check_model_name(name)
    kind, _, wanted = source.partition(":")
    if source == HOUSE:
        program, manifest = read_program(house_archive())
    elif kind == "baseline":
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
        from lookalike.embedding.precision import with_measured_precision

        manifest = with_measured_precision(program, manifest)
    else:
        raise InvalidRequest(f"not a model source: {source!r:.100} (house, torchvision:NAME or baseline:NAME)")
    if name is not None:
        manifest = manifest.model_copy(update={"name": name})
    with workspace.artifacts.temporary() as folder:
        complete = write_archive(folder / "model.mar", program, manifest, batching)
        return workspace.models.add(folder / "model.mar", complete)


def ensure_model(workspace: Workspace, model: str) -> str:
    """``model`` itself, after taking one that Lookalike brings along into a store that lacks it.

    Raises ModelNotFound for a model that is neither in the store nor brought along.
    """
    try:
        workspace.models.get(model)
    except ModelNotFound:
        if model == HOUSE:
            import_model(workspace, HOUSE)
        elif model in BASELINES:
            import_model(workspace, f"baseline:{model}")
        else:
            raise
    return model


def register_archive(workspace: Workspace, archive: Path) -> ModelManifest:
    """Checks an archive and stores it. Raises InvalidArchive, DamagedArtifact."""
    read_program(archive)
    return workspace.models.add(archive, read_manifest(archive))


def export_archive(workspace: Workspace, model: str, target: Path) -> ModelManifest:
    """Writes the archive of ``model`` (``name`` or ``name@version``) to ``target``, complete or not at all.

    The stored archive is checked first: its program has the digest that the catalog knows. Returns the catalog's
    manifest. Raises ModelNotFound, DamagedArtifact for a stored archive that is not the one it was, and
    InvalidRequest where ``target`` cannot be written.
    """
    manifest = workspace.models.get(ModelRef.parse(model))
    with workspace.artifacts.temporary() as folder:
        archive = folder / "model.mar"
        workspace.models.fetch_archive(manifest, archive)
        try:
            _, written = read_program(archive)
        except InvalidArchive as error:
            raise DamagedArtifact(f"the stored archive of {manifest.ref} is damaged: {error.message}") from error
        if written.embedding_digest != manifest.embedding_digest:
            raise DamagedArtifact(f"the stored archive of {manifest.ref} is another model's", model=str(manifest.ref))
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            shutil.copyfile(archive, partial)
            partial.replace(target)
        except OSError as error:
            with suppress(OSError):
                partial.unlink()
            raise InvalidRequest(f"cannot write {str(target)!r}: {error.strerror}", path=str(target)) from error
    return manifest


def _channels(text: str | None, what: str) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise InvalidRequest(f"{what} is three numbers as r,g,b, not {text!r:.50}") from None
    return red, green, blue
