"""Images below a prefix in an S3 bucket, with labels from its folders."""

import io
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol

from lookalike.errors import (
    DamagedArtifact,
    ImageTooLarge,
    InvalidImage,
    InvalidSource,
    ObjectNotFound,
    PreconditionFailed,
)
from lookalike.galleries.files import SUFFIXES
from lookalike.galleries.folder import folder_labels
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import MAX_KEY_CHARS


class BucketObject(Protocol):
    """One object as a listing has it; ``server_etag`` changes with its bytes."""

    @property
    def key(self) -> str: ...

    @property
    def size_bytes(self) -> int: ...

    @property
    def server_etag(self) -> str: ...


class BucketObjects(Protocol):
    """The objects of one bucket, whoever wrote them. Methods raise DependencyUnavailable."""

    def list(self, prefix: str) -> Iterator[BucketObject]:
        """Objects whose key starts with ``prefix``, in the order of their keys."""
        ...

    def download(self, key: str, sink: BinaryIO) -> object:
        """Writes the whole object to ``sink``. Raises ObjectNotFound, DamagedArtifact, PreconditionFailed."""
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...


class S3PrefixSource:
    """Image files below ``s3://bucket/prefix``, by their extension, as :class:`FolderSource` takes those of a folder.

    What a folder would hide is passed over: names and folders that begin with a dot. The stamp is made of ETag and
    size, so an object that was written again with the same bytes is not read again where the server's ETags are
    digests. A server that does not answer ends the reading: DependencyUnavailable.
    """

    def __init__(self, objects: BucketObjects, bucket: str, prefix: str, *, max_bytes: int = 50 * 2**20) -> None:
        prefix = prefix.strip("/")
        self._objects = objects
        self._prefix = f"{prefix}/" if prefix else ""
        self._max_bytes = max_bytes
        self.description = f"s3://{bucket}/{prefix}"
        if not prefix.isprintable() or next(objects.list(self._prefix), None) is None:
            objects.close()
            raise InvalidSource(f"there is nothing below {self.description!r:.300}", source=self.description[:300])

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for found in self._objects.list(self._prefix):
            key = found.key.removeprefix(self._prefix)
            path = PurePosixPath(key)
            if path.suffix.lower() not in SUFFIXES or any(part.startswith(".") for part in path.parts):
                continue
            if len(key) > MAX_KEY_CHARS:
                yield SourceProblem(key, "name_too_long", f"the path has over {MAX_KEY_CHARS} characters")
            else:
                stamp = f"{found.server_etag}-{found.size_bytes}"
                yield SourceImage(key, found.key, folder_labels(key), {}, stamp)

    def read(self, image: SourceImage) -> bytes:
        size = 0 if image.stamp is None else int(image.stamp.rpartition("-")[2])
        content = _Limited(self._max_bytes)
        content.check(size)
        try:
            self._objects.download(image.locator, content)
        except ObjectNotFound:
            raise InvalidImage(f"{image.key!r} is not in the bucket any more") from None
        except (DamagedArtifact, PreconditionFailed) as error:
            raise InvalidImage(f"{image.key!r} cannot be read whole: {error.message}") from error
        return content.getvalue()

    def close(self) -> None:
        self._objects.close()


class _Limited(io.BytesIO):
    """Takes ``max_bytes`` and no more: the object may have grown since it was listed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__()
        self._max_bytes = max_bytes

    def check(self, size: int) -> None:
        if size > self._max_bytes:
            raise ImageTooLarge(f"{size} bytes are over the limit of {self._max_bytes}")

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]  # Buffer: Python 3.12
        self.check(self.tell() + memoryview(data).nbytes)
        return super().write(data)
