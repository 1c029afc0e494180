"""Settings of where backups are kept."""

from typing import Literal

from pydantic import Field, SecretStr, model_validator

from lookalike.setting_groups.group import Group


class BackupSettings(Group):
    """Where backups are kept. What is not set of its S3 server is that of the store's."""

    target: str | None = Field(
        default=None, description="folder, `.tar` file or `s3://bucket/prefix` of commands that name none"
    )
    keep: int | None = Field(default=None, ge=1, description="newest backups that are kept; all when not set")
    threads: int = Field(default=8, ge=1, le=64, description="objects that are copied at once")
    s3_endpoint: str | None = Field(
        default=None,
        pattern=r"^https?://[A-Za-z0-9._\-\[\]:]+/?$",
        description="URL of the S3 server of the backups, without a path",
    )
    s3_region: str | None = Field(default=None, description="its region")
    s3_access_key: str | None = Field(default=None, description="access key")
    s3_secret_key: SecretStr | None = Field(default=None, description="secret key")
    s3_conditional: Literal["auto", "native", "claims"] | None = Field(
        default=None, description="how one of two writers wins there, as `storage.s3_conditional`"
    )

    @model_validator(mode="after")
    def _keys_are_whole(self) -> "BackupSettings":
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key belong together")
        return self
