"""Whatever goes wrong is one line and an exit status."""

from pathlib import Path

import pytest
from cli_outcome import Cli

from lookalike.cli import output
from lookalike.errors import DamagedArtifact, InvalidRequest, MissingExtra


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "No such command 'nonsense'."),
        (["gallery", "nonsense"], "No such command 'nonsense'."),
        (["ingest", "trips"], "Missing argument 'source'."),
        (["search", "trips", "a.png", "b.png"], "Got unexpected extra argument(s) (b.png)"),
        (["config", "--verbose"], "No such option: --verbose"),
        (["tune", "trips", "-b", "faiss", "--target-knn-recall", "1.5"], "Invalid value for '--target-knn-recall'"),
        (["gallery", "create", "Trips & Tours"], "not a gallery name: 'Trips & Tours'"),
        (["ingest", "trips", "/nowhere/at/all"], "'/nowhere/at/all' does not exist"),
        (["models", "import", "hub:resnet18"], "not a model source: 'hub:resnet18'"),
        (["models", "import", "baseline:absent"], "no built-in model 'absent'"),
        (["models", "import", "baseline:pixels16", "--name", "Pixels 16"], "not a model name: 'Pixels 16'"),
        (["models", "show", "a b"], "not a model: 'a b'"),
        (["demo", "--no-serve", "--images", "/nowhere/at/all"], "'/nowhere/at/all' does not exist"),
    ],
)
def test_what_is_asked_wrongly_has_status_2(cli: Cli, arguments: list[str], message: str) -> None:
    outcome = cli(*arguments)
    assert outcome.error.startswith(message)
    assert outcome.status == 2


def test_a_group_without_a_command_shows_its_help(cli: Cli) -> None:
    outcome = cli("gallery")
    assert outcome.status == 2
    assert "create" in outcome.out
    assert cli("--help").status == 0


def test_the_version_is_printed(cli: Cli) -> None:
    assert cli("--version").out.strip().count(".") >= 1


def test_a_wrong_setting_is_one_line_for_every_command(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_GATEWAY__PROT", "1")
    outcome = cli("gallery", "list")
    assert outcome.error == "unknown setting LOOKALIKE_GATEWAY__PROT; did you mean LOOKALIKE_GATEWAY__PORT?"
    assert outcome.status == 2


def test_a_file_where_the_store_should_be_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    outcome = cli("gallery", "create", "trips")
    assert outcome.status in (1, 2, 3)
    assert str(tmp_path / "store") in outcome.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(InvalidRequest("no"), 2), (MissingExtra("faiss", "faiss"), 3), (DamagedArtifact("broken"), 1)],
)
def test_the_status_says_whose_fault_it_is(error: Exception, status: int) -> None:
    assert output.fail(error) == status  # type: ignore[arg-type]


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    output.fail(InvalidRequest("first\n  second"))
    assert capsys.readouterr().err == "lookalike: first second\n"
