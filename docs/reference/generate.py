"""Writes settings.md, cli.md and metrics.md beside this file from the code: ``make docs``. A test says when they are
old."""

from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import typer

from lookalike import settings_sources
from lookalike.cli.app import app
from lookalike.settings import explain
from lookalike.telemetry import declared

_HERE = Path(__file__).parent
_NOTE = "<!-- Written by docs/reference/generate.py (`make docs`): change the code, not this page. -->"


def settings_page() -> str:
    """Every setting: its variable, its default and its meaning."""
    nowhere = _HERE / "no-such-file.toml"
    rows = [
        f"| `{setting.name}` | `{setting.variable}` | {_value(setting.value)} | {setting.description} |"
        for setting in explain({}, nowhere)
    ]
    return f"""{_NOTE}
# Settings

Each setting has one value, from the first of these that says something:

1. the environment variable, `{settings_sources.PREFIX}` with `__` for nesting; lists are separated by commas
2. the file that the variable with `_FILE` names, for secrets: `LOOKALIKE_QDRANT__API_KEY_FILE=/run/secrets/qdrant`
3. `{settings_sources.SETTINGS_FILE}` in the working folder, or the file that `{settings_sources.CONFIG}` names
4. the default

An empty variable says nothing. A setting that does not exist is refused, with the nearest name that does; a value
that is not allowed is refused with the setting and where it was found. `lookalike config` prints every setting, its
value and its source; secrets and passwords in URLs are masked there and in every error.

| setting | variable | default | meaning |
|---|---|---|---|
{chr(10).join(rows)}

The same as a file:

```toml
[gateway]
port = 8080

[build]
backends = ["exact", "faiss"]
```

In Kubernetes a Service called `lookalike-gateway` puts a variable `LOOKALIKE_GATEWAY_PORT` into every pod, which is
refused as a misspelt setting: switch that off with `enableServiceLinks: false`.
"""


def cli_page() -> str:
    """Every command with its arguments and options."""
    parts = "\n".join(_command(path, command) for path, command in commands())
    return f"""{_NOTE}
# Command line

Every command takes `--json`, before or after its name: its answer is then one JSON document on standard output, and
progress, notes and errors are JSON lines on standard error. Without it people get tables, and a progress bar where
standard error is a terminal.

What goes wrong is one line on standard error, and the exit status: 2 when the request is at fault, 3 when a part is
not installed or does not answer, 1 when something of ours is broken, 130 after Ctrl-C (0 for a server, for which it
is the ordinary end).

{parts}"""


def metrics_page() -> str:
    """Every metric with its type, labels and meaning, by who shows it."""
    parts = "\n".join(f"## {title}\n{where}\n\n{_metrics(metrics)}" for title, where, metrics in _METRICS)
    return f"""{_NOTE}
# Metrics

In Prometheus's format: `GET /metrics` of the gateway and of the embedder, and the port `telemetry.metrics_port` of a
worker. [How to observe](../how-to/observe.md) shows how to set them up and what to look at. Beside these, every
process has the usual `process_*` and `python_*`.

{parts}"""


_METRICS = (
    ("Requests", "Of the gateway and the embedder.", declared.HTTP),
    ("Access", "Of the gateway, where [keys are on](../how-to/secure-a-deployment.md).", declared.ACCESS),
    ("Searches", "Of the gateway.", declared.SEARCH),
    ("State", "Of the gateway, read from the store and the queue at each scrape.", declared.STATE),
    ("TorchServe", "Of its supervisor, beside TorchServe's own (`ts_…`).", declared.TORCHSERVE),
    ("The straight path", "Of every process.", declared.PATH),
    ("Store", "Of every process.", declared.STORE),
    ("Queue", "Of the gateway, which enqueues, and of workers.", declared.QUEUE),
    ("Cache", "Of every process.", declared.CACHE),
)


def _metrics(metrics: Iterable[declared.Metric]) -> str:
    rows = "\n".join(
        f"| `{metric.exposed}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help} |"
        for metric in metrics
    )
    return f"| metric | type | labels | meaning |\n|---|---|---|---|\n{rows}\n"


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its full name, in the order of the help."""

    def walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, f"{prefix}{name} ")
            else:
                yield prefix + name, command

    return walk(typer.main.get_command(app), "")


def _command(path: str, command: Any) -> str:
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and p.name not in ("help", "as_json")]
    usage = " ".join(["lookalike", path, *(parameter.name.upper() for parameter in arguments)])
    rows = [f"| `{parameter.name.upper()}` | {parameter.help} | |" for parameter in arguments if parameter.help]
    rows += [f"| {_names(option)} | {option.help or ''} | {_default(option)} |" for option in options]
    table = "\n| | | default |\n|---|---|---|\n" + "\n".join(rows) + "\n" if rows else ""
    text = " ".join((command.help or "").split())
    return f"## {path}\n\n{text}\n\n```\n{usage}{' [OPTIONS]' if options else ''}\n```\n{table}"


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def _default(option: Any) -> str:
    if option.required:
        return "required"
    value = option.default.value if isinstance(option.default, Enum) else option.default
    if isinstance(value, bool):
        return f"`{[*option.opts, *option.secondary_opts][0 if value else -1]}`" if option.secondary_opts else ""
    return _value(value)


def _value(value: object) -> str:
    if value is None or value == [] or value == "":
        return ""
    return f"`{', '.join(map(str, value)) if isinstance(value, list) else value}`"


if __name__ == "__main__":
    (_HERE / "settings.md").write_text(settings_page(), encoding="utf-8")
    (_HERE / "cli.md").write_text(cli_page(), encoding="utf-8")
    (_HERE / "metrics.md").write_text(metrics_page(), encoding="utf-8")
