"""A model small enough to export in a second, and its archive; a server that does as it is told."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from scripted_embedder import Script, scripted
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.types.models import ModelManifest, ResizePolicy


@dataclass(frozen=True)
class SmallModel:
    program: bytes
    archive: Path
    manifest: ModelManifest


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> SmallModel:
    torch.manual_seed(0)
    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()
    )
    program, dimension = export_program(features, 32)
    manifest = ModelManifest(
        name="small", dimension=dimension, input_size=32, resize_policy=ResizePolicy.SQUASH, digest=""
    )
    path = tmp_path_factory.mktemp("model") / "small.mar"
    return SmallModel(program, path, write_archive(path, program, manifest))


@pytest.fixture
def server() -> Iterator[Script]:
    with scripted() as script:
        yield script
