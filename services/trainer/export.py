"""From a trained network to a model archive that is known to give the network's own embeddings.

Shape suffixes: N images, H and W their height and width, S the input size, C channels, D dimension.
"""

import copy
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.batching import Batching
from lookalike.embedding.export import IMAGENET_MEAN, IMAGENET_STD, export_program
from lookalike.embedding.precision import METRIC as BFLOAT16_COSINE
from lookalike.embedding.precision import MIN_COSINE as MIN_BFLOAT16_COSINE
from lookalike.embedding.precision import smooth_images
from lookalike.embedding.torch_local import Precision, TorchEmbedder
from lookalike.errors import InvalidArchive, InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy
from services.trainer.whitening import Projection, with_projection

FLOAT32_COSINE = "export_cosine"
# Below it the archive would not be the model that was evaluated; rounding alone, to float16 too, stays far above.
MIN_FLOAT32_COSINE = 0.9999
_BATCH = 32


@dataclass(frozen=True)
class Trained:
    """A network and what its manifest will say.

    ``network`` takes float32 ``[N, 3, S, S]``, normalised with ``mean`` and ``std``, and returns ``[N, D]``.
    """

    network: nn.Module
    input_size: int
    resize_policy: ResizePolicy
    name: str
    mean: Sequence[float] = IMAGENET_MEAN
    std: Sequence[float] = IMAGENET_STD
    description: str = ""
    recipe: Mapping[str, object] = field(default_factory=dict)
    training_data: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    licence: str = ""
    batching: Batching | None = None


def export_run(
    run: Path,
    target: Path,
    *,
    build: Callable[[Path], Trained],
    half: bool = True,
    projection: Projection | None = None,
    images_NHWC: NDArray[np.uint8] | None = None,
) -> ModelManifest:
    """Writes the archive of the run in the folder ``run``, which ``build`` opens. As :func:`export_trained`."""
    return export_trained(build(run), target, half=half, projection=projection, images_NHWC=images_NHWC)


def export_trained(
    trained: Trained,
    target: Path,
    *,
    half: bool = True,
    projection: Projection | None = None,
    images_NHWC: NDArray[np.uint8] | None = None,
) -> ModelManifest:
    """Writes the archive of ``trained`` to ``target`` once it is verified, and returns its manifest.

    Args:
        trained: left as it is.
        target: the ``.mar`` file; replaced as a whole, or not touched at all.
        half: store weights as float16.
        projection: applied to the network's embeddings inside the archive.
        images_NHWC: uint8 ``[N, S, S, 3]`` to verify on, prepared as the manifest says; None draws eight.

    The archive is opened by :class:`TorchEmbedder` on the CPU and its embeddings compared with those of the
    network, computed here without the export's code. The lowest cosines are kept as the metrics
    ``export_cosine`` (float32) and ``bfloat16_cosine``. A model whose bfloat16 embeddings are below
    ``precision.MIN_COSINE`` gets ``precision: float32`` in its recipe, unless that says a precision already.
    The same arguments give the same bytes on the same machine.

    Raises InvalidArchive where the float32 embeddings differ from the network's or torch cannot export it, and
    InvalidRequest for a target in no folder.
    """
    if not target.parent.is_dir():
        raise InvalidRequest(f"there is no folder {target.parent} for the archive", path=str(target))
    try:
        program, dimension = export_network(
            trained.network,
            input_size=trained.input_size,
            mean=trained.mean,
            std=trained.std,
            half=half,
            projection=projection,
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise InvalidArchive(f"{trained.name} cannot be exported: {reason}", model=trained.name) from error
    manifest = _manifest(trained, dimension, half=half, projection=projection)
    images_NHWC = smooth_images(trained.input_size) if images_NHWC is None else images_NHWC
    expected_ND = own_embeddings(trained, images_NHWC, projection=projection)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as folder:
        archive = Path(folder) / target.name
        write_archive(archive, program, manifest, trained.batching)
        manifest = _verified(archive, manifest, images_NHWC, expected_ND)
        manifest = write_archive(archive, program, manifest, trained.batching)
        archive.replace(target)
    return manifest


def export_network(
    network: nn.Module,
    *,
    input_size: int,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    half: bool = True,
    projection: Projection | None = None,
) -> tuple[bytes, int]:
    """The program of ``network``, batch normalisation folded into convolutions, and its dimension. Not verified.

    ``network`` is copied to the CPU and left as it is.
    """
    features = copy.deepcopy(network).cpu()
    if projection is not None:
        features = with_projection(features, projection)
    return export_program(features, input_size, mean=mean, std=std, half=half, fold_batch_norm=True)


def own_embeddings(
    trained: Trained, images_NHWC: NDArray[np.uint8], *, projection: Projection | None = None
) -> NDArray[np.float32]:
    """What ``trained`` gives for uint8 ``[N, S, S, 3]`` in evaluation mode on a CPU: float32 ``[N, D]`` of length 1."""
    network = copy.deepcopy(trained.network).cpu().float().eval()
    mean_C, std_C = torch.tensor(trained.mean).view(3, 1, 1), torch.tensor(trained.std).view(3, 1, 1)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(images_NHWC), _BATCH):
            pixels_NCHW = torch.from_numpy(images_NHWC[start : start + _BATCH].copy()).permute(0, 3, 1, 2).float() / 255
            parts.append(network((pixels_NCHW - mean_C) / std_C).flatten(1).double().numpy())
    features_ND = np.concatenate(parts)
    if projection is not None:
        return projection(features_ND)
    length_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    # A network that sees nothing in an image: what EmbeddingProgram says of it.
    features_ND = np.where(length_N1 == 0, 1.0, features_ND)
    unit_ND: NDArray[np.float32] = (features_ND / np.linalg.norm(features_ND, axis=1, keepdims=True)).astype(np.float32)
    return unit_ND


