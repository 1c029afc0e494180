"""Where a job may take images from: URLs that came with it, and folders and buckets that a setting names.

A client that could name any path would read the server's files through a gallery. So nothing on its disk may be named
unless the setting ``jobs.source_folders`` allows the folder; symbolic links are followed before that is decided. In the
same way ``jobs.source_buckets`` names the S3 buckets that may be read with the server's keys.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lookalike.errors import InvalidSource, SourceRefused
from lookalike.galleries.open import open_source
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.galleries.s3_prefix import BucketObjects
from lookalike.galleries.url_list import UrlListSource
from lookalike.pipeline.job_kinds import IngestParams, UrlImage
from lookalike.types.ids import sha256_hex

_S3 = "s3://"


@dataclass(frozen=True)
class _Described:
    """A source under another description: the temporary file it is read from is nobody's business."""

    inner: GallerySource
    description: str

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        return self.inner.images()

    def read(self, image: SourceImage) -> bytes:
        return self.inner.read(image)

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True)
class SourceBuckets:
    """The buckets that clients may name, and what opens one."""

    names: Sequence[str] = ()
    open: Callable[[str], BucketObjects] | None = None


def check_source(params: IngestParams, allowed: Sequence[Path], buckets: SourceBuckets = SourceBuckets()) -> None:
    """Raises SourceRefused for a path outside the ``allowed`` folders or a bucket that is not among ``buckets``.

    Raises InvalidSource for a path that is not there.
    """
    if params.source is None:
        return
    if params.source.startswith(_S3):
        if params.source.removeprefix(_S3).partition("/")[0] not in buckets.names:
            raise SourceRefused("the server reads no such bucket for a client", source=params.source[:200])
        return
    path = _inside(params.source, allowed)
    if params.images is not None:
        _inside(params.images, allowed)
    elif path.suffix.lower() in (".json", ".csv") and path.is_file():
        raise InvalidSource("name the folder of its images in images", source=params.source)


@contextmanager
def job_source(
    params: IngestParams,
    allowed: Sequence[Path],
    fetch: Callable[[str], bytes],
    scratch: Path,
    buckets: SourceBuckets = SourceBuckets(),
) -> Iterator[tuple[GallerySource, str]]:
    """The source and its identifier. ``scratch`` is an empty folder; raises as :func:`check_source`."""
    check_source(params, allowed, buckets)
    if params.source is not None and params.source.startswith(_S3):
        source = open_source(params.source, images_root=None, fetcher=fetch, open_bucket=buckets.open)
        identifier = params.name or sha256_hex(source.description.encode())[:16]
    elif params.source is not None:
        images = None if params.images is None else _inside(params.images, allowed)
        source = open_source(str(_inside(params.source, allowed)), images_root=images, fetcher=fetch)
        identifier = params.name or sha256_hex(source.description.encode())[:16]
    else:
        lines = "\n".join(_line(one) for one in params.urls or ())
        identifier = params.name or sha256_hex(lines.encode())[:16]
        listed = scratch / "urls.jsonl"
        listed.write_text(lines, encoding="utf-8")
        source = _Described(UrlListSource(listed, fetch), f"{len(params.urls or ())} URLs of a job")
    try:
        yield source, identifier
    finally:
        source.close()


def _line(one: str | UrlImage) -> str:
    item = UrlImage(url=one) if isinstance(one, str) else one
    return json.dumps(item.model_dump(mode="json", exclude_defaults=True))


def _inside(text: str, allowed: Sequence[Path]) -> Path:
    refused = SourceRefused("the server reads no such path for a client: send images or URLs", source=text[:200])
    if "\0" in text or not allowed:
        raise refused
    try:
        path = Path(text).resolve()
        roots = [folder.resolve() for folder in allowed]
    except (OSError, RuntimeError, ValueError):
        raise refused from None
    if not any(path.is_relative_to(root) for root in roots):
        raise refused
    if not path.exists():
        raise InvalidSource(f"{text!r:.200} does not exist", source=text[:200])
    return path
