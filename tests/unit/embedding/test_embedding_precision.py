"""bfloat16 is taken only by models that give the same embeddings with it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lookalike.embedding.archive import read_manifest, write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.precision import METRIC, MIN_COSINE, with_measured_precision
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchvision_import import import_torchvision, torchvision_features
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.models import ModelManifest, ResizePolicy

SIZE = 64


class Cancelling(nn.Module):
    """What is left of nearly equal sums after their mean is taken away: mostly rounding, in bfloat16."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = nn.Linear(3 * 16, 8, bias=False)
        with torch.no_grad():
            self.sums.weight.copy_(1 + 0.01 * torch.randn(8, 48, generator=torch.Generator().manual_seed(0)))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        sums_ND = self.sums(nn.functional.adaptive_avg_pool2d(x_NCHW, 4).flatten(1)).float()
        return sums_ND - sums_ND.mean(dim=1, keepdim=True)


def exported(features: nn.Module, size: int = SIZE) -> tuple[bytes, ModelManifest]:
    program, dimension = export_program(features, size, mean=(0, 0, 0), std=(1, 1, 1))
    return program, ModelManifest(
        name="m",
        dimension=dimension,
        input_size=size,
        resize_policy=ResizePolicy.SQUASH,
        digest="",
    )


def resnet18(size: int) -> nn.Module:
    """With random weights, in which batch normalisation has seen images: without, all embeddings are alike."""
    torch.manual_seed(0)
    features = torchvision_features("resnet18").train()
    with torch.no_grad():
        for _ in range(2):
            features(torch.rand(8, 3, size, size))
    return features


def lowest_cosine(archive: Path, images_NHWC: np.ndarray) -> float:
    """Between the embeddings of float32 and bfloat16, in processes of different hardware for instance."""
    embeddings = []
    for precision in ("float32", "bfloat16"):
        embedder = TorchEmbedder(archive, precision=precision)
        embeddings.append(embedder.embed(images_NHWC))
        embedder.close()
    return float((embeddings[0] * embeddings[1]).sum(axis=1).min())


def test_resnet18_gives_the_same_embeddings_in_both_precisions(tmp_path):
    """What lets one embedding set hold parts of both."""
    program, manifest = exported(resnet18(224), 224)
    measured = with_measured_precision(program, manifest)
    assert "precision" not in measured.recipe
    assert measured.metrics[METRIC] >= MIN_COSINE
    write_archive(tmp_path / "m.mar", program, measured)
    coarse = np.random.default_rng(1).integers(0, 256, (16, 9, 9, 3), np.uint8)
    images = np.stack([np.asarray(Image.fromarray(one).resize((224, 224), Image.Resampling.BICUBIC)) for one in coarse])
    assert lowest_cosine(tmp_path / "m.mar", images) >= MIN_COSINE


def test_a_model_that_loses_by_bfloat16_keeps_float32(tmp_path):
    program, manifest = exported(Cancelling())
    measured = with_measured_precision(program, manifest)
    assert measured.metrics[METRIC] < MIN_COSINE
    assert measured.recipe["precision"] == "float32"
    write_archive(tmp_path / "m.mar", program, measured)
    embedder = TorchEmbedder(tmp_path / "m.mar")
    assert embedder.precision == "float32"
    embedder.close()


def test_measuring_changes_neither_what_a_model_is_nor_a_precision_that_was_chosen():
    program, manifest = exported(Cancelling())
    measured = with_measured_precision(program, manifest)
    assert measured.embedding_digest == measured.model_copy(update={"recipe": {}}).embedding_digest
    assert with_measured_precision(program, measured) == measured
    chosen = manifest.model_copy(update={"recipe": {"precision": "bfloat16"}})
    assert with_measured_precision(program, chosen) == chosen


@pytest.mark.shared_data
def test_mobilenet_keeps_float32_for_good_reason(shared_data, tmp_path):
    """What is measured on drawn images must agree with what photographs show."""
    program, manifest = import_torchvision(
        "mobilenet_v2", weights=shared_data / "weights" / "mobilenet_v2-imagenet.pth"
    )
    measured = with_measured_precision(program, manifest)
    assert measured.recipe["precision"] == "float32"
    write_archive(tmp_path / "m.mar", program, measured)
    assert read_manifest(tmp_path / "m.mar") == measured
    paths = sorted((shared_data / "data" / "coco-asf" / "images").rglob("*.jpg"))[:16]
    photographs = np.stack(
        [prepare(path.read_bytes(), size=224, policy=manifest.resize_policy, limits=ImageLimits()) for path in paths]
    )
    assert lowest_cosine(tmp_path / "m.mar", photographs) < MIN_COSINE
