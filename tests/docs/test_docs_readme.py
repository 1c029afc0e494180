"""The README's steps really run, one after the other, on a small folder; so do those of the tutorial."""

import os
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from drawn_pictures import draw_pictures
from pages import DOCS, REPOSITORY, blocks, commands

README = REPOSITORY / "README.md"


def test_it_shows_the_straight_path_and_the_two_commands() -> None:
    text = README.read_text(encoding="utf-8")
    assert (
        "images -> decode + resize -> embed -> embedding set -> build indexes -> promote -> search -> evaluate" in text
    )
    assert "make run" in text
    assert "make test" in text
    assert len(text.splitlines()) < 100


@pytest.mark.parametrize("page", [README, DOCS / "tutorial" / "first-search.md"], ids=lambda page: page.stem)
def test_the_steps_run_as_they_stand(page: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    draw_pictures(home / "Pictures" / "holidays", per_color=4)
    photo = home / "Pictures" / "holidays" / "warm" / "red" / "0.png"
    (tmp_path / "photo.jpg").write_bytes(photo.read_bytes())
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
        "HOME": str(home),
        "LOOKALIKE_STORAGE__FOLDER": str(tmp_path / "store"),
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
    }
    steps = [
        call for call in commands(page) if call.startswith("lookalike ") and not call.startswith("lookalike serve")
    ]
    assert len(steps) >= 8
    for step in steps:
        if "annoy" in step and find_spec("annoy") is None:
            continue  # the page says that it needs a compiler
        words = [word.replace("~", str(home), 1) if word.startswith("~") else word for word in shlex.split(step)[1:]]
        ended = subprocess.run(
            [sys.executable, "-m", "lookalike", *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert ended.returncode == 0, f"{step}\n{ended.stderr}"
    assert (tmp_path / "hits.png").stat().st_size > 1000
    assert (tmp_path / "report.html").stat().st_size > 1000


def test_the_test_command_is_what_ci_runs() -> None:
    assert any("make test" in block for block in blocks(README))
    assert "make test" in (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()
