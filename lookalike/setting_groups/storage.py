"""Settings of where everything is kept, and for how long."""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, model_validator

from lookalike.setting_groups.group import Group


class StorageSettings(Group):
    """Where everything is kept."""

    url: str | None = Field(
        default=None, description="`s3://bucket` or `s3://bucket/prefix` of an object store; a local folder if not set"
    )
    folder: Path = Field(default=Path("var/store"), description="folder of the local object store")
    cache: Path = Field(
        default=Path("var/cache"), description="folder of this machine's copies of indexes; may be deleted"
    )
    cache_max_bytes: int | None = Field(
        default=None,
        ge=1,
        description="most that copies of embeddings and indexes may take, in bytes; any number if not set",
    )
    runs: Path = Field(default=Path("var/runs"), description="folder in which training runs get folders of their own")
    s3_endpoint: str = Field(
        default="https://s3.amazonaws.com",
        pattern=r"^https?://[A-Za-z0-9._\-\[\]:]+/?$",
        description="URL of the S3 server, without a path: `http://minio:9000`",
    )
    s3_region: str | None = Field(default=None, description="its region; the server is asked if not set")
    s3_access_key: str | None = Field(
        default=None, description="access key; if not set, that of AWS's variables, credentials file or machine role"
    )
    s3_secret_key: SecretStr | None = Field(default=None, description="secret key")
    s3_conditional: Literal["auto", "native", "claims"] = Field(
        default="auto", description="how one of two writers wins: by If-Match, by claims, or as the server can"
    )
    s3_timeout_s: float = Field(
        default=30.0, gt=0, le=600, description="how long a request is tried again before an error, in seconds"
    )

    @model_validator(mode="after")
    def _s3_is_whole(self) -> "StorageSettings":
        """What would be found out at the first request is refused at once."""
        if self.url is not None and re.match(r"^s3://[a-z0-9][a-z0-9.\-]{1,61}[a-z0-9](/|$)", self.url) is None:
            raise ValueError("url is s3://bucket or s3://bucket/prefix")
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key belong together")
        return self


class CollectSettings(Group):
    """How long what nothing refers to is kept, and with it how long a promotion can be rolled back."""

    keep_s: float = Field(
        default=7 * 24 * 3600, ge=3600, description="how long garbage and former live states are kept, in seconds"
    )
    keep_former: int = Field(
        default=5, ge=0, le=5, description="former live states of a gallery that are kept at most, for rollback"
    )
