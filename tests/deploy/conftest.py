"""What Kustomize makes of deploy/k8s, built once for all tests."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from deploy.checks.build import Combination, KustomizeMissing, combined, copied, kustomize
from deploy.checks.manifests import Manifests

Built = Callable[[Combination], Manifests]


@pytest.fixture(scope="session")
def copy_of_deploy() -> Iterator[Path]:
    """A copy of deploy/ whose overlays have secrets; skips without Kustomize."""
    try:
        kustomize()
    except KustomizeMissing as missing:
        pytest.skip(f"{missing}; this runs where there is one")
    with copied() as root:
        yield root


@pytest.fixture(scope="session")
def built(copy_of_deploy: Path) -> Built:
    """Builds a combination, each once."""
    return cache(lambda wanted: combined(copy_of_deploy, wanted))
