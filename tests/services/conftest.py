"""A gateway over a small gallery of real files, without a server in between."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from gateway_store import BACKENDS, MAX_BODY_BYTES, at, draw, settings_of

from lookalike.bootstrap import wire_jobs
from lookalike.galleries.folder import FolderSource
from lookalike.jobs.port import Jobs
from lookalike.pipeline.index_gallery import build_indexes, embed_gallery, newest_set, promote_indexes
from lookalike.pipeline.ingest import ingest
from lookalike.pipeline.models import import_model
from lookalike.pipeline.workspace import Workspace
from services.gateway.app import create_app


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    draw(folder)
    (folder / "warm" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    return folder


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
def queue(tmp_path: Path, workspace: Workspace) -> Jobs:
    """Closed with the application that serves it."""
    return wire_jobs(settings_of(tmp_path), workspace)


@pytest.fixture
def client(workspace: Workspace, queue: Jobs) -> Iterator[TestClient]:
    with TestClient(create_app(workspace, queue, max_body_bytes=MAX_BODY_BYTES)) as made:
        yield made


@pytest.fixture(scope="module")
def module_client(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Iterator[TestClient]:
    """One application for a whole module of tests that leave each other's images alone."""
    folder = tmp_path_factory.mktemp("module")
    shutil.copytree(prepared / "store", folder / "store")
    made = at(folder)
    app = create_app(made, wire_jobs(settings_of(folder), made), max_body_bytes=MAX_BODY_BYTES)
    with TestClient(app) as client:
        yield client
    made.close()
