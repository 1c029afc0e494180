"""The curves of a run, from its events."""

import math
from collections import defaultdict
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lookalike.errors import InvalidSource
from services.trainer.progress.event_log import read_events

_INCHES, _DPI = (9, 7), 100
_PIXELS = (_INCHES[0] * _DPI, _INCHES[1] * _DPI)
_LOG_FROM = 20  # largest over smallest loss, above which only logarithms show the end of the curve

Curves = dict[str, list[tuple[float, float]]]


def loss_curves(events: Path, target: Path) -> None:
    """Writes a PNG of 900 x 700 pixels: losses by epoch above, validation metrics by epoch below.

    ``events`` is a run's ``events.jsonl``. Both share one axis.
    Values that were not finite are left out. Raises InvalidSource where there is no step to draw.
    """
    losses, metrics = read_curves(events)
    if not losses:
        raise InvalidSource(f"{events.name} holds no step with a finite loss", path=events.name)
    # Figures of their own, without pyplot: nothing is shared with other threads and nothing stays open.
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    for name, curve in losses.items():
        above.plot(*zip(*curve, strict=True), label=name, linewidth=1)
    values = [value for curve in losses.values() for _, value in curve]
    if min(values) > 0 and max(values) > _LOG_FROM * min(values):
        above.set_yscale("log")
    above.set_ylabel("loss")
    above.legend()
    for name, curve in metrics.items():
        below.plot(*zip(*curve, strict=True), label=name, marker=".")
    below.set_ylabel("validation")
    below.set_xlabel("epoch")
    if metrics:
        below.legend()
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(target, format="png")


def read_curves(events: Path) -> tuple[Curves, Curves]:
    """Each loss and each metric as points (epochs done, value); half way through the first epoch is 0.5.

    An epoch's mean of a loss is not repeated among the metrics.
    """
    losses: Curves = defaultdict(list)
    metrics: Curves = defaultdict(list)
    for event in read_events(events):
        if event["event"] == "step":
            _add(losses, event["losses"], event["epoch"] + event["step"] / event["num_steps"])
        elif event["event"] == "epoch":
            _add(metrics, event["metrics"], event["epoch"] + 1)
    return dict(losses), {name: curve for name, curve in metrics.items() if name not in losses}


def _add(curves: Curves, values: dict[str, float | None], place: float) -> None:
    for name, value in values.items():
        if value is not None and math.isfinite(value):
            curves[name].append((place, value))
