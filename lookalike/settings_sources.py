"""Where settings are said: environment variables, files that they name, ``lookalike.toml``.

The first that says something wins, in this order: the variable, the file named by the variable with ``_FILE``,
the settings file; then the default. An empty variable says nothing, as Compose files pass what is not set.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from lookalike.errors import InvalidRequest

PREFIX = "LOOKALIKE_"
SETTINGS_FILE = "lookalike.toml"
CONFIG = f"{PREFIX}CONFIG"  # names another settings file
_NO_SETTINGS = (CONFIG, f"{PREFIX}TEST_")


@dataclass(frozen=True)
class Said:
    """One value as it was found, not yet converted, and by whom. It may be a secret: no repr shows it."""

    value: object = field(repr=False)
    source: str


def variable(name: str) -> str:
    """The environment variable of a setting: ``gateway.port`` is ``LOOKALIKE_GATEWAY__PORT``."""
    return PREFIX + name.replace(".", "__").upper()


def gather(names: Sequence[str], environment: Mapping[str, str], file: Path | None) -> dict[str, Said]:
    """What is said of the settings ``names`` (``group.name``), each by the source that wins.

    Raises InvalidRequest for a setting that does not exist, naming the nearest that does, and for a file that
    is named and cannot be read.
    """
    said = dict(_in_file(names, *_settings_file(environment, file)))
    known = {variable(name): name for name in names}
    _refuse_unknown(environment, known)
    for called, name in known.items():
        if environment.get(called):
            said[name] = Said(environment[called], called)
        elif environment.get(f"{called}_FILE"):
            said[name] = Said(_content(Path(environment[f"{called}_FILE"]), f"{called}_FILE"), f"{called}_FILE")
    return said


def _settings_file(environment: Mapping[str, str], file: Path | None) -> tuple[Path, dict[str, object]]:
    named = environment.get(CONFIG)
    path = file or Path(named or SETTINGS_FILE)
    if not path.exists() and (file is not None or not named):
        return path, {}
    try:
        return path, tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidRequest(f"{CONFIG}: cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path}: {error}") from error


def _in_file(names: Sequence[str], path: Path, content: Mapping[str, object]) -> Iterator[tuple[str, Said]]:
    groups = {name.partition(".")[0] for name in names}
    for group, values in content.items():
        if group not in groups or not isinstance(values, dict):
            raise _unknown(f"{path}: unknown setting {group!r}", group, [*names, *groups])
        for key, value in values.items():
            if f"{group}.{key}" not in names:
                raise _unknown(f"{path}: unknown setting {group}.{key}", f"{group}.{key}", names)
            yield f"{group}.{key}", Said(value, str(path))


def _refuse_unknown(environment: Mapping[str, str], known: Mapping[str, str]) -> None:
    """A misspelt setting would otherwise be silently the default.

    Variables without ``__`` may be another program's; one is refused only where ``__`` is all that it lacks.
    """
    joined = {called.replace("__", "_"): called for called in known}
    for given in environment:
        base = given.removesuffix("_FILE")
        if not given.startswith(PREFIX) or given.startswith(_NO_SETTINGS) or base in known or given in known:
            continue
        if "__" in given:
            raise _unknown(f"unknown setting {given}", base, list(known))
        if base in joined:
            raise _unknown(f"unknown setting {given}", joined[base], list(known))


def _unknown(message: str, given: str, names: Sequence[str]) -> InvalidRequest:
    nearest = get_close_matches(given, names, n=1)
    return InvalidRequest(f"{message}; did you mean {nearest[0]}?" if nearest else message, setting=given)


def _content(path: Path, called: str) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidRequest(f"{called}: cannot read {path}: {error.strerror}", setting=called) from error
    except UnicodeDecodeError:
        raise InvalidRequest(f"{called}: {path} is not UTF-8 text", setting=called) from None
