"""A bucket of an S3 server, or what is below a prefix in it, through MinIO's client: objects, requests, errors.

Only what every S3 server has: PUT, GET, HEAD, DELETE, ListObjectsV2, multipart uploads and user metadata.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lookalike.errors import DependencyUnavailable, InvalidRequest, MissingExtra, ObjectNotFound, PreconditionFailed
from lookalike.storage.s3_transport import RetryingPool, condition, unavailable

try:
    import urllib3
    from minio import Minio
    from minio.credentials import AWSConfigProvider, ChainedProvider, EnvAWSProvider, IamAwsProvider, StaticProvider
    from minio.error import InvalidResponseError, S3Error, ServerError
except ImportError as error:
    raise MissingExtra("minio", "s3") from error

AWS = "https://s3.amazonaws.com"
PART_BYTES = 64 * 2**20
_LARGEST_PUT = 5 * 2**30
_MAX_PREFIX_BYTES = 100  # with a key of 900 bytes and the folder of claims below the limit of 1024
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9]$")
_META = "x-amz-meta-"
_MISSING = frozenset({"NoSuchKey", "NoSuchVersion", "NoSuchObject"})
_ELSEWHERE = frozenset({"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"})
_REFUSED = frozenset({"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"})


@dataclass(frozen=True)
class S3Server:
    """Where a server is and who we are to it; ``timeout_s`` bounds each request with its retries.

    ``endpoint`` is a URL without a path. Without ``access_key`` the keys come from AWS's environment variables, its
    credentials file, or the role of the machine.
    """

    endpoint: str = AWS
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0


@dataclass(frozen=True)
class Found:
    """What the server says of an object. ``metadata`` is the user's, lower-case names; listings have none."""

    key: str
    size_bytes: int
    server_etag: str
    modified: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def parse_url(url: str) -> tuple[str, str]:
    """Bucket and prefix (empty, or ending in ``/``) of ``s3://bucket/prefix``. Raises InvalidRequest."""
    scheme, _, rest = url.partition("://")
    bucket, _, prefix = rest.partition("/")
    prefix = prefix.strip("/")
    if scheme != "s3" or (prefix and any(part in ("", ".", "..") for part in prefix.split("/"))):
        raise InvalidRequest(f"not s3://bucket or s3://bucket/prefix: {url!r:.200}")
    return bucket, f"{prefix}/" if prefix else ""


