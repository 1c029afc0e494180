"""One report, several readers."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from rich.console import Console

from services.trainer.progress.console import ConsoleProgress
from services.trainer.progress.event_log import EventLog, JsonLines
from services.trainer.progress.events import EpochEvent, Event, MessageEvent, Sink, StepEvent, ViewsEvent
from services.trainer.progress.tensorboard import TensorBoard

EVENTS = "events.jsonl"
TENSORBOARD = "tensorboard"


class Reporter:
    """Gives each event to each of ``sinks``, in order. Without sinks it says nothing: every rank but the first.

    ``global_step``: steps taken before the first that is reported.
    """

    def __init__(self, sinks: Sequence[Sink] = (), *, global_step: int = 0) -> None:
        self._sinks = tuple(sinks)
        self._global_step = global_step

    def step(
        self,
        epoch: int,
        step: int,
        num_steps: int,
        losses: Mapping[str, float],
        images_per_s: float,
        lr: float,
    ) -> None:
        """An optimiser step, every one of them: ``step`` from 1 of ``num_steps`` in epoch ``epoch``, from 0."""
        self._global_step += 1
        self._write(StepEvent(epoch, step, num_steps, self._global_step, dict(losses), images_per_s, lr))

    def epoch(self, epoch: int, num_epochs: int, metrics: Mapping[str, float], seconds: float) -> None:
        """The end of epoch ``epoch`` (from 0) with what validation measured, after its last step was reported."""
        self._write(EpochEvent(epoch, num_epochs, self._global_step, dict(metrics), seconds))

    def views(self, done: int, total: int) -> None:
        """So many of an epoch's views are made by the teacher."""
        self._write(ViewsEvent(done, total, self._global_step))

    def message(self, text: str) -> None:
        self._write(MessageEvent(text, self._global_step))

    def close(self) -> None:
        """Closes every sink, also when one of them fails."""
        with ExitStack() as stack:
            for sink in reversed(self._sinks):
                stack.callback(sink.close)

    def _write(self, event: Event) -> None:
        for sink in self._sinks:
            sink.write(event)


def open_reporter(
    run: Path,
    *,
    resume_from: int = -1,
    show: bool = True,
    as_json: bool = False,
    is_main: bool = True,
    num_epochs: int | None = None,
    console: Console | None = None,
    stream: TextIO | None = None,
) -> Reporter:
    """A reporter to ``events.jsonl`` and ``tensorboard/`` in the folder ``run``, and to people or a program.

    Args:
        run: exists.
        resume_from: steps that the checkpoint has taken from which the run goes on; what was reported after it is
            dropped. Below 0 for a run that begins.
        show: a bar and a line for each epoch on ``console``, or with ``as_json`` JSON lines on ``stream``.
        is_main: False on every rank but the first: nothing is written or shown.
        num_epochs: of the whole run: the bar and its time left are then the run's, else the epoch's.
        console, stream: None for standard error and standard output.
    """
    if not is_main:
        return Reporter()
    sinks: list[Sink] = [
        EventLog(run / EVENTS, resume_from=resume_from),
        TensorBoard(run / TENSORBOARD, resume_from=resume_from),
    ]
    if show and as_json:
        sinks.append(JsonLines(stream or sys.stdout))
    elif show:
        sinks.append(ConsoleProgress(console or Console(stderr=True), num_epochs=num_epochs))
    return Reporter(sinks, global_step=max(resume_from, 0))
