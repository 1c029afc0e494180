"""Settings -> wired ports: the only place that picks adapters."""

import threading
from collections.abc import Callable
from functools import partial
from ipaddress import IPv4Network, IPv6Network, ip_network

from lookalike.catalog.embedding_sets import EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import Indexes
from lookalike.catalog.live import LivePointers
from lookalike.catalog.local_artifacts import LocalArtifacts
from lookalike.catalog.models import Models
from lookalike.embedding.named import NamedEmbedder
from lookalike.embedding.port import Embedder
from lookalike.errors import InvalidRequest
from lookalike.images.limits import ImageLimits
from lookalike.indexes import registry
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.search import QueryParts
from lookalike.pipeline.served import Serving
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings
from lookalike.storage.local import LocalStore
from lookalike.types.models import ModelRef


class LoadedEmbedders:
    """Embedders by model, loaded when first asked for and kept. Torch is imported at that moment, not before."""

    def __init__(self, settings: Settings, models: Models, artifacts: LocalArtifacts) -> None:
        self._settings = settings
        self._models = models
        self._artifacts = artifacts
        self._loaded: dict[str, Embedder] = {}
        self._lock = threading.Lock()

    def __call__(self, model: str) -> Embedder:
        """Raises ModelNotFound, MissingExtra without torch, InvalidArchive."""
        manifest = self._models.get(ModelRef.parse(model))
        name = str(manifest.ref)
        with self._lock:
            if name not in self._loaded:
                archive = self._artifacts.file("models", f"{manifest.embedding_digest}.mar")
                if not archive.exists():
                    self._models.fetch_archive(manifest, archive)
                from lookalike.embedding.torch_local import TorchEmbedder

                options = self._settings.embedder
                inner = TorchEmbedder(
                    archive,
                    precision=options.precision,
                    batch_size=options.batch_size or "auto",
                    threads=options.threads or "auto",
                )
                self._loaded[name] = NamedEmbedder(inner, manifest)
            return self._loaded[name]

    def close(self) -> None:
        for embedder in self._loaded.values():
            embedder.close()
        self._loaded.clear()


def wire(settings: Settings) -> Workspace:
    """The ports of this process. Opens nothing that a command might not need."""
    store = LocalStore(settings.storage.folder)
    sets, galleries, indexes = EmbeddingSets(store), Galleries(store), Indexes(store)
    pointers, models = LivePointers(store), Models(store)
    artifacts = LocalArtifacts(settings.storage.cache.absolute(), store, sets)
    limits = ImageLimits(settings.images.max_bytes, settings.images.max_pixels)
    embedders = LoadedEmbedders(settings, models, artifacts)
    serving = Serving(
        store, galleries, sets, indexes, pointers, artifacts, registry.backend, poll_s=settings.search.poll_s
    )
    fetch = _fetcher(settings, limits)

    def close() -> None:
        serving.close()
        embedders.close()

    return Workspace(
        store=store,
        galleries=galleries,
        sets=sets,
        indexes=indexes,
        pointers=pointers,
        artifacts=artifacts,
        models=models,
        ledger=Ledger(store),
        serving=serving,
        backend=registry.backend,
        backend_names=registry.BACKEND_NAMES,
        embedder=embedders,
        fetch=fetch,
        limits=limits,
        query=QueryParts(embedder=embedders, fetch=fetch, limits=limits, preferred_backend=settings.search.backend),
        min_parity=settings.build.min_parity,
        close=close,
    )


def _fetcher(settings: Settings, limits: ImageLimits) -> Callable[[str], bytes]:
    try:
        networks = frozenset(ip_network(text) for text in settings.urls.allowed_networks)
    except ValueError as error:
        raise InvalidRequest(f"setting urls.allowed_networks: {error}") from error
    return partial(_fetch, networks, limits, settings.urls.timeout_s)


def _fetch(networks: frozenset[IPv4Network | IPv6Network], limits: ImageLimits, timeout_s: float, url: str) -> bytes:
    from lookalike.images.remote import UrlFetcher

    return UrlFetcher(limits=limits, timeout_s=timeout_s, allow_addresses=networks).fetch(url)
