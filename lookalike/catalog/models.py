"""Models in the store: archives under a name and a version."""

from collections.abc import Iterator
from pathlib import Path

from lookalike.catalog import documents, keys
from lookalike.errors import AlreadyExists, ModelNotFound, ObjectNotFound, PreconditionFailed
from lookalike.storage.port import ObjectStore
from lookalike.types.models import ModelManifest, ModelRef

_MAX_TRIES = 20


class Models:
    """The models of one object store. A version, once there, never changes."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def add(self, archive: Path, manifest: ModelManifest) -> ModelManifest:
        """Stores an archive as the next version of its name, or finds the version with the same program.

        Returns the manifest with its version.
        """
        for _ in range(_MAX_TRIES):
            versions = list(self.versions(manifest.name))
            same = next((known for known in versions if known.embedding_digest == manifest.embedding_digest), None)
            if same is not None:
                return same
            version = max((known.version or 0 for known in versions), default=0) + 1
            numbered = manifest.model_copy(update={"version": version})
            # The archive first: a manifest without one would be a model that cannot be loaded. Two that
            # race for one version write different archives under names of their own.
            self._store.put_file(self._archive_key(numbered), archive)
            try:
                self._store.put_if(keys.model_manifest(manifest.name, version), documents.encode(numbered), etag=None)
            except PreconditionFailed:
                continue
            return numbered
        raise AlreadyExists(f"versions of {manifest.name!r} kept being taken", model=manifest.name)

    def get(self, ref: ModelRef | str) -> ModelManifest:
        """The named version, or the newest where none is named. Raises ModelNotFound."""
        wanted = ModelRef.parse(ref) if isinstance(ref, str) else ref
        if wanted.version is None:
            newest = max(self.versions(wanted.name), key=lambda known: known.version or 0, default=None)
            if newest is None:
                raise ModelNotFound(f"there is no model {wanted.name!r}", model=str(wanted))
            return newest
        try:
            return documents.read(self._store, ModelManifest, keys.model_manifest(wanted.name, wanted.version))
        except ObjectNotFound:
            raise ModelNotFound(f"there is no model {str(wanted)!r}", model=str(wanted)) from None

    def versions(self, name: str) -> Iterator[ModelManifest]:
        """All versions of one name."""
        yield from self._manifests(keys.model_folder(name))

    def list(self) -> Iterator[ModelManifest]:
        """All models, by name."""
        yield from self._manifests(keys.MODELS)

    def fetch_archive(self, manifest: ModelManifest, path: Path) -> None:
        """Copies the archive to ``path``, complete or not at all."""
        self._store.fetch_file(self._archive_key(manifest), path)

    def _manifests(self, prefix: str) -> Iterator[ModelManifest]:
        for info in self._store.list(prefix):
            if info.key.endswith("/manifest.json"):
                yield documents.read(self._store, ModelManifest, info.key)

    @staticmethod
    def _archive_key(manifest: ModelManifest) -> str:
        return f"{keys.model_folder(manifest.name)}archives/{manifest.embedding_digest}.mar"
