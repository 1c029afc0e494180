"""Settings of images that come from outside."""

from pydantic import Field, IPvAnyNetwork

from lookalike.setting_groups.group import Group, Listed


class ImageSettings(Group):
    """Limits on every image, checked before it is decoded."""

    max_bytes: int = Field(default=50 * 2**20, ge=1, description="largest image file, in bytes")
    max_pixels: int = Field(default=100_000_000, ge=1, description="largest image, in pixels")


class UrlSettings(Group):
    """Fetching images by URL. Private, loopback and link-local addresses are always refused unless listed here."""

    timeout_s: float = Field(default=10.0, gt=0, le=300, description="longest time for one image, in seconds")
    allowed_networks: Listed[IPvAnyNetwork] = Field(
        default=(), description="networks (CIDR) that may be reached although private"
    )
