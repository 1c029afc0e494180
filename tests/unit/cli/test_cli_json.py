"""Every command takes ``--json``, before or after its name: one document on standard output, lines on the other."""

import json
from pathlib import Path

import pytest
import typer
from cli_outcome import Cli

from lookalike.cli.app import app


def commands() -> dict[str, set[str]]:
    """Every command with the options that it takes."""
    found = {}

    def walk(group: object, prefix: str) -> None:
        for name, command in group.commands.items():  # type: ignore[attr-defined]
            if hasattr(command, "commands"):
                walk(command, f"{prefix}{name} ")
            else:
                found[prefix + name] = {option for parameter in command.params for option in parameter.opts}

    walk(typer.main.get_command(app), "")
    return found


def test_every_command_declares_it() -> None:
    declared = commands()
    assert {"search", "gallery list", "models import", "serve", "demo"} <= set(declared)
    assert [name for name, options in declared.items() if "--json" not in options] == []


@pytest.mark.parametrize(
    "command",
    [
        "config",
        "gallery list",
        "gallery show colors",
        "gallery create another",
        "gallery delete colors",
        "failures colors",
        "ingest colors PICTURES",
        "embed colors",
        "build colors",
        "promote colors",
        "rollback colors",
        "compact colors",
        "search colors PICTURES/warm/red/0.png",
        "evaluate colors",
        "evaluate colors --protocol paper",
        "tune colors -b faiss",
        "models list",
        "models show color_edges",
        "models import baseline:pixels16",
        "demo --no-serve --images PICTURES",
    ],
)
def test_one_document_and_lines(ready: Cli, pictures: Path, command: str) -> None:
    arguments = [part.replace("PICTURES", str(pictures)) for part in command.split()]
    said = ready(*arguments, "--json")
    assert said.status == 0, said.err
    assert said.out.count("\n") == 1
    assert isinstance(said.document, dict | list)
    for line in said.err.splitlines():
        assert set(json.loads(line)) in ({"stage", "done", "total", "failed"}, {"note"})


def test_before_the_command_it_means_the_same(ready: Cli) -> None:
    assert ready("--json", "gallery", "list").document == ready("gallery", "list", "--json").document
    assert ready("gallery", "list").out.startswith("┏")  # and it is forgotten afterwards


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["gallery", "show", "absent"], "gallery_not_found"),
        (["search", "colors", "a", "b"], "invalid_request"),
        (["build", "colors", "-b", "faust"], "backend_not_found"),
        (["models", "show", "absent"], "model_not_found"),
    ],
)
def test_an_error_is_one_line_of_json_with_a_stable_code(ready: Cli, arguments: list[str], code: str) -> None:
    said = ready(*arguments, "--json")
    assert (said.status, said.out) == (2, "")
    assert json.loads(said.err.splitlines()[-1])["code"] == code


def test_progress_is_told_as_it_goes(ready: Cli, pictures: Path) -> None:
    lines = [json.loads(line) for line in ready("ingest", "more", pictures, "--json").err.splitlines()]
    assert lines[-1] == {"stage": "ingest", "done": 24, "total": 24, "failed": 1}
