"""Dockerfiles as lists of instructions, read as Docker reads them as far as the tests look."""

import re
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = {
    "gateway": "services/gateway/Dockerfile",
    "indexer": "services/indexer/Dockerfile",
    "embedder": "services/embedder/Dockerfile",
    "torchserve": "services/embedder/torchserve.Dockerfile",
    "trainer": "services/trainer/Dockerfile",
}


@dataclass
class Stage:
    """``said`` are (instruction, rest) in their order."""

    name: str
    parent: str
    said: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for given, rest in self.said if given == instruction]


def text(name: str) -> str:
    return (REPOSITORY / FILES[name]).read_text(encoding="utf-8")


def stages(name: str) -> list[Stage]:
    """The stages of a service's Dockerfile; the last one is the image."""
    joined = re.sub(r"\\\n", " ", "\n".join(line for line in text(name).splitlines() if not line.startswith("#")))
    found: list[Stage] = []
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        instruction, _, rest = line.partition(" ")
        rest = " ".join(rest.split())
        if instruction == "FROM":
            parent, _, called = rest.partition(" AS ")
            found.append(Stage(called, parent))
        elif found:
            found[-1].said.append((instruction, rest))
    return found


def lineage(name: str) -> list[Stage]:
    """The stages that the image is made of, from the base on, without those that are only copied from."""
    by_name = {stage.name: stage for stage in stages(name)}
    chain = [stages(name)[-1]]
    while chain[0].parent in by_name:
        chain.insert(0, by_name[chain[0].parent])
    return chain
