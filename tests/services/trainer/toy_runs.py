"""Runs of seconds: pictures, a store, commands in this process or in one that dies, and what they leave."""

import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch
from drawn_pictures import draw_pictures

from lookalike.cli import run

# One thread and float32: sums in one order, wherever the test runs.
ALWAYS = ("threads=1", "precision=float32", "device=cpu", "input_size=32")
CONV = ("architecture.widths=[4,8]", "batch_size=8")
RESNET = ("architecture.dimension=8", "architecture.widths=[4,8]", "architecture.depths=[1,1]")


@dataclass(frozen=True)
class Toy:
    """Pictures of three colours, and a store of its own beside them."""

    folder: Path

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    def train(self, recipe: str, run_folder: str, *overrides: str, options: Sequence[str] = ()) -> list[str]:
        """The arguments that train ``recipe`` in ``run_folder``."""
        changes = [part for value in (*ALWAYS, *overrides) for part in ("--set", value)]
        return [
            "train",
            recipe,
            "--data",
            str(self.pictures),
            "--run",
            str(self.folder / run_folder),
            *changes,
            *options,
        ]

    def resume(self, recipe: str, run_folder: str, options: Sequence[str] = ()) -> list[str]:
        return ["train", recipe, "--resume", "--run", str(self.folder / run_folder), *options]

    def events(self, run_folder: str) -> list[dict[str, Any]]:
        lines = (self.folder / run_folder / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def losses(self, run_folder: str) -> list[float]:
        """Each step's, in order."""
        return [event["losses"]["loss"] for event in self.events(run_folder) if event["event"] == "step"]

    def states(self, run_folder: str, name: str = "last") -> dict[str, torch.Tensor]:
        """The weights and buffers in a checkpoint."""
        path = self.folder / run_folder / "checkpoints" / f"{name}.pt"
        found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["states"]["step"]
        return found


def make_toy(folder: Path, per_color: int = 8) -> Toy:
    draw_pictures(folder / "pictures", per_color)
    return Toy(folder)


def use_store(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Settings of this process: a store below ``folder``, and no settings file."""
    for name, value in environment(folder).items():
        patch.setenv(name, value)
    patch.chdir(folder)


def environment(folder: Path) -> dict[str, str]:
    return {
        "LOOKALIKE_STORAGE__FOLDER": str(folder / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
        "LOOKALIKE_STORAGE__RUNS": str(folder / "runs"),
    }


def assert_same_weights(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    """Bit for bit."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def in_a_process(toy: Toy, arguments: Sequence[str], *, dies_at_save: int | None = None) -> BaseProcess:
    """A process that runs the command; with ``dies_at_save`` it is killed while it writes that checkpoint (from 1)."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "services.trainer.commands"])
    process = context.Process(target=_run, args=(str(toy.folder), list(arguments), dies_at_save))
    process.start()
    return process


def _run(folder: str, arguments: list[str], dies_at_save: int | None) -> None:
    os.environ.update(environment(Path(folder)))
    os.chdir(folder)
    if dies_at_save is not None:
        _die_at_save(dies_at_save)
    sys.exit(run(arguments))


def _die_at_save(number: int) -> None:
    """Kills this process between the bytes of a checkpoint and its name."""
    from services.trainer import checkpoint

    left = number
    sync = os.fsync

    class Dying:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        @staticmethod
        def fsync(handle: int) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            sync(handle)

    checkpoint.os = Dying()  # type: ignore[assignment]


def kill_after_steps(toy: Toy, run_folder: str, process: BaseProcess, num_steps: int) -> None:
    """Kills ``process`` once the run's events hold ``num_steps`` steps; one that ends before is an error."""
    events = toy.folder / run_folder / "events.jsonl"
    for _ in _until_it_ends(process):
        if events.is_file() and events.read_bytes().count(b'"event": "step"') >= num_steps:
            process.kill()
            process.join()
            assert process.exitcode == -signal.SIGKILL
            return
    pytest.fail(f"the run ended with {process.exitcode} before step {num_steps}")


def _until_it_ends(process: BaseProcess) -> Iterator[None]:
    while process.is_alive():
        yield
        process.join(0.005)
