"""``lookalike study``: models trained on one part of a data set, measured on the other, in one table and one report."""

import json
from pathlib import Path

import pytest
from drawn_pictures import draw_pictures
from toy_runs import use_store

from lookalike.cli import run

Printed = pytest.CaptureFixture[str]
ALWAYS = ("input_size=32", "threads=1", "precision=float32", "device=cpu", "batch_size=8", "schedule.epochs=1")


def command(folder: Path, *options: str) -> list[str]:
    changes = [part for value in ALWAYS for part in ("--set", value)]
    study = ["study", str(folder / "pictures"), "--folder", str(folder / "out"), "--json", *changes]
    return [*study, "--recipes", "conv_ae,resnet18,densenet", "--set", "conv_ae:architecture.widths=[4,8]", *options]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    use_store(monkeypatch, tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    # Nothing answers there, so that DenseNet's weights cannot be downloaded wherever this runs.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    draw_pictures(tmp_path / "pictures", 8)
    return tmp_path


def test_it_measures_what_it_trained_on_images_that_it_did_not_train_on(folder: Path, capsys: Printed) -> None:
    assert run(["models", "import", "baseline:pixels16"]) == 0
    capsys.readouterr()
    assert run(command(folder, "--also", "pixels16", "--also", "absent")) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out.splitlines()[-1])
    assert result == json.loads((folder / "out" / "study.json").read_text(encoding="utf-8"))
    models = {model["name"]: model for model in result["models"]}
    assert {name for name, model in models.items() if model["ref"]} == {"conv_ae", "resnet18", "pixels16"}
    assert "--set architecture.weights=" in models["densenet"]["said"] or "--weights" in models["densenet"]["said"]
    assert "absent" in models["absent"]["said"]
    manifest = json.loads((folder / "out" / "runs" / "resnet18" / "manifest.json").read_text(encoding="utf-8"))
    assert result["num_images"] == manifest["data"]["num_val"] == 12
    assert manifest["data"]["num_train"] == 12
    assert models["conv_ae"]["loss_curve"] is not None
    assert (folder / "out" / models["conv_ae"]["loss_curve"]).is_file()
    assert {row["protocol"] for row in result["rows"]} == {"standard", "paper"}
    assert {row["level"] for row in result["rows"]} == {"subcategory", "supercategory"}
    assert "<table" in (folder / "out" / "study.html").read_text(encoding="utf-8")
    assert str(folder) not in (folder / "out" / "study.json").read_text(encoding="utf-8")


def test_a_second_call_trains_nothing_again_and_another_configuration_is_refused(folder: Path, capsys: Printed) -> None:
    one = command(folder, "--recipes", "conv_ae")
    assert run(one) == 0
    checkpoint = folder / "out" / "runs" / "conv_ae" / "checkpoints" / "last.pt"
    before = checkpoint.stat().st_mtime_ns
    capsys.readouterr()
    assert run(one) == 0
    assert checkpoint.stat().st_mtime_ns == before
    assert "training" not in capsys.readouterr().err
    assert run([*one, "--set", "seed=5"]) == 2
    assert "another configuration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipes", "resnet81"], "did you mean resnet18"),
        (["--set", "resnet81:input_size=32"], "which is no recipe"),
        (["--set", "conv_ae:architecture.width=[4]"], "did you mean widths"),
        (["--published", "missing.json"], "is no list of published figures"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    folder: Path, capsys: Printed, options: list[str], message: str
) -> None:
    assert run(command(folder, *options)) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "out").exists()
