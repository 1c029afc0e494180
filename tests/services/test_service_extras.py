"""Each process of services/ works with what its extra installs and nothing else."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

_PYPROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
# What is not in the extra is not there: its import fails as where it is not installed.
_PROGRAM = """
import importlib, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
for module in {modules!r}:
    importlib.import_module(module)
"""


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("gateway", ["lookalike.cli.app", "services.gateway.__main__", "lookalike.storage.s3"]),
        (
            "embedder",
            [
                "lookalike.cli.app",
                "services.embedder.worker",
                "lookalike.embedding.remote",
                "lookalike.storage.s3",
            ],
        ),
        (
            "embedder-torch",
            [
                "lookalike.cli.app",
                "services.embedder.worker",
                "services.embedder.__main__",
                "lookalike.embedding.torch_local",
                "lookalike.storage.s3",
            ],
        ),
        ("indexer", ["lookalike.cli.app", "services.indexer.worker", "lookalike.storage.s3"]),
        (
            "torchserve",
            [
                "lookalike.cli.app",
                "services.embedder.torchserve.__main__",
                "services.embedder.torchserve.handler",
                "ts.model_service_worker",
                "lookalike.storage.s3",
            ],
        ),
    ],
)
def test_a_service_starts_with_what_its_extra_installs(extra: str, modules: list[str]) -> None:
    installed = _closure([*_PYPROJECT["project"]["dependencies"], f"lookalike[{extra}]"])
    assert {"minio", "prometheus-client", "opentelemetry-sdk"} <= installed
    has_queue = extra != "torchserve"
    assert ({"celery", "redis"} <= installed) == has_queue
    assert ("torch" in installed) == (extra in ("embedder-torch", "torchserve"))
    absent = {
        module
        for module, distributions in packages_distributions().items()
        if not {_normal(name) for name in distributions} & {*installed, "lookalike"}
    }
    assert "pytest" in absent
    # What Celery imports only when it connects.
    imported = [*modules, *(["kombu.transport.redis"] if has_queue else [])]
    program = _PROGRAM.format(absent=absent, modules=imported)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=180)
    assert ended.returncode == 0, ended.stderr


def _closure(wanted: list[str]) -> set[str]:
    """The normalised names of all distributions that ``wanted`` brings; our own extras as pyproject.toml says now."""
    found: set[str] = set()
    waiting = [(Requirement(one), "") for one in wanted]
    seen = set()
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        name = _normal(requirement.name)
        for chosen in ("", *sorted(requirement.extras)):
            if (name, chosen) in seen:
                continue
            seen.add((name, chosen))
            if name == "lookalike":
                ours = _PYPROJECT["project"]["optional-dependencies"].get(chosen, [])
                waiting += [(Requirement(one), "") for one in ours]
                continue
            found.add(name)
            try:
                waiting += [(Requirement(one), chosen) for one in requires(name) or ()]
            except PackageNotFoundError:  # for another platform, or an optional one that is not here
                continue
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
