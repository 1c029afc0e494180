"""What the backends declare, as values that can be shown."""

from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from lookalike.errors import MissingExtra
from lookalike.indexes.port import Backend, ParamSpec, ParamValue


class ParamDescription(BaseModel):
    """One parameter; ``default`` None means that the backend chooses by the size of the gallery."""

    model_config = ConfigDict(frozen=True)

    type: str
    default: ParamValue | None
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]


class BackendDescription(BaseModel):
    """``available`` is false, with the reason, where its library is not installed."""

    model_config = ConfigDict(frozen=True)

    name: str
    available: bool
    unavailable_because: str | None = None
    metrics: tuple[str, ...] = ()
    filters_natively: bool = False
    updates_in_place: bool = False
    build_params: dict[str, ParamDescription] = {}
    search_params: dict[str, ParamDescription] = {}


def describe_backends(backend: Callable[[str], Backend], names: Sequence[str]) -> list[BackendDescription]:
    """Every backend, also those that are not installed."""
    found = []
    for name in names:
        try:
            can = backend(name).capabilities
        except MissingExtra as error:
            found.append(BackendDescription(name=name, available=False, unavailable_because=error.message))
            continue
        found.append(
            BackendDescription(
                name=name,
                available=True,
                metrics=can.metrics,
                filters_natively=can.filters_natively,
                updates_in_place=can.updates_in_place,
                build_params=_described(can.build_params),
                search_params=_described(can.search_params),
            )
        )
    return found


def installed(backend: Callable[[str], Backend], names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Which of ``names`` can be built here, and why the others can't."""
    present, missing = [], {}
    for name in names:
        try:
            backend(name)
        except MissingExtra as error:
            missing[name] = error.message
        else:
            present.append(name)
    return present, missing


def _described(specs: Mapping[str, ParamSpec]) -> dict[str, ParamDescription]:
    return {
        name: ParamDescription(
            type=spec.type.__name__,
            default=spec.default,
            description=spec.description,
            minimum=spec.minimum,
            maximum=spec.maximum,
            choices=spec.choices,
        )
        for name, spec in specs.items()
    }
