"""models list, show, import, export, register."""

from pathlib import Path

from cli_outcome import Cli


def test_a_model_is_imported_listed_and_shown(cli: Cli) -> None:
    assert cli("models", "list", "--json").document == []
    assert cli("models", "import", "baseline:pixels16").out == "pixels16@1: dimension 768\n"
    assert cli("models", "import", "baseline:pixels16").out == "pixels16@1: dimension 768\n"  # the same program
    assert "pixels16@1" in cli("models", "list").out
    shown = cli("models", "show", "pixels16", "--json").document
    assert (shown["name"], shown["version"], shown["dimension"]) == ("pixels16", 1, 768)
    assert '"input_size": 16' in cli("models", "show", "pixels16@1").out
    assert cli("models", "show", "pixels16@2").error == "there is no model 'pixels16@2'"


def test_an_archive_goes_from_one_store_to_another(cli: Cli, tmp_path: Path) -> None:
    cli("models", "import", "baseline:pixels16")
    archive = tmp_path / "pixels.mar"
    assert cli("models", "export", "pixels16", archive).status == 0
    (tmp_path / "store").rename(tmp_path / "former")
    assert cli("models", "list", "--json").document == []
    assert cli("models", "register", archive).out == "pixels16@1: dimension 768\n"


def test_what_is_no_archive_is_refused_in_one_line(cli: Cli, tmp_path: Path) -> None:
    assert cli("models", "register", tmp_path / "absent.mar").status == 2
    (tmp_path / "text.mar").write_text("not an archive")
    outcome = cli("models", "register", tmp_path / "text.mar")
    assert (outcome.status, bool(outcome.error)) == (2, True)
