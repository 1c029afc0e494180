"""What is in an image, and what must not be."""

import json
import re
from dataclasses import dataclass
from typing import Any

from containers import REPOSITORY, ImageAtFault, Lab  # first: it finds the next

from catalog import Image, version  # isort: skip

USER = "10001:10001"
COMPILERS = "gcc g++ cc c++ clang ld as make cmake cargo rustc go javac"
# Each prints a line for what should not be there.
_COMPILERS = f"for one in {COMPILERS}; do command -v $one || :; done"
_LEFT = (
    "find /root/.cache /var/lib/apt/lists /added /build /wheels -mindepth 1 -type f 2>/dev/null || :;"
    "find / -xdev \\( -name '*.whl' -o -name '*.deb' \\) -type f 2>/dev/null || :"
)
_SETUID = "find / -xdev -perm /6000 -type f 2>/dev/null || :"
_OWN = "find /opt -user 10001 2>/dev/null; find /opt -perm -0002 ! -type l 2>/dev/null || :"
_INSTALLED = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
_UNITS = {"": 1, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}
_HAS_TORCH = "import importlib.util; print(importlib.util.find_spec('torch') is not None)"


@dataclass(frozen=True)
class Contents:
    """Sizes are in bytes, uncompressed: of the whole, and of what is on top of the base image."""

    size_bytes: int
    added_bytes: int
    layers: dict[str, int]
    exempt: tuple[str, ...]


def examine(lab: Lab, image: Image, base: str) -> Contents:
    """Raises ImageAtFault naming what is wrong. What the base image has already is its own; it is returned."""
    tag = image.tag()
    said, below = described(lab, tag), described(lab, base)
    # Podman keeps the health check beside the rest.
    _configured(image, {"Healthcheck": said.get("Healthcheck"), **said["Config"]})
    exempt: list[str] = []
    for what, look in (("a compiler", _COMPILERS), ("left from the build", _LEFT), ("setuid", _SETUID)):
        in_base = set(lines(lab, base, look))
        found = set(lines(lab, tag, look))
        if found - in_base:
            raise ImageAtFault(f"{tag} holds {what}: {sorted(found - in_base)[:10]}")
        exempt += sorted(found) if what == "a compiler" else []
    if changeable := lines(lab, tag, _OWN):
        raise ImageAtFault(f"{tag}: its user could change {changeable[:10]}")
    has_torch = lab.once(tag, "-c", _HAS_TORCH, entrypoint="python") == "True"
    if has_torch != image.has_torch:
        raise ImageAtFault(f"{tag}: torch is {'in it' if has_torch else 'missing'}")
    installed = lab.once(tag, "-c", _INSTALLED, entrypoint="/opt/venv/bin/python").split()
    if unpinned := sorted(set(map(_normal, installed)) - _pinned()):
        raise ImageAtFault(f"{tag} holds what requirements/ does not pin: {unpinned}")
    layers = dict(zip(said["RootFS"]["Layers"], _layer_sizes(lab, tag), strict=True))
    return Contents(said["Size"], said["Size"] - below["Size"], layers, tuple(exempt))


def lines(lab: Lab, tag: str, script: str) -> list[str]:
    """What a script of the shell prints in it, as root, who sees everything."""
    return lab.once(tag, "-c", script, options=("--user", "0:0")).splitlines()


def _layer_sizes(lab: Lab, tag: str) -> list[int]:
    """In bytes, the lowest layer first. Steps that changed no file have none."""
    shown = lab.run("history", "--human=false", "--format", "{{.Size}}", tag).splitlines()
    sizes = [round(float(number) * _UNITS[unit]) for number, _, unit in (line.strip().partition(" ") for line in shown)]
    return [size for size in reversed(sizes) if size]


def described(lab: Lab, tag: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    return dict(json.loads(lab.run("image", "inspect", tag))[0])


def _pinned() -> set[str]:
    # The latter for setuptools, which torch needs as well.
    files = [REPOSITORY / "requirements" / name for name in ("constraints.txt", "build.txt")]
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return {_normal(line) for line in (*lines, f"lookalike=={version()}")}


def _normal(pin: str) -> str:
    """``name==version`` with the name as indexes write it, without the local part of the version (``+cpu``)."""
    name, _, found = pin.partition("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={found.partition('+')[0]}"


def _configured(image: Image, config: dict[str, Any]) -> None:
    wrong = []
    if config.get("User") != USER:
        wrong.append(f"user {config.get('User')!r}")
    if config.get("StopSignal") != "SIGTERM":
        wrong.append(f"stop signal {config.get('StopSignal')!r}")
    if not config.get("Entrypoint") or config["Entrypoint"][0] in ("/bin/sh", "sh"):
        wrong.append("an entry point that signals do not reach")
    health = (config.get("Healthcheck") or {}).get("Test", [])
    if (image.port is not None) != (health[:1] == ["CMD"]):
        wrong.append(f"health check {health}")
    for said in config.get("Env", []):
        name, _, value = said.partition("=")
        if value and any(word in name for word in ("PASSWORD", "SECRET", "TOKEN", "API_KEY")):
            wrong.append(f"a secret: {name}")
    labels = config.get("Labels") or {}
    wanted = [f"org.opencontainers.image.{one}" for one in ("title", "version", "revision", "licenses")]
    wrong += [f"no label {label}" for label in wanted if not labels.get(label)]
    if wrong:
        raise ImageAtFault(f"{image.tag()}: {'; '.join(wrong)}")
