"""Fixtures that every suite may use."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from real_servers import RedisServer, SwiftServer
from torchserve_server import TorchServeServer

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and weights; without it a test skips and says when it runs."""
    named = os.environ.get("LOOKALIKE_TEST_SHARED")
    folder = Path(named) if named else _REPOSITORY.parent / "shared"
    if not (folder / "data" / "coco-asf").is_dir():
        pytest.skip("real photographs: runs where LOOKALIKE_TEST_SHARED names the folder that holds data/coco-asf")
    return folder


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis for the whole session; a test that kills or flushes one starts its own."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def swift_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SwiftServer]:
    """A real S3 server for the whole session; a test takes a bucket of its own."""
    server = SwiftServer(tmp_path_factory.mktemp("swift"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def torchserve_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TorchServeServer]:
    """A real TorchServe for the whole session, which serves ``color_edges``; who changes or kills it starts its own."""
    server = TorchServeServer(tmp_path_factory.mktemp("torchserve"))
    server.register("color_edges")
    server.start()
    yield server
    server.close()
