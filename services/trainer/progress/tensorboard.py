"""TensorBoard scalars of a run."""

import math
from pathlib import Path

from lookalike.errors import MissingExtra
from services.trainer.progress.events import EpochEvent, Event, StepEvent

try:
    from torch.utils.tensorboard import SummaryWriter
except ImportError as error:
    raise MissingExtra("tensorboard", "trainer") from error


class TensorBoard:
    """``loss/NAME``, ``lr`` and ``images_per_s`` at each step, ``validation/NAME`` at the last step of each epoch.

    With ``resume_from`` steps already taken, TensorBoard hides what earlier files in ``folder`` hold beyond them;
    below 0 it hides all.
    """

    def __init__(self, folder: Path, *, resume_from: int = -1) -> None:
        self._writer = SummaryWriter(str(folder), purge_step=max(resume_from, 0) + 1)

    def write(self, event: Event) -> None:
        if isinstance(event, StepEvent):
            scalars = {f"loss/{name}": value for name, value in event.losses.items()}
            scalars |= {"lr": event.lr, "images_per_s": event.images_per_s}
        elif isinstance(event, EpochEvent):
            scalars = {f"validation/{name}": value for name, value in event.metrics.items()}
        else:
            return
        for name, value in scalars.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, event.global_step)

    def close(self) -> None:
        self._writer.close()
