"""Settings of jobs, in this process and by workers."""

from pathlib import Path

from pydantic import Field, SecretStr

from lookalike.setting_groups.group import Group, Listed


class JobSettings(Group):
    """Work that outlives a request."""

    threads: int = Field(default=2, ge=1, le=64, description="jobs that run at once, each of another gallery")
    source_folders: Listed[Path] = Field(
        default=(), description="folders of the server from which clients may ingest; none by default"
    )
    source_buckets: Listed[str] = Field(
        default=(), description="S3 buckets from which clients may ingest; none by default"
    )


class QueueSettings(Group):
    """Jobs done by workers, over Redis; without its URL, jobs run in the process that is asked for them."""

    url: SecretStr | None = Field(default=None, description="redis:// or rediss:// URL of the queue")
    prefix: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.:\-]{0,64}$",
        description="begins every key in Redis: deployments with different ones may share a database",
    )
    part_images: int = Field(default=1024, ge=1, le=65536, description="images that a worker embeds at a time")
    index_threads: int = Field(default=2, ge=1, le=64, description="units that one indexer works on at once")
    unit_limit_s: float = Field(
        default=3600.0, gt=0, description="longest silence of one unit, seconds; a worker beyond it ends itself"
    )
    lease_s: float = Field(
        default=30.0, gt=0, description="after how long the work of a worker that died is another's, seconds"
    )
    look_every_s: float = Field(
        default=15.0, gt=0, description="how often workers look for jobs that nobody is at, seconds"
    )
    visibility_s: float = Field(
        default=300.0, gt=0, description="after how long a message of a worker that died is delivered again, seconds"
    )
    retries: int = Field(
        default=8, ge=0, le=100, description="how often a unit that could not reach a server is tried again"
    )
