"""What every group of settings is made of."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

T = TypeVar("T")


def _split(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


Listed = Annotated[tuple[T, ...], BeforeValidator(_split)]


class Group(BaseModel):
    """Settings that belong together; an unknown one is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
