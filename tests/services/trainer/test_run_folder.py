"""A run's folder, and what is refused of --resume and --run."""

import json
from pathlib import Path

import pytest
from toy_runs import CONV, RESNET, Toy, assert_same_weights, make_toy, use_store

from lookalike.cli import run
from lookalike.errors import InvalidRequest
from services.trainer.recipes import recipe
from services.trainer.run_folder import RunFolder

Printed = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    toy = make_toy(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, toy.folder)
        assert run(toy.train("conv_ae", "done", *CONV, "schedule.epochs=1", options=["--no-export"])) == 0
    return toy


@pytest.fixture
def toy(trained: Toy, monkeypatch: pytest.MonkeyPatch) -> Toy:
    use_store(monkeypatch, trained.folder)
    return trained


def test_a_configuration_is_kept_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a" / "run")
    folder.begin(recipe("distilled"))
    assert folder.read_config() == recipe("distilled")
    with pytest.raises(InvalidRequest, match="holds a run already: --resume goes on with it"):
        folder.begin(recipe("conv_ae"))
    assert folder.read_config() == recipe("distilled")
    assert [path.name for path in folder.path.iterdir()] == ["config.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"recipe": "house"}', b"\xff\xfe"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InvalidRequest, match="is no configuration"):
        RunFolder(tmp_path).read_config()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe"])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"cannot be read|is no manifest"):
        RunFolder(tmp_path).read_manifest()


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="is no training run: it has no config"):
        RunFolder(tmp_path).read_config()
    with pytest.raises(InvalidRequest, match="is no finished run: train --resume --run"):
        RunFolder(tmp_path).read_manifest()


def refusal(arguments: list[str], capsys: Printed) -> str:
    capsys.readouterr()
    assert run(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_what_resume_refuses(toy: Toy, capsys: Printed) -> None:
    done = str(toy.folder / "done")
    assert "--resume needs the run's folder" in refusal(["train", "conv_ae", "--resume"], capsys)
    resume = toy.resume("conv_ae", "done")
    said = refusal([*resume, "--set", "export.half=true", "--set", "seed=3"], capsys)
    assert "--set changes only what does not decide about its weights" in said
    assert not RunFolder(toy.folder / "done").read_config().export.half
    assert f"{done} is a run of conv_ae, not of distilled" in refusal(toy.resume("distilled", "done"), capsys)
    assert f"{done} began with --data {toy.pictures}, not " in refusal([*resume, "--data", "elsewhere"], capsys)
    assert f"{done} began with --images None, not " in refusal([*resume, "--images", "elsewhere"], capsys)
    assert "it has no config.json" in refusal(toy.resume("conv_ae", "absent"), capsys)
    assert "holds a run already" in refusal(toy.train("conv_ae", "done", *CONV), capsys)
    assert "name the images: --data" in refusal(["train", "conv_ae"], capsys)


def test_a_finished_run_is_only_finished_again(toy: Toy) -> None:
    before, steps = toy.states("done"), toy.events("done")
    made = json.loads((toy.folder / "done" / "manifest.json").read_text(encoding="utf-8"))
    (toy.folder / "done" / "manifest.json").unlink()
    again = [*toy.resume("conv_ae", "done"), "--data", str(toy.pictures), "--no-export"]
    assert run(again) == 0
    assert_same_weights(toy.states("done"), before)
    assert toy.events("done") == steps
    found = json.loads((toy.folder / "done" / "manifest.json").read_text(encoding="utf-8"))
    for changing in ("finished_at", "this_process_s"):
        del made[changing], found[changing]
    assert found == made


def test_without_a_folder_the_settings_say_where(toy: Toy) -> None:
    arguments = toy.train("conv_ae", "x", *CONV, "schedule.epochs=1", "name=mine", options=["--no-export"])
    at = arguments.index("--run")
    del arguments[at : at + 2]
    assert run(arguments) == 0
    (made,) = (toy.folder / "runs").iterdir()
    assert made.name.startswith("mine-")
    assert (made / "manifest.json").is_file()


def test_a_projection_that_cannot_be_made_is_refused_before_the_training(toy: Toy, capsys: Printed) -> None:
    changes = (*RESNET, "batch_size=8", "export.projection=9")
    assert "export.projection is at most 8 here (18 training images, embeddings of dimension 8), not 9" in refusal(
        toy.train("metric", "projected", *changes), capsys
    )
    assert not (toy.folder / "projected" / "checkpoints").exists()


def test_data_that_cannot_be_trained_on(toy: Toy, capsys: Printed) -> None:
    arguments = toy.train("conv_ae", "nothing", *CONV)
    arguments[arguments.index("--data") + 1] = str(toy.folder / "no such folder")
    assert "does not exist" in refusal(arguments, capsys)
    one = toy.train("conv_ae", "one", *CONV, "data.max_images=3", "data.val_share=0.34")
    assert "validat" in refusal(one, capsys)
