"""Whether a model may compute in bfloat16: measured when it is imported, kept in its manifest.

Most models lose nothing by it (ResNet-18: cosines of 0.99998 to float32); some do (MobileNetV2, trained on
ImageNet: 0.993 on photographs). Embeddings of one set may come from machines with and without bfloat16, so
``auto`` takes it only where the two agree.
"""

import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.embedding.archive import read_manifest, write_archive
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.errors import MissingExtra
from lookalike.types.models import ModelManifest

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

# Two embeddings of one image are then nearer to each other than those of any two that a person tells apart.
MIN_COSINE = 0.9999
METRIC = "bfloat16_cosine"
_NUM_IMAGES = 8
_COARSE = 7  # smooth images, 7 x 7 colours: on them models lose about as much as on photographs


def with_measured_precision(program: bytes, manifest: ModelManifest) -> ModelManifest:
    """``manifest`` with the lowest cosine between bfloat16 and float32 embeddings among its metrics.

    Below ``MIN_COSINE`` its recipe says ``precision: float32``, which ``auto`` obeys. A recipe that says a
    precision already is left as it is. Measured on eight images drawn from a seed, on the CPU; takes a second.
    """
    if "precision" in manifest.recipe:
        return manifest
    images_NHWC = smooth_images(manifest.input_size)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "model.mar"
        write_archive(archive, program, manifest)
        exact = TorchEmbedder(archive, precision="float32", device="cpu")
        fast = TorchEmbedder(archive, precision="bfloat16", device="cpu")
        try:
            cosines_N = (exact.embed(images_NHWC) * fast.embed(images_NHWC)).sum(axis=1)
        finally:
            exact.close()
            fast.close()
        complete = read_manifest(archive)
    cosine = round(float(cosines_N.min()), 5)
    recipe = manifest.recipe if cosine >= MIN_COSINE else {**manifest.recipe, "precision": "float32"}
    return complete.model_copy(update={"metrics": {**manifest.metrics, METRIC: cosine}, "recipe": recipe})


def smooth_images(size: int) -> NDArray[np.uint8]:
    """Eight images drawn from a seed, uint8 ``[8, S, S, 3]`` with S = ``size``: always the same."""
    coarse = np.random.default_rng(0).integers(0, 256, (_NUM_IMAGES, 3, _COARSE, _COARSE))
    smooth = torch.nn.functional.interpolate(
        torch.from_numpy(coarse).float(), (size, size), mode="bicubic", align_corners=False
    )
    return smooth.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
