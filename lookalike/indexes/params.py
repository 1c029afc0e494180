"""Validation of backend parameters against what the backend declares."""

import math
from collections.abc import Mapping

from lookalike.errors import ParameterOutOfRange, UnknownParameter
from lookalike.indexes.port import ParamSpec, ParamValue


def complete(specs: Mapping[str, ParamSpec], given: Mapping[str, object]) -> dict[str, ParamValue]:
    """``given`` checked against ``specs``, with defaults for what is missing.

    Parameters without a default that are not given stay out: the backend chooses them. Raises
    UnknownParameter or ParameterOutOfRange, both naming what would be right.
    """
    unknown = sorted(set(given) - set(specs))
    if unknown:
        raise UnknownParameter(
            f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(specs)) or 'none'}",
            parameters=unknown,
            known=sorted(specs),
        )
    checked = {name: _check(name, specs[name], value) for name, value in given.items()}
    defaults = {name: spec.default for name, spec in specs.items() if spec.default is not None}
    return {**defaults, **checked}


def _check(name: str, spec: ParamSpec, value: object) -> ParamValue:
    if spec.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not spec.type or not isinstance(value, str | int | float | bool):
        raise ParameterOutOfRange(
            f"{name} must be {spec.type.__name__}, not {value!r:.100}", parameter=name, expected=spec.type.__name__
        )
    if spec.choices and value not in spec.choices:
        raise ParameterOutOfRange(
            f"{name} must be one of {', '.join(spec.choices)}, not {value!r:.100}",
            parameter=name,
            choices=list(spec.choices),
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = spec.minimum, spec.maximum
        if not math.isfinite(value) or (low is not None and value < low) or (high is not None and value > high):
            raise ParameterOutOfRange(
                f"{name} must be in [{low}, {high}], not {value!r}", parameter=name, minimum=low, maximum=high
            )
    return value
