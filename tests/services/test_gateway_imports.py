"""The gateway runs where torch is not installed."""

import subprocess
import sys


def test_the_gateway_imports_no_torch() -> None:
    program = "import sys, services.gateway.__main__; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_library_imports_nothing_heavy() -> None:
    program = (
        "import sys, lookalike, lookalike.types.search; "
        "sys.exit(bool({'torch', 'faiss', 'sklearn', 'PIL', 'fastapi'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
