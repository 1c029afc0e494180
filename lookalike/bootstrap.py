"""Settings -> wired ports: the only place that picks adapters."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from ipaddress import IPv4Network, IPv6Network
from typing import TYPE_CHECKING, Literal

from lookalike.catalog.api_keys import ApiKeys
from lookalike.catalog.embedding_sets import EmbeddingSets
from lookalike.catalog.galleries import Galleries
from lookalike.catalog.indexes import Indexes
from lookalike.catalog.live import LivePointers
from lookalike.catalog.local_artifacts import LocalArtifacts
from lookalike.catalog.models import Models
from lookalike.embedding.cores import available_cores
from lookalike.embedding.named import NamedEmbedder
from lookalike.embedding.port import Embedder
from lookalike.errors import DependencyUnavailable
from lookalike.evaluation.labels import Level
from lookalike.galleries.s3_prefix import BucketObjects
from lookalike.images.limits import ImageLimits
from lookalike.indexes import registry
from lookalike.indexes.port import Backend
from lookalike.indexes.qdrant_server_options import Placement, ServerOptions
from lookalike.jobs.inline import InlineJobs
from lookalike.jobs.ledger import Ledger
from lookalike.jobs.port import Jobs
from lookalike.pipeline.gate_rule import GateRule
from lookalike.pipeline.job_sources import SourceBuckets
from lookalike.pipeline.retention import Retention
from lookalike.pipeline.search import QueryParts
from lookalike.pipeline.served import Serving
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import EmbedderSettings, QdrantSettings, Settings, StorageSettings
from lookalike.storage.local import LocalStore
from lookalike.storage.observed import ObservedStore
from lookalike.storage.port import ObjectStore
from lookalike.types.models import ModelManifest, ModelRef

if TYPE_CHECKING:
    from lookalike.storage.s3_bucket import S3Server

_LOOK_TIMEOUT_S = 2.0  # whoever looks at the queue can do without an answer


class LoadedEmbedders:
    """Embedders by model, opened when first asked for and kept: the remote service's where the settings name one.

    Torch is imported only where a model runs in this process, at that moment and not before.
    """

    def __init__(self, settings: Settings, models: Models, artifacts: LocalArtifacts) -> None:
        self._options = settings.embedder
        self._models = models
        self._artifacts = artifacts
        self._loaded: dict[str, Embedder] = {}
        self._lock = threading.Lock()

    def __call__(self, model: str) -> Embedder:
        """Raises ModelNotFound, MissingExtra without torch, InvalidArchive, DependencyUnavailable.

        The last also where the service has another model under this name than the catalog: two are never mixed.
        """
        if model in self._loaded:  # by name and version: the store need not be asked, nor be there
            return self._loaded[model]
        manifest = self._models.get(ModelRef.parse(model))
        name = str(manifest.ref)
        if name not in self._loaded:
            if self._options.url is not None:
                # Not under the lock: who waits for a server that is down must not keep others waiting.
                self._keep(name, NamedEmbedder(self._remote(self._options.url, manifest), manifest))
            else:
                with self._lock:
                    if name not in self._loaded:
                        self._loaded[name] = NamedEmbedder(self._local(manifest), manifest)
        return self._loaded[name]

    def close(self) -> None:
        for embedder in self._loaded.values():
            embedder.close()
        self._loaded.clear()

    def _keep(self, name: str, embedder: Embedder) -> None:
        with self._lock:
            kept = self._loaded.setdefault(name, embedder)
        if kept is not embedder:
            embedder.close()

    def _remote(self, url: str, manifest: ModelManifest) -> Embedder:
        if self._options.protocol == "torchserve":
            from lookalike.embedding.torchserve import TorchServeEmbedder

            token = self._options.token
            return TorchServeEmbedder(
                url,
                manifest,
                token=None if token is None else token.get_secret_value(),
                batch_size=self._options.batch_size,
                in_flight=self._options.in_flight,
                patience_s=self._options.patience_s,
            )
        from lookalike.embedding.remote import RemoteEmbedder

        embedder = RemoteEmbedder(url, manifest.name, digest=manifest.digest, batch_size=self._options.batch_size)
        if embedder.manifest.embedding_digest != manifest.embedding_digest:
            embedder.close()
            raise DependencyUnavailable(
                f"the remote embedder prepares images for {manifest.name} otherwise than {manifest.ref} does "
                f"({embedder.manifest.resize_policy} to {embedder.manifest.input_size}, not "
                f"{manifest.resize_policy} to {manifest.input_size})",
                dependency="embedder",
            )
        return embedder

    def _local(self, manifest: ModelManifest) -> Embedder:
        from lookalike.embedding.torch_local import TorchEmbedder

        archive = self._artifacts.file("models", f"{manifest.embedding_digest}.mar")
        if not archive.exists():
            self._models.fetch_archive(manifest, archive)
        return TorchEmbedder(
            archive,
            precision=self._options.precision,
            batch_size=self._options.batch_size or "auto",
            threads=self._options.threads or "auto",
        )


def wire(settings: Settings) -> Workspace:
    """The ports of this process. Opens nothing that a command might not need."""
    opened, close_store = _store(settings.storage)
    store = ObservedStore(opened)
    sets, galleries, indexes = EmbeddingSets(store), Galleries(store), Indexes(store)
    pointers, models = LivePointers(store), Models(store)
    artifacts = LocalArtifacts(
        settings.storage.cache.absolute(), store, sets, max_bytes=settings.storage.cache_max_bytes
    )
    limits = ImageLimits(settings.images.max_bytes, settings.images.max_pixels)
    embedders = LoadedEmbedders(settings, models, artifacts)
    backend = _backends(settings)
    serving = Serving(store, galleries, sets, indexes, pointers, artifacts, backend, poll_s=settings.search.poll_s)
    fetch = _fetcher(settings, limits)

    def close() -> None:
        serving.close()
        embedders.close()
        close_store()

    return Workspace(
        store=store,
        galleries=galleries,
        sets=sets,
        indexes=indexes,
        pointers=pointers,
        artifacts=artifacts,
        models=models,
        api_keys=ApiKeys(store),
        ledger=Ledger(store),
        serving=serving,
        backend=backend,
        backend_names=registry.BACKEND_NAMES,
        embedder=embedders,
        fetch=fetch,
        source_buckets=SourceBuckets(settings.jobs.source_buckets, partial(open_bucket, settings)),
        limits=limits,
        decode_workers=_decode_workers(settings.embedder),
        query=QueryParts(embedder=embedders, fetch=fetch, limits=limits, preferred_backend=settings.search.backend),
        min_parity=settings.build.min_parity,
        gate=gate_rule(settings) if settings.gate.enabled else None,
        retention=Retention(settings.collect.keep_s, settings.collect.keep_former),
        close=close,
    )


def _store(said: StorageSettings) -> tuple[ObjectStore, Callable[[], None]]:
    """The bucket that the settings name, else the folder; and what closes it."""
    if said.url is None:
        return LocalStore(said.folder), lambda: None
    from lookalike.storage.s3 import S3Store
    from lookalike.storage.s3_bucket import S3Bucket, parse_url

    store = S3Store(S3Bucket(s3_server(said), *parse_url(said.url)), conditional=said.s3_conditional)
    return store, store.close


def open_bucket(settings: Settings, name: str) -> BucketObjects:
    """The S3 bucket ``name``, to ingest from, on the server and with the keys of the store."""
    from lookalike.storage.s3_bucket import S3Bucket
    from lookalike.storage.s3_objects import S3Objects

    return S3Objects(S3Bucket(s3_server(settings.storage), name))


def s3_server(said: StorageSettings) -> "S3Server":
    """The S3 server of the settings."""
    from lookalike.storage.s3_bucket import S3Server

    secret = said.s3_secret_key
    return S3Server(
        endpoint=said.s3_endpoint.rstrip("/"),
        region=said.s3_region,
        access_key=said.s3_access_key,
        secret_key=None if secret is None else secret.get_secret_value(),
        timeout_s=said.s3_timeout_s,
    )


def _backends(settings: Settings) -> Callable[[str], Backend]:
    """The backends by name; ``qdrant`` is the server where the settings name one, else the engine in process."""
    if settings.qdrant.url is None:
        return registry.backend
    from lookalike.indexes.qdrant_server import QdrantServerBackend

    server = QdrantServerBackend(settings.qdrant.url, _qdrant_options(settings.qdrant))
    return lambda name: server if name == server.name else registry.backend(name)


def _qdrant_options(said: QdrantSettings) -> ServerOptions:
    return ServerOptions(
        api_key=None if said.api_key is None else said.api_key.get_secret_value(),
        grpc_port=said.grpc_port if said.prefer_grpc else None,
        timeout_s=said.timeout_s,
        build_timeout_s=said.build_timeout_s,
        placement=Placement(
            on_disk=said.on_disk,
            on_disk_payload=said.on_disk_payload,
            shard_number=said.shard_number,
            replication_factor=said.replication_factor,
            write_consistency_factor=said.write_consistency_factor,
        ),
        snapshots_kept=said.snapshots_kept,
    )


def gate_rule(settings: Settings) -> GateRule:
    """The evaluation gate as the settings say, enabled or not."""
    said = settings.gate
    return GateRule(level=Level(said.level), k=said.k, max_drop=said.max_drop, num_queries=said.num_queries)


def wire_jobs(settings: Settings, workspace: Workspace) -> Jobs:
    """The queue where the settings name one, else jobs in this process. Close it before the workspace."""
    if settings.queue.url is not None:
        from lookalike.bootstrap_jobs import queued_jobs

        return queued_jobs(settings, workspace)
    from lookalike.pipeline.job_run import run_job  # everything that a job can do: not for every command

    run = partial(run_job, workspace, source_folders=settings.jobs.source_folders)
    return InlineJobs(workspace.store, workspace.artifacts.file("jobs", "locks"), run, threads=settings.jobs.threads)


@contextmanager
def queue_depths(settings: Settings) -> Iterator[Callable[[], Mapping[str, int]] | None]:
    """What says how many messages wait in each queue; None where the settings name no queue.

    It raises DependencyUnavailable while the queue does not answer.
    """
    if settings.queue.url is None:
        yield None
        return
    from lookalike.jobs.redis_turns import RedisTurns

    turns = RedisTurns(settings.queue.url.get_secret_value(), prefix=settings.queue.prefix, timeout_s=_LOOK_TIMEOUT_S)
    try:
        yield turns.depths
    finally:
        turns.close()


def _decode_workers(said: EmbedderSettings) -> int | Literal["auto"]:
    """With TorchServe so many more that requests under way, which are waited for, leave every core its decoder."""
    if said.decode_threads is None and said.url is not None and said.protocol == "torchserve":
        return available_cores() + said.in_flight
    return said.decode_threads or "auto"


def _fetcher(settings: Settings, limits: ImageLimits) -> Callable[[str], bytes]:
    return partial(_fetch, frozenset(settings.urls.allowed_networks), limits, settings.urls.timeout_s)


def _fetch(networks: frozenset[IPv4Network | IPv6Network], limits: ImageLimits, timeout_s: float, url: str) -> bytes:
    from lookalike.images.remote import UrlFetcher

    return UrlFetcher(limits=limits, timeout_s=timeout_s, allow_addresses=networks).fetch(url)
