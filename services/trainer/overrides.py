"""``key=value`` changes of a configuration, validated as a whole."""

import difflib
import json
from collections.abc import Callable, Iterable
from typing import Any

from pydantic import TypeAdapter, ValidationError

from lookalike.errors import InvalidRequest
from services.trainer.architectures import ArchitectureConfig
from services.trainer.config import TeacherConfig, TrainConfig
from services.trainer.objectives import ObjectiveConfig

_CHOICES: dict[str, TypeAdapter[Any]] = {
    "architecture": TypeAdapter(ArchitectureConfig),
    "objective": TypeAdapter(ObjectiveConfig),
}
# What stands for a part that a recipe does not have, once a value of it is set.
_ABSENT: dict[str, Callable[[], dict[str, Any]]] = {"teacher": lambda: TeacherConfig().model_dump(), "objective": dict}


def with_overrides(config: TrainConfig, overrides: Iterable[str]) -> TrainConfig:
    """``config`` with values replaced: ``schedule.epochs=3``, ``architecture.widths=[16,32]``, ``teacher.model=x.mar``.

    A value is JSON where it parses as that, else text; ``null`` is None. Overrides apply in their order:
    ``architecture.name`` and ``objective.name`` start from the defaults of what they name, and so does a ``teacher``
    where there was none. Raises InvalidRequest,
    naming the key, for one that does not exist or a value that is not allowed.
    """
    values = config.model_dump()
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise InvalidRequest(f"--set takes key=value, not {override!r:.100}")
        _replace(values, key.strip(), _value(text))
    try:
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(_key_of(first["loc"]))
        raise InvalidRequest(f"the configuration is not valid at {path or 'its whole'}: {first['msg']}") from error


def _replace(values: dict[str, Any], key: str, value: object) -> None:
    *parents, last = key.split(".")
    at = values
    for name in parents:
        if at is values and name in _ABSENT and at[name] is None:
            at[name] = _ABSENT[name]()
        inner = at.get(name)
        if not isinstance(inner, dict):
            raise InvalidRequest(f"there is no {key!r:.100} in a configuration{_near(name, at)}", key=key)
        at = inner
    if last == "name" and len(parents) == 1 and parents[0] in _CHOICES:
        if at.get("name") != value:
            at.clear()
            at.update(_defaults(_CHOICES[parents[0]], value))
        return
    if at and last not in at:
        raise InvalidRequest(f"there is no {key!r:.100} in a configuration{_near(last, at)}", key=key)
    at[last] = value


def _defaults(choices: TypeAdapter[Any], name: object) -> dict[str, Any]:
    try:
        chosen: dict[str, Any] = choices.validate_python({"name": name}).model_dump()
    except ValidationError:  # the whole is validated afterwards, and says which names there are
        return {"name": name}
    return chosen


def _key_of(place: tuple[int | str, ...]) -> list[str]:
    """Where an error is, as a key: without the name of the choice, which pydantic puts in."""
    parts = [str(part) for part in place]
    return parts[:1] + parts[2:] if parts[:1] and parts[0] in _CHOICES else parts


def _near(name: str, known: dict[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f": there are {', '.join(known)}"


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
