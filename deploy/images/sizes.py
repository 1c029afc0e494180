"""Writes the table of sizes into docs/reference/images.md from what `make images-test` measured.

make images-test ARGS='--json deploy/images/measured.json' && python deploy/images/sizes.py
"""

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "reference" / "images.md"
MEASURED = HERE / "measured.json"
_BEGIN, _END = "<!-- from the JSON of `make images-test`", "<!-- /sizes -->"


def table() -> str:
    """What was measured; MB are 10^6 bytes, uncompressed. Layers that an image before it in the table has count 0."""
    said = json.loads(MEASURED.read_text(encoding="utf-8"))
    rows = []
    for name, one in said["images"].items():
        times = [f"{one[key]} s" if key in one else "" for key in ("ready_s", "stopped_s")]
        rows.append(f"| `{name}` | {one['added_mb']} | {one['new_mb']} | {times[0]} | {times[1]} |")
    return "\n".join(
        [
            "MB on top of the base image, uncompressed; what it takes where those above it are; how long until its",
            "health check passed, and until it had ended after SIGTERM at work, on two busy cores. CPU builds.",
            "",
            "| image | MB | new MB | ready after | ended after |",
            "|---|---|---|---|---|",
            *rows,
        ]
    )


def page(text: str) -> str:
    """The page with the table in its place. Raises ValueError where that is not marked."""
    head, found, rest = text.partition(_BEGIN)
    comment, _, old = rest.partition("\n")
    if not found or _END not in old:
        raise ValueError(f"{PAGE} does not say where the table is")
    return f"{head}{found}{comment}\n{table()}\n{_END}{old.partition(_END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
