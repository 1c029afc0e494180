"""The loop's parts: rate, size, optimiser, shares of a batch; and a run that diverges or collapses."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from toy_runs import ALWAYS, CONV, RESNET, Toy, assert_same_weights, make_toy, use_store

from lookalike.cli import run
from lookalike.errors import TrainingDiverged
from services.trainer import checkpoint
from services.trainer.architectures import build
from services.trainer.checkpoint import Position
from services.trainer.config import OptimiserConfig, TrainConfig
from services.trainer.devices import make_fabric
from services.trainer.loop import _even, fit, selection_value
from services.trainer.objectives import Objective
from services.trainer.progress import Reporter
from services.trainer.recipes import recipe
from services.trainer.schedule import image_size, learning_rate, make_optimiser
from services.trainer.training_data import LabelledData

Printed = pytest.CaptureFixture[str]


def scheduled(*overrides: str) -> TrainConfig:
    return recipe("metric", ["optimiser.lr=0.1", *overrides])


def test_a_constant_rate_after_a_linear_warm_up() -> None:
    config = scheduled("schedule.warmup_steps=4", "schedule.decay=constant", "schedule.epochs=10")
    rates = [learning_rate(config, step, step / 3) for step in range(6)]
    assert rates == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.1, 0.1])
    unwarmed = scheduled("schedule.warmup_steps=0", "schedule.decay=constant")
    assert learning_rate(unwarmed, 0, 0) == 0.1


def test_half_a_cosine_to_the_end() -> None:
    config = scheduled("schedule.warmup_steps=0", "schedule.decay=cosine", "schedule.epochs=10")
    assert learning_rate(config, 0, 0.0) == 0.1
    assert learning_rate(config, 25, 2.5) == pytest.approx(0.05 * (1 + math.sqrt(0.5)))
    assert learning_rate(config, 50, 5.0) == pytest.approx(0.05)
    assert 0 < learning_rate(config, 99, 9.9) < 0.003
    assert learning_rate(config, 100, 10.0) == pytest.approx(0)
    rates = [learning_rate(config, step, step / 10) for step in range(100)]
    assert rates == sorted(rates, reverse=True)
    warm = scheduled("schedule.warmup_steps=50", "schedule.decay=cosine", "schedule.epochs=10")
    assert learning_rate(warm, 24, 2.5) == pytest.approx(0.5 * learning_rate(config, 24, 2.5))


def test_from_restart_at_on_the_course_begins_anew_and_lower() -> None:
    config = scheduled(
        "schedule.epochs=10",
        "schedule.warmup_steps=4",
        "schedule.decay=cosine",
        "schedule.restart_at=0.4",
        "schedule.restart_factor=0.25",
    )
    alone = scheduled("schedule.epochs=4", "schedule.warmup_steps=4", "schedule.decay=cosine")
    for step in (0, 3, 20, 39):
        assert learning_rate(config, step, step / 10) == learning_rate(alone, step, step / 10)
    assert learning_rate(config, 40, 4.0) == pytest.approx(0.025)
    assert learning_rate(config, 70, 7.0) == pytest.approx(0.0125)
    assert learning_rate(config, 99, 9.999) < 1e-6


def test_a_constant_rate_that_begins_anew_is_lower_from_there_on() -> None:
    config = scheduled("schedule.epochs=10", "schedule.restart_at=0.3", "schedule.restart_factor=0.5")
    constant = scheduled("schedule.epochs=10")
    config, constant = (
        made.model_copy(update={"schedule": made.schedule.model_copy(update={"decay": "constant"})})
        for made in (config, constant)
    )
    assert learning_rate(config, 299, 2.99) == learning_rate(constant, 299, 2.99)
    assert learning_rate(config, 300, 3.0) == pytest.approx(0.5 * learning_rate(constant, 300, 3.0))


def test_images_have_the_side_of_their_share_of_the_epochs() -> None:
    config = recipe("distilled", ["schedule.epochs=7"])  # 96, 128, 160
    assert [image_size(config, epoch) for epoch in range(7)] == [96, 96, 96, 128, 128, 160, 160]
    assert image_size(recipe("distilled", ["schedule.sides=[]"]), 0) == 160


@given(st.integers(1, 60), st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_every_epoch_has_the_last_side_that_has_begun(epochs: int, sides: list[int]) -> None:
    pairs = [[number / len(sides), 32 * side] for number, side in enumerate(sides)]
    config = recipe("distilled", [f"schedule.epochs={epochs}", f"schedule.sides={pairs}"])
    for epoch in range(epochs):
        assert image_size(config, epoch) == 32 * sides[epoch * len(sides) // epochs]


def module() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def test_adamw_decays_matrices_and_no_vectors() -> None:
    config = OptimiserConfig(name="adamw", lr=0.1, betas=(0.8, 0.9), eps=1e-7, weight_decay=0.05)
    optimiser = make_optimiser(module(), config)
    assert isinstance(optimiser, torch.optim.AdamW)
    decayed, spared = optimiser.param_groups
    assert [tuple(p.shape) for p in decayed["params"]] == [(4, 3, 3, 3), (2, 4)]
    assert [tuple(p.shape) for p in spared["params"]] == [(4,), (4,), (4,), (2,)]
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.05, 0)
    for group in optimiser.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (0.1, (0.8, 0.9), 1e-7)


def test_adam_is_the_studys() -> None:
    optimiser = make_optimiser(module(), recipe("resnet18").optimiser)
    assert type(optimiser) is torch.optim.Adam
    (group,) = optimiser.param_groups
    assert len(group["params"]) == 6
    assert (group["lr"], group["betas"], group["eps"], group["weight_decay"]) == (0.001, (0.9, 0.999), 1e-5, 0.01)


def test_sgd_has_nesterovs_momentum() -> None:
    optimiser = make_optimiser(module(), OptimiserConfig(name="sgd", lr=0.5, weight_decay=0.01))
    (group,) = optimiser.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 0.01)
    plain = make_optimiser(module(), OptimiserConfig(name="sgd", betas=(0, 0)))
    assert (plain.param_groups[0]["momentum"], plain.param_groups[0]["nesterov"]) == (0, False)


def test_what_is_frozen_is_not_trained() -> None:
    frozen = module()
    frozen[0].requires_grad_(False)
    assert sum(len(group["params"]) for group in make_optimiser(frozen, OptimiserConfig()).param_groups) == 4


def test_the_best_epoch_is_by_the_finest_level() -> None:
    metrics = {"loss": 3.0, "supercategory precision@4": 0.9, "subcategory precision@4": 0.4}
    assert selection_value(metrics) == 0.4
    del metrics["subcategory precision@4"]
    assert selection_value(metrics) == 0.9
    assert selection_value({"loss": 3.0, "mean_cosine": 0.1}) == -3


@given(st.integers(1, 40), st.integers(1, 8))
def test_shares_are_equal_and_none_is_empty(num_rows: int, parts: int) -> None:
    rows = np.arange(num_rows)
    even = _even(rows, parts)
    assert len(even) % parts == 0
    assert len(even) > 0
    if num_rows >= parts:
        assert even.tolist() == list(range(num_rows - num_rows % parts))
    else:
        assert even.tolist() == [row % num_rows for row in range(parts)]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = make_toy(tmp_path)
    use_store(monkeypatch, tmp_path)
    return made


def test_parts_of_a_batch_add_up_to_it(toy: Toy) -> None:
    """Without batch normalisation, two halves one after the other are the whole."""
    changes = (*CONV, "batch_size=6", "schedule.epochs=2", "optimiser.name=sgd", "optimiser.lr=0.5")
    assert run(toy.train("conv_ae", "whole", *changes, options=["--no-export"])) == 0
    assert run(toy.train("conv_ae", "halves", *changes, "accumulate=2", options=["--no-export"])) == 0
    assert toy.losses("halves") == pytest.approx(toy.losses("whole"), rel=1e-5)
    whole, halves = toy.states("whole"), toy.states("halves")
    assert all(torch.allclose(halves[name], whole[name], atol=1e-6) for name in whole)
    assert len(set(toy.losses("whole"))) == 6  # it learns


def test_a_loss_that_is_not_finite_ends_the_run(toy: Toy, capsys: Printed) -> None:
    """Steps that grow without bound: the checkpoint before stays, and going on ends in the same place."""
    changes = (*RESNET, "batch_size=6", "optimiser.name=sgd", "optimiser.lr=1e30", "optimiser.clip_norm=null")
    changes = (*changes, "data.images_per_class=2", "schedule.warmup_steps=0", "checkpoint_s=0")
    arguments = toy.train("metric", "wild", *changes, options=["--json"])
    assert run(arguments) == 2
    error = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert error["code"] == "training_diverged"
    assert f"epoch {error['epoch']}, step {error['step']} (learning rate " in error["message"]
    num_done = len(toy.losses("wild"))
    assert num_done < 20
    last = toy.folder / "wild" / "checkpoints" / "last.pt"
    if last.is_file():
        assert "the last good checkpoint is last.pt" in error["message"]
    else:
        assert "there is no checkpoint yet" in error["message"]
    assert not (toy.folder / "wild" / "manifest.json").exists()
    assert run(toy.resume("metric", "wild", ["--json"])) == 2
    again = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (again["code"], again["epoch"], again["step"]) == ("training_diverged", error["epoch"], error["step"])


class Spoilt(Objective):
    """At pass ``at`` (from 1) the loss is infinite, or only its gradient is."""

    passes: torch.Tensor

    def __init__(self, at: int, what: str) -> None:
        super().__init__()
        self.at, self.what = at, what
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, network, images_NCHW, pixels_NCHW, batch, gather):
        self.passes += 1
        embeddings = network(images_NCHW)
        loss = embeddings.square().mean()
        if int(self.passes) == self.at:
            gap = (embeddings - embeddings.detach()).sum()  # 0, where the slope of a root is infinite
            loss = loss * math.inf if self.what == "loss" else loss + gap.sqrt()
        return {"loss": loss}


@pytest.mark.parametrize(
    ("at", "what", "said"),
    [
        (4, "loss", "the loss is not finite at epoch 2, step 1 "),
        (6, "loss", "the loss is not finite at epoch 2, step 3 "),
        (6, "gradient", "a weight is not finite after epoch 2, step 3 "),  # no later loss of this epoch shows it
    ],
)
def test_the_checkpoint_before_a_divergence_is_good(tmp_path: Path, at: int, what: str, said: str) -> None:
    """It is the first epoch's, all of it finite, and a run without the fault goes on from it."""
    config = recipe("conv_ae", [*ALWAYS, *CONV, "batch_size=4", "schedule.epochs=3"])
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), np.uint8)
    data = LabelledData(images, np.zeros(12, np.int64), np.arange(12), config.data, config.seed)

    def go(objective: Objective, resumed: Any = None) -> Position:
        torch.manual_seed(0)
        network = build(config.architecture, config.input_size)
        fabric = make_fabric(config)
        return fit(config, "x", network, objective, data, lambda _: {}, tmp_path, fabric, Reporter(), resumed=resumed)

    with pytest.raises(TrainingDiverged, match=re.escape(said)) as caught:
        go(Spoilt(at, what))
    assert "the last good checkpoint is last.pt" in caught.value.message
    position, states = checkpoint.load(tmp_path / "last.pt", "x")
    assert (position.epoch, position.global_step, position.best_epoch) == (1, 3, 0)
    assert all(bool(torch.isfinite(tensor).all()) for tensor in states["step"].values())
    assert go(Spoilt(0, ""), (position, states)).epoch == 3


