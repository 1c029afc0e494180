"""Run by ``torchrun`` in the test of two ranks: the commands in a JSON file, one after another in the same ranks."""

import json
import sys
from pathlib import Path

from lookalike.cli import run

if __name__ == "__main__":
    for arguments in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        if status := run(arguments):
            sys.exit(status)
