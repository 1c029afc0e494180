"""Killed at any moment and resumed, a run ends with the weights of one that was never killed, bit for bit."""

import random
import signal
from pathlib import Path

import pytest
from toy_runs import CONV, RESNET, Toy, assert_same_weights, in_a_process, kill_after_steps, make_toy, use_store

from lookalike.cli import run

EPOCHS = 6
STEPS = 3 * EPOCHS  # of 18 training images, by six
CASES = {
    # Classes drawn in balance, images mirrored and cropped; batch normalisation has statistics beside its weights.
    "mini_densenet": (
        "architecture.stem_width=4",
        "architecture.growth_rate=4",
        "architecture.num_layers=1",
        "architecture.dimension=8",
        "data.crop_area=0.5",
    ),
    # Noise from torch's generator.
    "denoising_ae": CONV,
    # A teacher's views, in a size that grows, with warm-up and decay.
    "distilled": (
        *RESNET,
        "input_size=64",
        "schedule.sides=[[0,32],[0.5,64]]",
        "schedule.warmup_steps=4",
        "teacher.model=color_edges",
        "teacher.map_channels=null",
        "teacher.precision=float32",
        "teacher.dimension=8",
        "teacher.views_per_image=2",
        "data.held_out_classes=0",
        "data.val_share=0.25",
    ),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    made = make_toy(tmp_path_factory.mktemp("killed"))
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, made.folder)
        assert run(["models", "import", "baseline:color_edges"]) == 0
    return made


@pytest.mark.parametrize("recipe", CASES)
def test_a_killed_run_ends_as_if_it_had_not_been(toy: Toy, recipe: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_store(monkeypatch, toy.folder)
    changes = (*CASES[recipe], "batch_size=6", f"schedule.epochs={EPOCHS}")
    whole, killed = f"{recipe}-whole", f"{recipe}-killed"
    assert run(toy.train(recipe, whole, *changes, options=["--no-export"])) == 0

    draw = random.Random(recipe)
    start = toy.train(recipe, killed, *changes, "checkpoint_s=0", options=["--no-export"])
    again = toy.resume(recipe, killed, options=["--no-export"])
    _dies_while_saving(toy, killed, start, 1)  # before there is any checkpoint
    kill_after_steps(toy, killed, in_a_process(toy, again), draw.randint(1, 4))
    _dies_while_saving(toy, killed, again, draw.randint(1, 3))
    _dies_while_saving(toy, killed, again, 4)  # within four saves an epoch ends: the best is written, then the last
    kill_after_steps(toy, killed, in_a_process(toy, again), draw.randint(10, STEPS - 4))
    assert run(again) == 0

    for name in ("last", "best"):
        assert_same_weights(toy.states(killed, name), toy.states(whole, name))
    steps = [event for event in toy.events(killed) if event["event"] == "step"]
    assert [event["global_step"] for event in steps] == list(range(1, STEPS + 1))
    assert [event["epoch"] for event in toy.events(killed) if event["event"] == "epoch"] == list(range(EPOCHS))
    assert toy.losses(killed) == toy.losses(whole)
    assert _partial(toy, killed) == []


def _dies_while_saving(toy: Toy, run_folder: str, arguments: list[str], number: int) -> None:
    process = in_a_process(toy, arguments, dies_at_save=number)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert len(_partial(toy, run_folder)) == 1


def _partial(toy: Toy, run_folder: str) -> list[Path]:
    return sorted((toy.folder / run_folder / "checkpoints").glob(".*"))
