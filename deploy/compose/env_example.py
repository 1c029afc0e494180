"""Writes .env.example from the settings and from docker-compose.yml: ``make docs``. A test says when it is old."""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from lookalike.settings import Setting, explain  # noqa: E402 found by the line above

# What is Compose's, not a setting. Their defaults are in docker-compose.yml, where each stands as ${NAME:-default}.
COMPOSE = {
    "PUBLISH": "address and port on which the gateway is reached; 0.0.0.0:8000 for other machines: put TLS before it",
    "PUBLISH_GRAFANA": "the same for Grafana, with the profile monitoring",
    "PUBLISH_FLOWER": "the same for Flower, with the profile monitoring",
    "TAG": "version of our images",
    "SECRETS": "folder of the secrets",
    "IMAGES": "folder that the services cli and try see as /images",
    "DATA": "folder that the trainer sees as /data",
    "GPUS": "GPUs of TorchServe and of the trainer, with the profiles gpu and train-gpu",
    "GATEWAY_MEMORY": "most memory of the gateway, which holds what is live",
    "EMBEDDER_MEMORY": "most memory of an embedder",
    "INDEXER_MEMORY": "most memory of an indexer, which holds what it builds",
    "TORCHSERVE_MEMORY": "most memory of TorchServe; as much again for each model",
    "TORCHSERVE_CPUS": "most cores of TorchServe; 0: all",
    "TRAINER_MEMORY": "most memory of the trainer",
    "TRAINER_CPUS": "most cores of the trainer; 0: all",
    "CPUS": "most cores of each other service that uses several; 0: all",
    "QDRANT_MEMORY": "most memory of Qdrant",
    "MINIO_MEMORY": "most memory of MinIO",
}
_HEAD = """\
# Copy to .env, and change what shall not have its default; `make compose-up` again applies it. git ignores that file.
# Written by deploy/compose/env_example.py (`make docs`): change the code, not this file.
#
# Secrets are better kept in the files of .secrets, which `make compose-up` makes; a value here wins over them.
"""


def env_example() -> str:
    """The text of the file: every variable of Compose and every setting, commented out, with its default there."""
    compose = (REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8")
    lines = [_HEAD, "# ---- Compose"]
    for name, meaning in COMPOSE.items():
        found = re.search(rf"\$\{{{name}:-([^}}]*)\}}", compose)
        if found is None:
            raise KeyError(f"docker-compose.yml has no {name}")
        lines += [f"# {meaning}", f"#{name}={found[1]}"]
    said = compose + "".join(
        file.read_text(encoding="utf-8") for file in sorted(REPOSITORY.glob("services/*/*ockerfile"))
    )
    group = ""
    for setting in explain({}, REPOSITORY / "no-such-file.toml"):
        of = setting.name.partition(".")[0]
        if of != group:
            group = of
            lines += ["", f"# ---- {group}"]
        lines += _lines(setting, said)
    return "\n".join(lines) + "\n"


def _lines(setting: Setting, said: str) -> list[str]:
    """Its default is what docker-compose.yml or an image says, else that of the code."""
    here = re.search(rf"\$\{{{setting.variable}:-([^}}]*)\}}|\b{setting.variable}=(\S+)", said)
    value = setting.value
    text = (here[1] or here[2]) if here is not None else "" if value is None else value
    if isinstance(text, list):
        text = ",".join(text)
    if isinstance(text, bool):
        text = str(text).lower()
    return [f"# {' '.join(setting.description.split())}", f"#{setting.variable}={text}"]


if __name__ == "__main__":
    (REPOSITORY / ".env.example").write_text(env_example(), encoding="utf-8")
