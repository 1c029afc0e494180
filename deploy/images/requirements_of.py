"""Prints what extras of pyproject.toml require, one requirement a line: ``requirements_of.py EXTRA,…``.

Images install what their extra needs before the code is copied, so that a changed line of code leaves those layers as
they are. Extras that are made of our other extras are followed; versions come from requirements/constraints.txt.
"""

import re
import sys
import tomllib
from pathlib import Path

_OURS = re.compile(r"^lookalike\[([^\]]+)\]$")


def requirements_of(pyproject: dict[str, object], extras: list[str]) -> list[str]:
    """The project's own requirements and those of ``extras``, each once, sorted.

    Raises KeyError for an extra that does not exist.
    """
    project = pyproject["project"]
    assert isinstance(project, dict)
    found, waiting, seen = set(project["dependencies"]), list(extras), set()
    while waiting:
        extra = waiting.pop()
        if extra in seen:
            continue
        seen.add(extra)
        for requirement in project["optional-dependencies"][extra]:
            ours = _OURS.match(requirement)
            if ours is None:
                found.add(requirement)
            else:
                waiting += [name.strip() for name in ours[1].split(",")]
    return sorted(found)


if __name__ == "__main__":
    said = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
    print("\n".join(requirements_of(said, sys.argv[1].split(","))))
