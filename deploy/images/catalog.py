"""Which images there are, and what must be true of each."""

import re
from dataclasses import dataclass

from engine import REPOSITORY


@dataclass(frozen=True)
class Image:
    """One image: where its Dockerfile is, and what it answers once it is up.

    ``port`` and ``path`` answer 200 while the process turns; None where it is started on demand. ``has_torch`` says
    whether torch belongs into it.
    """

    name: str
    dockerfile: str
    port: int | None
    path: str
    has_torch: bool = False

    def tag(self, suffix: str = "") -> str:
        return f"lookalike/{self.name}:{version()}{suffix}"


# In this order each finds the layers that it shares with those before.
IMAGES = (
    Image("embedder", "services/embedder/Dockerfile", 9100, "/healthz"),
    Image("indexer", "services/indexer/Dockerfile", 9100, "/healthz"),
    Image("gateway", "services/gateway/Dockerfile", 8000, "/healthz"),
    Image("torchserve", "services/embedder/torchserve.Dockerfile", 8080, "/ping", has_torch=True),
    Image("trainer", "services/trainer/Dockerfile", None, "", has_torch=True),
)


def version() -> str:
    """That of the code, which is the tag of its images."""
    found = re.search(r'__version__ = "(.+)"', (REPOSITORY / "lookalike" / "__init__.py").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


def named(names: list[str]) -> list[Image]:
    """The images of these names, all without any. Raises KeyError for one that does not exist."""
    known = {image.name: image for image in IMAGES}
    return [known[name] for name in names] or list(IMAGES)
