"""Commands run in this process, as ``lookalike …`` runs them, over a store of their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_outcome import Cli, Outcome
from drawn_pictures import draw_pictures

from lookalike.cli import run


def use_store(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Settings of this process: a store below ``folder``, and no settings file."""
    patch.setenv("LOOKALIKE_STORAGE__FOLDER", str(folder / "store"))
    patch.setenv("LOOKALIKE_STORAGE__CACHE", str(folder / "cache"))
    patch.setenv("LOOKALIKE_EMBEDDER__DEFAULT_MODEL", "color_edges")
    patch.chdir(folder)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures of three colours and one file that is none."""
    folder = draw_pictures(tmp_path_factory.mktemp("drawn") / "my pictures")
    (folder / "warm" / "red" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    return folder


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command over an empty store."""
    use_store(monkeypatch, tmp_path)

    def call(*arguments: object) -> Outcome:
        capsys.readouterr()
        status = run([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(status, printed.out, printed.err)

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Iterator[Path]:
    """A store with the gallery ``colors``, live on all four backends, made by the commands themselves."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        use_store(patch, folder)
        for command in (
            ["ingest", "colors", str(pictures)],
            ["models", "import", "baseline:color_edges"],
            ["embed", "colors"],
            ["build", "colors"],
            ["promote", "colors"],
        ):
            assert run(command) == 0
        yield folder


@pytest.fixture
def ready(cli: Cli, tmp_path: Path, finished: Path) -> Cli:
    """Runs a command over a copy of the finished store."""
    shutil.copytree(finished / "store", tmp_path / "store")
    return cli
