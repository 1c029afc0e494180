"""What a training run says while it runs: to people, to programs, to TensorBoard, and as pictures."""

from services.trainer.progress.reporter import EVENTS, TENSORBOARD, Reporter, open_reporter

__all__ = ["EVENTS", "TENSORBOARD", "Reporter", "open_reporter"]
