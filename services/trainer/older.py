"""Configurations and digests of runs that began before the configuration had what it has today."""

from typing import Any

from pydantic import BaseModel

from services.trainer.architectures import Inverted
from services.trainer.config import ScheduleConfig, TrainConfig

_SIDE_STEP = 32


def renewed(values: dict[str, Any]) -> dict[str, Any]:
    """What an older ``config.json`` says, as today's configuration says it; any other value as it is.

    ``schedule.first_size`` became ``sides``. ``drop_at`` and ``drop_factor`` are gone: a run with a drop stays one that
    can't be read.
    """
    schedule = values.get("schedule")
    if not isinstance(schedule, dict) or "first_size" not in schedule:
        return values
    schedule = dict(schedule)
    first, last = schedule.pop("first_size"), values.get("input_size")
    if isinstance(first, int) and isinstance(last, int):
        schedule["sides"] = growing_sides(first, last)
    if schedule.get("drop_at") == 1:
        del schedule["drop_at"]
        schedule.pop("drop_factor", None)
    return {**values, "schedule": schedule}


def growing_sides(first: int, last: int) -> tuple[tuple[float, int], ...]:
    """From ``first`` to ``last`` pixels in steps of 32, each for an equal share of the epochs."""
    sides = range(first, last + 1, _SIDE_STEP)
    return tuple((number / len(sides), side) for number, side in enumerate(sides))


def digested(config: TrainConfig) -> dict[str, Any]:
    """What the digest of a configuration is of: choices that are younger than runs which are to go on count once they
    are made, and what has another name today goes by its older one.
    """
    said = config.model_dump(mode="json", exclude={"device", "threads", "checkpoint_s", "export", "name"})
    if config.data.split == "source":
        del said["data"]["split"]
    if config.teacher is not None and not config.teacher.taps:
        del said["teacher"]["taps"]
    if config.objective is not None and config.objective.name == "blockwise" and config.objective.fixed_from == 1:
        del said["objective"]["fixed_from"]
    if config.architecture.name == "inverted":
        if config.architecture.expansions == _default(Inverted, "expansions"):
            del said["architecture"]["expansions"]
        if config.architecture.exponent == 1 or _learns_maps_to_the_end(config):
            del said["architecture"]["exponent"]
    if config.select == "best":
        del said["select"]
    said["schedule"] |= {"first_size": None, "drop_at": 1.0, "drop_factor": 1.0}
    sides = config.schedule.sides
    if not sides:
        del said["schedule"]["sides"]
    elif sides == growing_sides(sides[0][1], config.input_size):
        del said["schedule"]["sides"]
        said["schedule"]["first_size"] = sides[0][1]
    for name in ("restart_at", "restart_factor"):
        if said["schedule"][name] == _default(ScheduleConfig, name):
            del said["schedule"][name]
    return said


def _learns_maps_to_the_end(config: TrainConfig) -> bool:
    """Whether how a map is pooled has a part neither in the loss nor in which epoch is the model."""
    return config.objective is not None and config.objective.name == "blockwise" and config.select == "last"


def _default(model: type[BaseModel], name: str) -> object:
    return model.model_fields[name].default