class S3Bucket:
    """Objects below ``prefix``, named by what follows it. Threads and forked processes may share one.

    Opening one asks the server nothing; it raises InvalidRequest for a name that no bucket has. Every method raises
    DependencyUnavailable when the server does not answer in time, has no such bucket or refuses the keys.
    """

    def __init__(self, server: S3Server, name: str, prefix: str = "", *, part_bytes: int = PART_BYTES) -> None:
        if _BUCKET.match(name) is None:
            raise InvalidRequest(f"not the name of a bucket: {name!r:.200}")
        if len(prefix.encode()) > _MAX_PREFIX_BYTES:
            raise InvalidRequest(f"a prefix of over {_MAX_PREFIX_BYTES} bytes leaves no room for keys: {prefix!r:.200}")
        self.server = server
        self.name = name
        self._prefix = prefix
        self._part_bytes = part_bytes
        self._opened: tuple[int, Any, RetryingPool] | None = None

    def put(self, key: str, data: bytes, metadata: Mapping[str, str], *, only: tuple[str, str] | None = None) -> None:
        """Writes an object in one request. ``only`` is a header with its value: ``("If-None-Match", "*")``.

        With it, raises ConditionNotMet or ConditionNotSupported of ``s3_transport``, and then nothing is written.
        """
        with self._asking(key), nullcontext() if only is None else condition(*only):
            self._client.put_object(
                self.name,
                self._prefix + key,
                io.BytesIO(data),
                len(data),
                metadata=dict(metadata),
                part_size=_LARGEST_PUT,
            )

    def put_file(self, key: str, path: Path, metadata: Mapping[str, str]) -> None:
        """Writes an object from a file, in parts when it is large; it appears when the last part is there.

        Raises PreconditionFailed when the server has forgotten the upload, which it does once it is complete.
        """
        with self._asking(key), path.open("rb") as file:
            self._client.put_object(
                self.name,
                self._prefix + key,
                file,
                os.fstat(file.fileno()).st_size,
                metadata=dict(metadata),
                part_size=self._part_bytes,
            )

    def open(self, key: str, *, offset: int = 0, server_etag: str | None = None) -> tuple[Found, Any]:
        """The object from ``offset`` on, as an HTTP response to read and release, and what is known of it.

        Raises ObjectNotFound, and PreconditionFailed when it is not the version ``server_etag`` any more.
        """
        headers = None if server_etag is None else {"If-Match": f'"{server_etag}"'}
        with self._asking(key):
            response = self._client.get_object(self.name, self._prefix + key, offset=offset, request_headers=headers)
        return _found(key, response.headers, offset), response

    def stat(self, key: str) -> Found | None:
        """What is known of the object, or None where there is none."""
        try:
            with self._asking(key):
                answer = self._client.stat_object(self.name, self._prefix + key)
        except ObjectNotFound:
            return None
        return Found(key, answer.size, answer.etag, answer.last_modified, _metadata(answer.metadata))

    def list(self, prefix: str, after: str = "") -> Iterator[Found]:
        """Objects whose key starts with ``prefix``, by key: S3 sorts by UTF-8, which is Python's order of strings."""
        start = self._prefix + after if after else None
        with self._asking(prefix):
            for item in self._client.list_objects(self.name, self._prefix + prefix, recursive=True, start_after=start):
                key = item.object_name.removeprefix(self._prefix)
                if key and not key.endswith("/"):  # consoles make such objects to show empty folders
                    yield Found(key, item.size, (item.etag or "").strip('"'), item.last_modified)

    def remove(self, key: str) -> None:
        """Removes the object; nothing happens where there is none."""
        try:
            with self._asking(key):
                self._client.remove_object(self.name, self._prefix + key)
        except ObjectNotFound:
            return

    def exists(self) -> bool:
        """Whether the server has the bucket, as far as we may know."""
        with self._asking(""):
            return bool(self._client.bucket_exists(self.name))

    def make(self) -> None:
        """Makes the bucket; nothing happens where it is ours already. Raises as every method where we may not."""
        with self._asking(""):
            try:
                self._client.make_bucket(self.name, self.server.region)
            except S3Error as failure:
                if failure.code != "BucketAlreadyOwnedByYou":
                    raise

    def close(self) -> None:
        """Closes the connections; the next request opens others."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened[2].clear()

    @property
    def _client(self) -> Any:
        """The client of this process: one that was forked must not share its parent's connections."""
        opened = self._opened
        if opened is None or opened[0] != os.getpid():
            server = self.server
            pool = RetryingPool(server.endpoint, server.timeout_s)
            address = urlsplit(server.endpoint)
            client = Minio(
                address.netloc,
                secure=address.scheme == "https",
                region=server.region,
                credentials=_credentials(server),
                http_client=pool,
            )
            opened = self._opened = (os.getpid(), client, pool)
        return opened[1]

    @contextmanager
    def _asking(self, key: str) -> Iterator[None]:
        try:
            yield
        except S3Error as failure:
            raise self._meaning(failure, key) from None
        except (InvalidResponseError, ServerError):
            raise unavailable(self.server.endpoint, "what answers there is no S3 server") from None
        except urllib3.exceptions.HTTPError as failure:  # of the request for the machine's role
            raise self._refused(f"no credentials ({type(failure).__name__})") from None
        except ValueError as failure:
            if self.server.access_key is not None or "credentials" not in str(failure):
                raise
            raise self._refused("no credentials") from None

    def _meaning(self, failure: Any, key: str) -> Exception:
        if failure.code in _MISSING:
            return ObjectNotFound(f"no object {key}", key=key)
        if failure.code in ("PreconditionFailed", "NoSuchUpload"):
            return PreconditionFailed(f"{key} has changed", key=key)
        if failure.code == "NoSuchBucket":
            return DependencyUnavailable(
                f"{self.server.endpoint} has no bucket {self.name!r}: create it, or name another in storage.url",
                dependency="store",
            )
        if failure.code == "RequestTimeTooSkewed":
            return DependencyUnavailable(
                f"the clocks of this machine and of {self.server.endpoint} differ too much: set them",
                dependency="store",
            )
        if failure.code in _ELSEWHERE:
            return DependencyUnavailable(
                f"bucket {self.name!r} is in another region than {self.server.region!r}: set storage.s3_region",
                dependency="store",
            )
        if failure.code in _REFUSED or failure.response.status in (401, 403):
            return self._refused(failure.code)
        return DependencyUnavailable(
            f"the object store at {self.server.endpoint} refuses a request for {key!r} ({failure.code})",
            dependency="store",
        )

    def _refused(self, code: str) -> DependencyUnavailable:
        return DependencyUnavailable(
            f"the object store at {self.server.endpoint} refuses us in bucket {self.name!r} ({code}): check "
            "storage.s3_access_key, storage.s3_secret_key and what that key may do",
            dependency="store",
        )


def _credentials(server: S3Server) -> Any:
    if server.access_key is not None:
        return StaticProvider(server.access_key, server.secret_key or "")
    role = IamAwsProvider(http_client=urllib3.PoolManager(timeout=2.0, retries=1))
    return ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), role])


def _found(key: str, headers: Mapping[str, str], offset: int) -> Found:
    size = offset + int(headers.get("content-length", "0"))
    return Found(key, size, headers.get("etag", "").strip('"'), None, _metadata(headers))


def _metadata(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name.lower().removeprefix(_META): value for name, value in headers.items() if name.lower().startswith(_META)
    }
