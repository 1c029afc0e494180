"""The files in TorchServe's model store: archives of our own store, and nothing else."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from lookalike.catalog.local_artifacts import LocalArtifacts
from lookalike.catalog.models import Models
from lookalike.embedding.archive import read_batching, read_program
from lookalike.errors import DamagedArtifact, InvalidArchive
from lookalike.types.models import ModelManifest


@dataclass(frozen=True)
class Placed:
    """A file in the model store; whether it has a ``model-config.yaml``."""

    file: str
    says_how_to_batch: bool


class ArchiveFolder:
    """TorchServe's model store. Archives come by way of this machine's cache."""

    def __init__(self, folder: Path, models: Models, artifacts: LocalArtifacts) -> None:
        self._folder = folder
        self._models = models
        self._artifacts = artifacts

    def put(self, name: str, manifest: ModelManifest) -> Placed:
        """Makes the archive of a model a file for TorchServe to register as ``name``.

        It is checked first that it is the registered one, with our handler and a program of the right digest. Raises
        DamagedArtifact, InvalidArchive, and DependencyUnavailable where the store is away.
        """
        file = f"{name}.mar"
        target = self._folder / file
        if not target.exists():
            source = self._checked(file, manifest)
            partial = target.with_suffix(".partial")
            partial.unlink(missing_ok=True)
            try:
                os.link(source, partial)
            except OSError:  # another file system
                shutil.copyfile(source, partial)
            partial.replace(target)
        return Placed(file, says_how_to_batch=read_batching(target) is not None)

    def remove(self, name: str) -> None:
        (self._folder / f"{name}.mar").unlink(missing_ok=True)

    def _checked(self, file: str, manifest: ModelManifest) -> Path:
        """The archive in the cache; a copy that is not whole is fetched again, once."""
        archive = self._artifacts.file("models", file)  # of this name: another's may say otherwise how requests merge
        if archive.exists():
            try:
                _check(archive, manifest)
            except (DamagedArtifact, InvalidArchive):
                archive.unlink()
            else:
                return archive
        self._models.fetch_archive(manifest, archive)
        _check(archive, manifest)
        return archive


def _check(archive: Path, manifest: ModelManifest) -> None:
    _, said = read_program(archive)
    if said.embedding_digest != manifest.embedding_digest:
        raise DamagedArtifact(f"the stored archive of {manifest.ref} is another model", digest=said.digest)