def test_a_collapse_is_named(toy: Toy, capsys: Printed) -> None:
    """Weights that decay to half with every step: a bias is soon all that is left of the code."""
    changes = ("architecture.hidden_widths=[16]", "architecture.dimension=8", "schedule.epochs=1", "batch_size=2")
    changes = (*changes, "optimiser.name=sgd", "optimiser.lr=0.1", "optimiser.weight_decay=5", "optimiser.betas=[0,0]")
    assert run(toy.train("vanilla_ae", "dead", *changes, options=["--json"])) == 0
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    (message,) = [line["text"] for line in lines if line.get("event") == "message"]
    assert message.startswith("collapsed: the embeddings of all images are alike (mean cosine 1.0000)")
    assert lines[-1]["collapsed"] is True
    assert lines[-1]["metrics"]["mean_cosine"] == pytest.approx(1, abs=1e-4)
    assert "the model has collapsed" in printed.err
    made = json.loads((toy.folder / "dead" / "manifest.json").read_text(encoding="utf-8"))
    assert made["collapsed"] is True
    assert run(["models", "show", "vanilla_ae", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["collapsed"] is True


def test_the_same_seed_gives_the_same_weights_and_another_does_not(toy: Toy) -> None:
    changes = (*CONV, "schedule.epochs=1")
    for name, seed in (("one", 3), ("two", 3), ("three", 4), ("four", 2**62)):
        assert run(toy.train("denoising_ae", name, *changes, f"seed={seed}", options=["--no-export"])) == 0
    assert_same_weights(toy.states("two"), toy.states("one"))
    weight = "network.encoder.stages.0.weight"
    assert not torch.equal(toy.states("three")[weight], toy.states("one")[weight])
