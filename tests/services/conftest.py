"""A gateway over a small gallery of real files, without a server in between."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from lookalike.bootstrap import wire
from lookalike.galleries.folder import FolderSource
from lookalike.jobs.inline import InlineJobs
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import load
from services.gateway.app import create_app

COLORS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
BACKENDS = ("exact", "faiss", "annoy", "qdrant")


def draw(folder: Path, per_color: int = 8, seed: int = 0) -> None:
    """Noisy pictures in ``folder/warm|cold/<color>/``, each colour like itself and unlike the others."""
    rng = np.random.default_rng(seed)
    for name, color in COLORS.items():
        below = folder / ("warm" if name == "red" else "cold") / name
        below.mkdir(parents=True, exist_ok=True)
        for number in range(per_color):
            noise = rng.normal(0, 25, (48, 64, 3)) + np.array(color)
            Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(below / f"{number}.png")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder)
    (folder / "warm" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    return folder


def at(folder: Path) -> Workspace:
    """The ports over a store in ``folder``."""
    environment = {"LOOKALIKE_STORAGE__FOLDER": f"{folder}/store", "LOOKALIKE_STORAGE__CACHE": f"{folder}/cache"}
    return wire(load(environment, folder / "none.toml"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """A store with everything done once, for tests to copy."""
    folder = tmp_path_factory.mktemp("prepared")
    made = at(folder)
    source = FolderSource(pictures)
    ingest(made.store, made.galleries, made.ledger, "colors", source, limits=made.limits)
    import_model(made, "baseline:color_edges")
    embed_gallery(made, "colors", "color_edges")
    embedding_set = newest_set(made, "colors", "color_edges")
    promote_indexes(made, "colors", embedding_set, build_indexes(made, "colors", embedding_set, BACKENDS))
    made.close()
    return folder


@pytest.fixture
def workspace(tmp_path: Path, prepared: Path) -> Iterator[Workspace]:
    shutil.copytree(prepared / "store", tmp_path / "store")
    made = at(tmp_path)
    yield made
    made.close()


@pytest.fixture
def client(workspace: Workspace) -> Iterator[TestClient]:
    with TestClient(create_app(workspace, InlineJobs(), max_body_bytes=5_000_000)) as made:
        yield made
