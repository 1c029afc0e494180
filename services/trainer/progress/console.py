"""Progress for people: a bar while an epoch runs, a line when it is done."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from services.trainer.progress.events import EpochEvent, Event, MessageEvent, StepEvent, ViewsEvent


class ConsoleProgress:
    """A bar with loss, images/s and the time left on a terminal; lines of epochs and messages anywhere.

    The bar is the whole run's where ``num_epochs`` is known, else the epoch's. Epochs count from 1 for people.
    """

    def __init__(self, console: Console, *, num_epochs: int | None = None) -> None:
        self._console = console
        self._num_epochs = num_epochs
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task: TaskID | None = None
        self._doing: tuple[str, int] | None = None

    def write(self, event: Event) -> None:
        match event:
            case StepEvent():
                self._step(event)
            case EpochEvent():
                figures = "  ".join(f"{name} {value:.4f}" for name, value in event.metrics.items())
                self._print(f"epoch {event.epoch + 1}/{event.num_epochs}  {figures}  {event.seconds:.0f} s")
            case ViewsEvent():
                self._show("views", "teacher's views", event.done, event.total, "")
            case MessageEvent():
                self._print(event.text)

    def close(self) -> None:
        self._progress.stop()

    def _step(self, event: StepEvent) -> None:
        figures = f"{_losses(event.losses)}  {event.images_per_s:.0f} images/s"
        if self._num_epochs is None:
            self._show(f"epoch {event.epoch}", f"epoch {event.epoch + 1}", event.step, event.num_steps, figures)
        else:
            done, total = event.epoch * event.num_steps + event.step, self._num_epochs * event.num_steps
            self._show("run", f"epoch {event.epoch + 1}/{self._num_epochs}", done, total, figures)

    def _show(self, key: str, text: str, done: int, total: int, figures: str) -> None:
        if self._task is None or self._doing != (key, total):
            if self._task is not None:
                self._progress.remove_task(self._task)
            # What is done already is so when the bar starts: as an update it would count as infinitely fast.
            self._task = self._progress.add_task(text, total=total, completed=done, figures=figures)
            self._doing = (key, total)
            self._progress.start()
        else:
            self._progress.update(self._task, description=text, completed=done, figures=figures)

    def _print(self, text: str) -> None:
        self._console.print(escape(text), highlight=False, soft_wrap=True)


def _losses(losses: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in losses.items())
