"""The pages of the documentation, and what is in them."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[2]
DOCS = REPOSITORY / "docs"


def pages() -> list[Path]:
    """Every page that a user may read."""
    return [REPOSITORY / "README.md", REPOSITORY / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


def blocks(page: Path) -> list[str]:
    """The fenced blocks of a page without a language, or with that of the shell."""
    return re.findall(r"^```(?:sh|console)?\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """The lines of blocks that call ``lookalike`` or ``make``, joined where they go on, without their comments."""
    lines = "\n".join(blocks(page)).replace("\\\n", " ").splitlines()
    parts = [part.strip() for line in lines for part in re.split(r"\s#\s|&&", line)]
    return [part.removeprefix("$ ") for part in parts if re.match(r"(\$ )?(lookalike|make) ", part)]


def generator() -> ModuleType:
    """docs/reference/generate.py."""
    spec = importlib.util.spec_from_file_location("generate_reference", DOCS / "reference" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
