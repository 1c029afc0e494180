"""Every recipe from its command: trained at toy size, exported, in the store, and embedding by its name."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_pictures import draw_pictures
from PIL import Image
from toy_runs import CONV, RESNET, Toy, make_toy, use_store

from lookalike.bootstrap import wire
from lookalike.cli import run
from lookalike.embedding.torchvision_stub import import_torchvision_package
from lookalike.images.prepare import prepare
from lookalike.settings import load
from lookalike.types.models import ModelRef
from services.trainer.store import open_teacher

Printed = pytest.CaptureFixture[str]
TRAINED = ("batch_size=8", "schedule.epochs=2")
# What makes each of them small, and the dimension of its embedding.
RECIPES: dict[str, tuple[tuple[str, ...], int]] = {
    "vanilla_ae": ((*TRAINED, "architecture.hidden_widths=[16]", "architecture.dimension=8"), 8),
    "conv_ae": ((*TRAINED, *CONV), 8 * 8 * 8),
    "denoising_ae": ((*TRAINED, *CONV, "architecture.pooling=avg"), 8),
    "densenet": (("architecture.model=squeezenet1_1", "architecture.weights=squeezenet1_1.pth"), 512),
    "mini_densenet": (
        (*TRAINED, "architecture.stem_width=4", "architecture.growth_rate=4", "architecture.dimension=16"),
        16,
    ),
    "resnext_wsl": (("architecture.model=resnet18", "architecture.weights=resnet18.pth"), 512),
    "resnet18": ((*TRAINED, "schedule.epochs=1"), 512),
    "metric": ((*TRAINED, *RESNET, "export.projection=4", "export.whiten=1"), 4),
    "distilled": (
        (
            *TRAINED,
            *RESNET,
            "teacher.model=squeezenet1_1-flat",
            "teacher.map_channels=512",
            "teacher.dimension=8",
            "teacher.views_per_image=2",
            "schedule.sides=[]",
            "data.held_out_classes=0",
        ),
        8,
    ),
}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """With random weights in files, and one of them as a model that gives maps."""
    made = make_toy(tmp_path_factory.mktemp("commands"))
    models = import_torchvision_package().models
    torch.manual_seed(0)
    for name in ("squeezenet1_1", "resnet18"):
        torch.save(models.get_model(name, weights=None).state_dict(), made.folder / f"{name}.pth")
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, made.folder)
        weights = str(made.folder / "squeezenet1_1.pth")
        assert run(["models", "import", "torchvision:squeezenet1_1", "--flattened", "--weights", weights]) == 0
        assert run(["models", "import", "baseline:color_edges"]) == 0
    return made


@pytest.fixture(autouse=True)
def _store(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    use_store(monkeypatch, toy.folder)


def embeddings(name: str, pictures: Path) -> np.ndarray:
    """Three pictures' by a model of the store, prepared as its manifest says."""
    workspace = wire(load())
    try:
        manifest = workspace.models.get(ModelRef.parse(name))
        embedder = open_teacher(workspace, name, "float32")
        images = [
            prepare(path.read_bytes(), size=manifest.input_size, policy=manifest.resize_policy, limits=workspace.limits)
            for path in sorted(pictures.glob("*/*/0.png"))
        ]
        try:
            return embedder.embed(np.stack(images))
        finally:
            embedder.close()
    finally:
        workspace.close()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_and_is_a_model_by_name(toy: Toy, recipe: str, capsys: Printed) -> None:
    changes, dimension = RECIPES[recipe]
    assert run(toy.train(recipe, recipe, *changes, options=["--json"])) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    outcome, events = lines[-1], lines[:-1]
    epochs = 0 if recipe in ("densenet", "resnext_wsl") else 1 if recipe == "resnet18" else 2
    assert (outcome["model"], outcome["epochs"]) == (f"{recipe}@1", epochs)
    assert [event["epoch"] for event in events if event["event"] == "epoch"] == list(range(epochs))
    assert outcome["num_train"] + outcome["num_val"] == 24
    assert 0 <= outcome["metrics"]["subcategory precision@4"] <= 1

    folder = toy.folder / recipe
    made = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert made["recipe"] == recipe
    assert {"torch", "numpy", "lookalike"} <= made["versions"].keys()
    assert made["hardware"]["device"] == "cpu"
    assert (made["seed"], made["data"]["num_images"]) == (0, 24)
    assert made["metrics"] == outcome["metrics"]
    pictures = {path.name for path in folder.glob("*.png")}
    assert "retrieval.png" in pictures
    assert ("loss.png" in pictures) == (epochs > 0)
    assert ("reconstructions.png" in pictures) == recipe.endswith("_ae")

    assert run(["models", "show", recipe, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["name"], shown["dimension"], shown["input_size"]) == (recipe, dimension, 32)
    assert shown["metrics"]["export_cosine"] >= 0.9999
    assert shown["recipe"]["data"]["digest"] == made["data"]["digest"]
    assert str(toy.folder) not in json.dumps(shown)  # paths of this machine stay here
    found = embeddings(recipe, toy.pictures)
    assert found.shape == (3, dimension)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 1e-4  # of three colours, not one vector


def test_a_teacher_of_embeddings_by_its_file(toy: Toy, capsys: Printed) -> None:
    archive = toy.folder / "color_edges.mar"
    assert run(["models", "export", "color_edges", str(archive)]) == 0
    changes = (*RECIPES["distilled"][0], "teacher.map_channels=null", "teacher.model=color_edges.mar", "name=by_file")
    assert run(toy.train("distilled", "by-file", *changes)) == 0
    config = json.loads((toy.folder / "by-file" / "config.json").read_text(encoding="utf-8"))
    assert config["teacher"]["model"] == str(archive)  # so that it is found from any folder
    capsys.readouterr()
    assert run(["models", "show", "by_file", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["recipe"]["config"]["teacher"]["model"] == "color_edges.mar"


@pytest.mark.parametrize(
    ("recipe", "url"),
    [
        ("densenet", "https://download.pytorch.org/models/densenet121-a639ec97.pth"),
        ("resnext_wsl", "https://download.pytorch.org/models/ig_resnext101_32x8-c38310e5.pth"),
    ],
)
def test_weights_that_cannot_be_downloaded_are_named(
    toy: Toy, recipe: str, url: str, capsys: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens on port 9 of this machine, through which all downloads are sent."""
    monkeypatch.setenv("TORCH_HOME", str(toy.folder / "hub"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert run(toy.train(recipe, f"{recipe}-absent")) == 3
    said = capsys.readouterr().err
    assert url in said
    assert "--set architecture.weights=FILE" in said


def test_an_interrupted_import_keeps_its_weights(toy: Toy) -> None:
    """What is not trained is resumed too: with the weights that were measured."""
    assert run(toy.train("resnext_wsl", "imported", *RECIPES["resnext_wsl"][0], "name=imported")) == 0
    before = embeddings("imported", toy.pictures)
    (toy.folder / "imported" / "manifest.json").unlink()
    assert run(toy.resume("resnext_wsl", "imported")) == 0
    np.testing.assert_array_equal(embeddings("imported", toy.pictures), before)


def test_what_cannot_be_exported_is_said_in_one_line(toy: Toy, capsys: Printed) -> None:
    run_folder = toy.folder / "unfinished"
    assert run(toy.train("conv_ae", "unfinished", *CONV, "schedule.epochs=1", options=["--no-export"])) == 0
    best = run_folder / "checkpoints" / "best.pt"
    whole, manifest = best.read_bytes(), (run_folder / "manifest.json").read_bytes()

    def refused(folder: Path) -> str:
        capsys.readouterr()
        assert run(["models", "export", str(folder), str(toy.folder / "none.mar")]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        assert not (toy.folder / "none.mar").exists()
        return printed.err

    (run_folder / "manifest.json").unlink()
    assert f"train --resume --run {run_folder}" in refused(run_folder)
    (run_folder / "manifest.json").write_bytes(manifest)
    for damaged in (whole[:-100], b"", b"not a checkpoint", _pickled_code()):
        best.write_bytes(damaged)
        assert "best.pt is no checkpoint of the trainer" in refused(run_folder)
    assert not hasattr(torch, "ran_from_a_checkpoint")
    best.write_bytes(whole)
    (run_folder / "config.json").write_text("{}")
    assert "is no configuration" in refused(run_folder)
    (run_folder / "config.json").unlink()
    assert f"not a model: '{run_folder}'" in refused(run_folder)
    assert run(["models", "export", str(run_folder)]) == 2
    assert f"{run_folder} is not the folder of a training run" in capsys.readouterr().err


class _Code:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return exec, ("import torch; torch.ran_from_a_checkpoint = True",)


def _pickled_code() -> bytes:
    file = io.BytesIO()
    torch.save({"position": _Code(), "states": {}, "config": ""}, file)
    return file.getvalue()


def test_images_that_cannot_be_read_are_counted_and_left_out(toy: Toy, capsys: Printed) -> None:
    draw_pictures(toy.folder / "spoiled", 4)
    (toy.folder / "spoiled" / "warm" / "red" / "broken.png").write_bytes(b"no picture")
    Image.new("L", (40, 30), 128).save(toy.folder / "spoiled" / "warm" / "red" / "grey.png")
    arguments = toy.train("conv_ae", "spoiled-run", *CONV, "schedule.epochs=1", options=["--no-export", "--json"])
    arguments[arguments.index("--data") + 1] = str(toy.folder / "spoiled")
    assert run(arguments) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["num_failed"] == 1
    assert "1 images could not be read" in printed.err
    made = json.loads((toy.folder / "spoiled-run" / "manifest.json").read_text(encoding="utf-8"))
    assert [failure["key"] for failure in made["data"]["failures"]] == ["warm/red/broken.png"]
    assert made["data"]["num_images"] == 13
