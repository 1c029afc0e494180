"""Checkpoints: whole or not there, and no more than tensors and plain values."""

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from lookalike.errors import InvalidRequest
from services.trainer import checkpoint
from services.trainer.checkpoint import Position

STATES: dict[str, Any] = {
    "step": {"weight": torch.arange(6.0).reshape(2, 3), "count": torch.tensor(3)},
    "optimiser": {"state": {0: {"step": torch.tensor(2.0)}}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]},
}
POSITION = Position(epoch=2, step=5, global_step=25, losses={"loss": 0.1}, best_epoch=1, best_value=0.5, seconds=1.5)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "new", "last.pt", POSITION, STATES, "digest")
    position, states = checkpoint.load(tmp_path / "new" / "last.pt", "digest")
    assert position == POSITION
    assert states["step"].keys() == {"weight", "count"}
    torch.testing.assert_close(states["step"]["weight"], STATES["step"]["weight"], atol=0, rtol=0)
    assert states["optimiser"] == STATES["optimiser"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["last.pt"]


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "last.pt", POSITION, STATES, "digest")
    with pytest.raises(InvalidRequest, match=r"last\.pt belongs to a run with another configuration"):
        checkpoint.load(tmp_path / "last.pt", "other")
    assert checkpoint.load(tmp_path / "last.pt")[0] == POSITION


class Code:
    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "content",
    [
        {"position": vars(POSITION), "states": {"step": Code()}, "config": "digest"},
        Code(),
        torch.zeros(3),
        [1, 2],
        "text",
        None,
        {"states": {}, "config": "digest"},
        {"position": {"epochs": 3}, "states": {}, "config": "digest"},
        {"position": 3, "states": {}, "config": "digest"},
    ],
    ids=lambda content: type(content).__name__,
)
def test_what_is_no_checkpoint_is_refused_and_runs_nothing(
    tmp_path: Path, content: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(InvalidRequest, match=r"last\.pt is no checkpoint of the trainer"):
        checkpoint.load(tmp_path / "last.pt", "digest")
    assert not (tmp_path / "ran").exists()


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "last.pt", POSITION, STATES, "digest")
    path, whole = tmp_path / "last.pt", (tmp_path / "last.pt").read_bytes()
    draw = random.Random(0)
    cuts = [whole[: draw.randrange(len(whole))] for _ in range(20)]
    for damaged in (b"", *cuts, *(draw.randbytes(200) for _ in range(20)), b"\x80\x02" + draw.randbytes(50)):
        path.write_bytes(damaged)
        with pytest.raises(InvalidRequest, match=r"last\.pt is no checkpoint"):
            checkpoint.load(path, "digest")


def test_a_save_that_fails_keeps_the_one_before(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, "last.pt", POSITION, STATES, "digest")
    with pytest.raises(AttributeError, match="pickle"):
        checkpoint.save(tmp_path, "last.pt", Position(), {"step": lambda: None}, "digest")
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    assert checkpoint.load(tmp_path / "last.pt", "digest")[0] == POSITION


def test_only_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    for name in (".last.pt.0a1b", ".best.pt.0a1b", "last.pt", "best.pt", ".other"):
        (tmp_path / name).write_bytes(b"")
    checkpoint.remove_partial(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".other", "best.pt", "last.pt"]
    checkpoint.remove_partial(tmp_path / "absent")
