"""Makes the secrets of Compose: ``secret_files.py [FOLDER]``, ``.secrets`` if it is not named.

A file for each. What is there already stays, so it can be run again, and a key of somebody else's server can be put
there by hand. Needs Python alone.
"""

import os
import secrets
import sys
from pathlib import Path

from surroundings import SECRETS


def make(folder: Path) -> list[str]:
    """Writes what is missing and returns the names of it.

    The folder can be entered by its owner alone. The files in it can be read by all: containers get them as they are,
    each under a user of its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    password, qdrant_key = _kept(folder, "queue_password"), _kept(folder, "qdrant_api_key")
    values = {
        "s3_secret_key": _random(),
        "queue_password": password,
        "redis_auth": f"requirepass {password}\n",
        "queue_url": f"redis://:{password}@redis:6379/0",
        "qdrant_api_key": qdrant_key,
        "qdrant_config": f"service:\n  api_key: {qdrant_key}\n",
        "embedder_token": _random(),
        "bootstrap_key": f"lk_bootstrap_{_random()}",
        "grafana_password": _random(),
        "flower_auth": f"lookalike:{_random()}",
    }
    missing = [name for name in values if not (folder / name).exists()]
    for name in missing:
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(values[name])
        (folder / name).chmod(0o444)  # whatever the umask says
    return missing


def _random() -> str:
    return secrets.token_hex(32)  # nothing in it that a URL or a configuration would have to escape


def _kept(folder: Path, name: str) -> str:
    file = folder / name
    return file.read_text(encoding="utf-8").strip() if file.exists() else _random()


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else SECRETS
    made = make(chosen)
    print(f"{chosen}: {', '.join(made) + ' made' if made else 'all secrets were there'}")
