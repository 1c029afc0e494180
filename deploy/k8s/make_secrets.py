"""Makes the secrets of an overlay: ``python deploy/k8s/make_secrets.py deploy/k8s/overlays/local``.

Writes a file for each secret into the folder ``secrets`` there, which git ignores; what is there already stays, so
that it can be run again, and so that keys of managed servers can be put there by hand.
"""

import argparse
import os
import secrets
import sys
from pathlib import Path

REDIS_HOST = "redis:6379"


def make(overlay: Path) -> list[str]:
    """Writes what is missing, readable by its owner alone, and returns the names of what was written."""
    folder = overlay / "secrets"
    folder.mkdir(mode=0o700, exist_ok=True)
    password = _kept(folder / "redis-password") or secrets.token_urlsafe(32)
    values = {
        "s3-access-key": "lookalike",
        "s3-secret-key": secrets.token_urlsafe(32),
        "redis-password": password,
        "queue-url": f"redis://:{password}@{REDIS_HOST}/0",
        "qdrant-api-key": secrets.token_urlsafe(32),
        "embedder-token": secrets.token_urlsafe(32),
        "bootstrap-key": secrets.token_urlsafe(48),
    }
    missing = {name: value for name, value in values.items() if not (folder / name).exists()}
    for name, value in missing.items():
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(value)
    return sorted(missing)


def _kept(file: Path) -> str | None:
    return file.read_text(encoding="utf-8").strip() if file.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overlay", type=Path, help="folder of the overlay")
    overlay = parser.parse_args().overlay
    if not (overlay / "kustomization.yaml").exists():
        sys.stderr.write(f"{overlay} is no overlay: it has no kustomization.yaml\n")
        return 2
    made = make(overlay)
    sys.stdout.write(f"{overlay / 'secrets'}: {', '.join(made) + ' made' if made else 'everything was there'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
