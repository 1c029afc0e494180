"""The recipe of the house model from its command: a teacher of random weights, a few pictures, one epoch."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from toy_runs import make_toy, use_store

from lookalike.cli import run
from lookalike.embedding.torchvision_stub import import_torchvision_package

Printed = pytest.CaptureFixture[str]
HALF = ("--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5")
# Half weights and principal components are for a model that tells pictures apart; this one has seen six batches.
SMALL = (
    "objective.joint_from=1",
    "schedule.sides=[]",
    "schedule.warmup_steps=0",
    "batch_size=4",
    "schedule.epochs=2",
    "data.held_out_classes=0.34",
    "data.val_share=0.25",
)
SMALL += ("export.half=false", "export.projection=null", "teacher.precision=float32", "teacher.model=mobilenet_v2")


def living_mobilenet() -> nn.Module:
    """MobileNetV2 with random weights whose norms have seen images, so that no layer of it is all zero."""
    network: nn.Module = import_torchvision_package().models.mobilenet_v2(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network.train()(torch.rand(8, 3, 96, 96) * 2 - 1)
    return network.eval()


def test_it_trains_on_two_thirds_of_the_classes_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    use_store(monkeypatch, tmp_path)
    toy = make_toy(tmp_path, per_color=4)
    weights = tmp_path / "mobilenet_v2.pth"
    torch.manual_seed(0)
    torch.save(living_mobilenet().state_dict(), weights)
    teacher = ["models", "import", "torchvision:mobilenet_v2", "--weights", str(weights), "--resize", "squash", *HALF]
    assert run(teacher) == 0
    assert run(toy.train("house", "house", "input_size=224", *SMALL)) == 0
    assert len(toy.losses("house")) == 4  # six images of two classes are trained on, by four
    capsys.readouterr()
    assert run(["models", "show", "house", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["dimension"], shown["input_size"]) == (1280, 224)
    data = shown["recipe"]["data"]
    assert (data["num_train"], data["num_val"], data["num_held_out"]) == (6, 2, 4)
    assert len(data["held_out_classes"]) == 1
    assert "Caltech-101" in shown["training_data"]
    assert shown["recipe"]["config"]["teacher"]["taps"][0] == "hardtanh_"


def test_student_and_teacher_see_images_of_one_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Printed
) -> None:
    use_store(monkeypatch, tmp_path)
    toy = make_toy(tmp_path, per_color=4)
    assert run(["models", "import", "baseline:pixels16"]) == 0
    assert run(toy.train("house", "house", *SMALL, "teacher.model=pixels16")) == 2
    assert "input_size 32 is not the teacher's" in capsys.readouterr().err