def _manifest(trained: Trained, dimension: int, *, half: bool, projection: Projection | None) -> ModelManifest:
    recipe = {**trained.recipe, "mean": list(trained.mean), "std": list(trained.std)}
    recipe["weights_stored_as"] = "float16" if half else "float32"
    if projection is not None:
        recipe["projected_from_dimension"] = len(projection.mean_D)
    return ModelManifest(
        name=trained.name,
        dimension=dimension,
        input_size=trained.input_size,
        resize_policy=trained.resize_policy,
        digest="",
        description=trained.description,
        recipe=recipe,
        training_data=trained.training_data,
        metrics=dict(trained.metrics),
        licence=trained.licence,
    )


def _verified(
    archive: Path, manifest: ModelManifest, images_NHWC: NDArray[np.uint8], expected_ND: NDArray[np.float32]
) -> ModelManifest:
    exact = _lowest_cosine(archive, "float32", images_NHWC, expected_ND)
    # Written so that NaN fails.
    if not exact >= MIN_FLOAT32_COSINE:
        raise InvalidArchive(
            f"the exported program of {manifest.name} does not give the trained network's embeddings: the lowest of "
            f"{len(images_NHWC)} cosines is {exact:.6f}, below {MIN_FLOAT32_COSINE}; nothing was written",
            cosine=exact,
        )
    fast = _lowest_cosine(archive, "bfloat16", images_NHWC, expected_ND)
    metrics = {**manifest.metrics, FLOAT32_COSINE: round(exact, 6), BFLOAT16_COSINE: round(fast, 5)}
    recipe = manifest.recipe
    if not fast >= MIN_BFLOAT16_COSINE:
        recipe = {"precision": "float32", **recipe}
    return manifest.model_copy(update={"metrics": metrics, "recipe": recipe})


def _lowest_cosine(
    archive: Path, precision: Precision, images_NHWC: NDArray[np.uint8], expected_ND: NDArray[np.float32]
) -> float:
    embedder = TorchEmbedder(archive, precision=precision, device="cpu")
    try:
        embeddings_ND = embedder.embed(images_NHWC).astype(np.float64)
    finally:
        embedder.close()
    return float((embeddings_ND * expected_ND).sum(axis=1).min())
