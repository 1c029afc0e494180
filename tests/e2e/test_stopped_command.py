"""A command that is told to stop ends by itself: as the first process of a container, no signal would end it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from real_servers import free_port, wait_until


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="looks at /proc for the handler: on Linux")
def test_sigterm_ends_a_command_with_its_own_status(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")},
        "LOOKALIKE_STORAGE__URL": "s3://nowhere",
        "LOOKALIKE_STORAGE__S3_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "LOOKALIKE_STORAGE__S3_ACCESS_KEY": "lookalike",
        "LOOKALIKE_STORAGE__S3_SECRET_KEY": "not-a-secret",
        "LOOKALIKE_STORAGE__S3_TIMEOUT_S": "600",
        "LOOKALIKE_STORAGE__CACHE": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "lookalike", "gallery", "list"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        wait_until(lambda: _handles(process.pid), what="it handles SIGTERM")
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM, said
    assert b"Traceback" not in said


def _handles(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM."""
    status = Path(f"/proc/{pid}/status").read_text()
    (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")]
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)
