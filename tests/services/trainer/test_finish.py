"""A run that was stopped can be ended where it is: its best epoch so far becomes the model."""

import json
from pathlib import Path

import pytest
from toy_runs import CONV, Toy, assert_same_weights, in_a_process, kill_after_steps, make_toy, use_store

from lookalike.cli import run
from services.trainer.checkpoint import load

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    made = make_toy(tmp_path)
    use_store(monkeypatch, tmp_path)
    return made


def test_the_best_epoch_of_a_killed_run_becomes_the_model(toy: Toy, capsys: Printed) -> None:
    start = toy.train("conv_ae", "stopped", *CONV, "schedule.epochs=50", "checkpoint_s=0")
    kill_after_steps(toy, "stopped", in_a_process(toy, start), 8)
    position, _ = load(toy.folder / "stopped" / "checkpoints" / "best.pt")
    weights = toy.states("stopped", "last")
    capsys.readouterr()
    assert run(toy.resume("conv_ae", "stopped", options=["--finish", "--json"])) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (said["model"], said["best_epoch"]) == ("conv_ae@1", position.best_epoch)
    assert said["epochs"] < 50
    manifest = json.loads((toy.folder / "stopped" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["epochs"] == said["epochs"]
    # Nothing was trained any further.
    assert all((weights[name] == value).all() for name, value in toy.states("stopped", "last").items())


def test_what_an_archive_is_made_with_can_be_changed_when_training_is_over(toy: Toy, capsys: Printed) -> None:
    assert run(toy.train("conv_ae", "done", *CONV, "schedule.epochs=1", options=["--no-export"])) == 0
    weights = toy.states("done", "last")
    changes = ["--set", "export.projection=3", "--set", "name=short"]
    capsys.readouterr()
    assert run(toy.resume("conv_ae", "done", options=["--finish", *changes])) == 0
    assert_same_weights(toy.states("done", "last"), weights)
    capsys.readouterr()
    assert run(["models", "show", "short", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dimension"] == 3
    config = json.loads((toy.folder / "done" / "config.json").read_text(encoding="utf-8"))
    assert (config["export"]["projection"], config["name"]) == (3, "short")
    # What three components are worth is measured on the validation images, as all of them were.
    metrics = json.loads((toy.folder / "done" / "manifest.json").read_text(encoding="utf-8"))["metrics"]
    measured = {name for name in metrics if "precision@4" in name}
    assert {f"projected {name}" for name in measured if "projected" not in name} <= measured
    assert metrics["projected mean_cosine"] != metrics["mean_cosine"]
    # What cannot be done is not kept.
    assert run(toy.resume("conv_ae", "done", options=["--finish", "--set", "export.projection=5000"])) == 2
    assert "export.projection is at most" in capsys.readouterr().err
    assert json.loads((toy.folder / "done" / "config.json").read_text(encoding="utf-8")) == config


def test_a_run_without_a_finished_epoch_has_no_model(toy: Toy, capsys: Printed) -> None:
    start = toy.train("conv_ae", "early", *CONV, "schedule.epochs=50")
    kill_after_steps(toy, "early", in_a_process(toy, start), 1)
    (toy.folder / "early" / "checkpoints" / "best.pt").unlink(missing_ok=True)
    assert run(toy.resume("conv_ae", "early", options=["--finish"])) == 2
    assert "has no finished epoch to make a model of" in capsys.readouterr().err


def test_finishing_is_for_a_run_that_was_begun(toy: Toy, capsys: Printed) -> None:
    assert run(toy.train("conv_ae", "new", *CONV, options=["--finish"])) == 2
    assert "--resume --run FOLDER --finish" in capsys.readouterr().err
    assert not (toy.folder / "new").exists()


def test_the_last_epoch_is_the_model_where_that_is_asked_for(toy: Toy) -> None:
    """Precision of three colours is soon 1 and stays: the best is an early epoch, the first of the equal ones."""
    for select in ("best", "last"):
        overrides = (*CONV, "schedule.epochs=6", f"select={select}")
        assert run(toy.train("conv_ae", select, *overrides, options=["--no-export"])) == 0
    values = [event["metrics"]["subcategory precision@4"] for event in toy.events("best") if event["event"] == "epoch"]
    assert values.index(max(values)) < 5
    chosen, last = toy.states("last", "best"), toy.states("last", "last")
    assert all((last[name] == value).all() for name, value in chosen.items())
    position, _ = load(toy.folder / "last" / "checkpoints" / "best.pt")
    assert position.best_epoch == 5
    # The same run otherwise.
    assert toy.losses("best") == toy.losses("last")
    assert any((last[name] != value).any() for name, value in toy.states("best", "best").items())
