"""Two CPU ranks over gloo, started by torchrun, train as one rank does with the same batch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.distributed.run import parse_args
from toy_runs import CONV, Toy, assert_same_weights, environment, make_toy, use_store

from lookalike.cli import run

# SGD, since Adam's first steps make the sign of a rounding error as large as any gradient.
SGD = ("batch_size=12", "schedule.epochs=3", "optimiser.name=sgd", "optimiser.weight_decay=0")
PAIRS = (
    "architecture.name=vanilla_ae",
    "architecture.hidden_widths=[16]",
    "architecture.dimension=8",
    "data.images_per_class=2",
    "data.crop_area=0.5",
    "schedule.warmup_steps=0",
)
DENSENET = ("architecture.stem_width=4", "architecture.growth_rate=4", "architecture.dimension=8")
COMPACT = ("architecture.widths=[4,8]", "architecture.depths=[1,1]", *PAIRS[2:])
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "conv_ae": ("conv_ae", (*CONV, *SGD, "optimiser.lr=0.5")),
    "conv_ae-halves": ("conv_ae", (*CONV, *SGD, "optimiser.lr=0.5", "accumulate=2")),
    "noise": ("denoising_ae", (*CONV, *SGD, "optimiser.lr=0.5", "accumulate=2")),
    # Batch normalisation over the images of both.
    "mini_densenet": ("mini_densenet", (*DENSENET, *SGD, "optimiser.lr=0.05")),
    "mini_densenet-halves": ("mini_densenet", (*DENSENET, *SGD, "optimiser.lr=0.01", "accumulate=2")),
    "compact": ("metric", (*COMPACT, *SGD, "batch_size=6", "optimiser.lr=0.05")),
    "classes": (
        "mini_densenet",
        (*PAIRS[:3], *SGD, "optimiser.lr=0.05", "data.balance=loss"),
    ),
    # Pairs of images on different ranks count: the embeddings are gathered.
    "pairs": ("metric", (*PAIRS, *SGD, "batch_size=6", "optimiser.lr=0.05")),
    "pairs-halves": ("metric", (*PAIRS, *SGD, "batch_size=12", "data.images_per_class=4", "accumulate=2")),
    "distilled": (
        "distilled",
        (
            *PAIRS[:3],
            *SGD,
            "optimiser.lr=0.05",
            "teacher.model=color_edges",
            "teacher.map_channels=null",
            "teacher.dimension=8",
            "teacher.precision=float32",
            "teacher.views_per_image=2",
            "schedule.sides=[]",
            "schedule.warmup_steps=0",
            "data.held_out_classes=0",
            "data.val_share=0.2",
        ),
    ),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """Every case trained by two ranks and by one."""
    made = make_toy(tmp_path_factory.mktemp("ranks"), 10)  # 24 to train on: every step has equal shares
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, made.folder)
        assert run(["models", "import", "baseline:color_edges"]) == 0
        _by_two_ranks(made, [_arguments(made, name, f"{name}-two") for name in CASES])
        for name in CASES:
            assert run(_arguments(made, name, f"{name}-one")) == 0
    return made


def _arguments(toy: Toy, name: str, run_folder: str) -> list[str]:
    recipe, changes = CASES[name]
    # The first becomes a model of the store, by one of the ranks.
    options = [] if run_folder == "conv_ae-two" else ["--no-export"]
    return toy.train(recipe, run_folder, *changes, options=options)


def _by_two_ranks(toy: Toy, commands: list[list[str]]) -> None:
    listed = toy.folder / "commands.json"
    listed.write_text(json.dumps(commands), encoding="utf-8")
    _torchrun("train_in_turn.py", listed, toy.folder)


def _torchrun(script: str, argument: Path, folder: Path) -> None:
    """Runs a script of this folder in two ranks."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    path = str(Path(__file__).parents[3])
    done = subprocess.run(
        [*torchrun, str(Path(__file__).with_name(script)), str(argument)],
        env={**os.environ, **environment(folder), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("name", CASES)
def test_two_ranks_are_one(toy: Toy, name: str) -> None:
    one, two = toy.losses(f"{name}-one"), toy.losses(f"{name}-two")
    assert len(two) == len(one) >= 3
    assert two == pytest.approx(one, abs=1e-5)
    assert max(one) - min(one) > 1e-4  # there is something to agree on
    expected, found = toy.states(f"{name}-one"), toy.states(f"{name}-two")
    assert found.keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, atol=1e-5, rtol=1e-4)
    made = json.loads((toy.folder / f"{name}-two" / "manifest.json").read_text(encoding="utf-8"))
    assert made["hardware"]["ranks"] == 2


def test_gradients_of_two_ranks_are_those_of_one(tmp_path: Path) -> None:
    """In float64, of each network with batch normalisation: what is left is no rounding that a deep one makes large."""
    _torchrun("rank_gradients.py", tmp_path / "found.json", tmp_path)
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found.keys() == {"resnet18", "mini_densenet", "compact", "inverted"}
    for name, differences in found.items():
        assert differences["together"] < 1e-9, name
        assert differences["apart"] > 1e-3, name  # each rank's own statistics give other gradients


def test_the_first_rank_reports_and_exports(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    use_store(monkeypatch, toy.folder)
    assert run(["models", "show", "conv_ae@1"]) == 0
    assert run(["models", "show", "conv_ae@2"]) == 2  # not one by each
    steps = [event["global_step"] for event in toy.events("conv_ae-two") if event["event"] == "step"]
    assert steps == list(range(1, len(steps) + 1))


def test_torchrun_leaves_the_commands_options_alone() -> None:
    """It takes ``--run`` for one of its own, and no short form of two of them, unless ``--`` ends those."""
    command = ["train", "conv_ae", "--data", "photos", "--run", "runs/a"]
    understood = parse_args(["--nproc-per-node", "2", "-m", "--", "lookalike", *command])
    assert (understood.training_script, understood.training_script_args) == ("lookalike", command)
    with pytest.raises(SystemExit):
        parse_args(["--nproc-per-node", "2", "-m", "lookalike", *command])


def test_a_run_of_two_ranks_is_resumed_by_one(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its configuration and checkpoints do not depend on how many there are."""
    use_store(monkeypatch, toy.folder)
    before = toy.states("pairs-two")
    assert run(toy.resume("metric", "pairs-two", ["--no-export"])) == 0
    assert_same_weights(toy.states("pairs-two"), before)
