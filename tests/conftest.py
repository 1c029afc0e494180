"""Fixtures that every suite may use."""

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photographs and weights; without it a test skips and says when it runs."""
    named = os.environ.get("LOOKALIKE_TEST_SHARED")
    folder = Path(named) if named else _REPOSITORY.parent / "shared"
    if not (folder / "data" / "coco-asf").is_dir():
        pytest.skip("real photographs: runs where LOOKALIKE_TEST_SHARED names the folder that holds data/coco-asf")
    return folder
