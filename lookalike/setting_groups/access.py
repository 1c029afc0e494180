"""Settings of who may do what, and how often."""

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from lookalike.setting_groups.group import Group, Listed

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
MIN_BOOTSTRAP_CHARS = 32


class AccessSettings(Group):
    """API keys and rate limits of the gateway."""

    keys: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="whether requests need a key, and have a rate limit; auto: unless the gateway listens on "
        "addresses of this machine alone (127.0.0.1)",
    )
    bootstrap_key: SecretStr | None = Field(
        default=None,
        description="a key for everything that is not in the store, to make the first ones with; 32 characters or more",
    )
    requests_per_minute: int = Field(
        default=3000, ge=1, le=1_000_000, description="what a key may use in the long run, and an address without one"
    )
    burst_s: float = Field(
        default=10.0, ge=1, le=3600, description="how many seconds of that may be used at once, after a pause"
    )
    cors_origins: Listed[str] = Field(
        default=(),
        description="origins (`https://app.example`) whose pages may use the API in a browser, with keys of their own",
    )
    open_metrics: bool = Field(default=True, description="/metrics needs no key; false: one for reading")

    @field_validator("bootstrap_key")
    @classmethod
    def _long_enough(cls, said: SecretStr | None) -> SecretStr | None:
        """A short one could be guessed, and nothing slows guessing down."""
        if said is not None and not (
            len(text := said.get_secret_value()) >= MIN_BOOTSTRAP_CHARS and text.isascii() and text.isprintable()
        ):
            raise ValueError(f"has at least {MIN_BOOTSTRAP_CHARS} printable ASCII characters: openssl rand -hex 32")
        return said

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, said: tuple[str, ...]) -> tuple[str, ...]:
        for origin in said:
            if _ORIGIN.fullmatch(origin) is None:
                raise ValueError(f"{origin!r:.100} is not an origin such as https://app.example, without a path")
        return said
