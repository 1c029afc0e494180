"""Settings and an address -> the place where backups are kept."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lookalike.bootstrap import s3_server
from lookalike.errors import InvalidRequest
from lookalike.pipeline.backup_lock import Held, locked
from lookalike.settings import Settings, StorageSettings
from lookalike.settings_sources import variable
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectStore


@dataclass(frozen=True)
class Place:
    """``lock`` is None for a single file, which one process writes. ``is_file``: it holds one backup."""

    store: ObjectStore
    lock: AbstractContextManager[Held] | None
    is_file: bool = False


@contextmanager
def open_place(settings: Settings, address: str | None, *, write: bool) -> Iterator[Place]:
    """The place at ``address``: ``s3://bucket/prefix``, a file that ends in ``.tar``, or a folder.

    None is what the settings name. Raises InvalidRequest for no address, for one that is not there to be read, for a
    file that is there to be written, and for a place within the store or the store within it.
    """
    address = address or settings.backup.target
    if address is None:
        raise InvalidRequest(f"name the place of the backups, or set {variable('backup.target')}")
    if address.startswith("s3://"):
        yield from _bucket(settings, address)
    elif address.endswith(".tar"):
        yield from _file(Path(address), write=write)
    else:
        yield from _folder(settings.storage, Path(address), write=write)


def _folder(store: StorageSettings, folder: Path, *, write: bool) -> Iterator[Place]:
    if not write and not folder.is_dir():
        raise InvalidRequest(f"there is no folder {str(folder)!r}", path=str(folder))
    ours = store.folder.absolute()
    if store.url is None and (_is_within(folder.absolute(), ours) or _is_within(ours, folder.absolute())):
        raise InvalidRequest(f"{str(folder)!r} and the store lie in each other: a backup is kept apart from it")
    place = LocalStore(folder)
    yield Place(place, locked(place))


def _file(path: Path, *, write: bool) -> Iterator[Place]:
    from lookalike.storage.tar import TarReader, TarWriter

    if write:
        if path.exists():
            raise InvalidRequest(f"there is a file {str(path)!r} already: each backup is a file of its own")
        path.parent.mkdir(parents=True, exist_ok=True)
        with TarWriter(path) as writer:
            yield Place(writer, None, is_file=True)
        return
    if not path.is_file():
        raise InvalidRequest(f"there is no file {str(path)!r}", path=str(path))
    reader = TarReader(path)
    try:
        yield Place(reader, None, is_file=True)
    finally:
        reader.close()


def _bucket(settings: Settings, address: str) -> Iterator[Place]:
    from lookalike.storage.s3 import S3Store
    from lookalike.storage.s3_bucket import S3Bucket, parse_url

    store, said = settings.storage, settings.backup
    server = s3_server(
        store.model_copy(
            update={
                "s3_endpoint": said.s3_endpoint or store.s3_endpoint,
                "s3_region": said.s3_region or store.s3_region,
                "s3_access_key": said.s3_access_key or store.s3_access_key,
                "s3_secret_key": said.s3_secret_key or store.s3_secret_key,
            }
        )
    )
    bucket, prefix = parse_url(address)
    if store.url is not None and server.endpoint == store.s3_endpoint.rstrip("/"):
        ours, our_prefix = parse_url(store.url)
        if ours == bucket and (prefix.startswith(our_prefix) or our_prefix.startswith(prefix)):
            raise InvalidRequest(f"{address} and the store lie in each other: a backup is kept apart from it")
    place = S3Store(S3Bucket(server, bucket, prefix), conditional=said.s3_conditional or store.s3_conditional)
    try:
        yield Place(place, locked(place))
    finally:
        place.close()


def _is_within(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
