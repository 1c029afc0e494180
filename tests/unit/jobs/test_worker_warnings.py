"""A worker that runs as root, as in containers, says nothing of it: it accepts no message that could do harm."""

import subprocess
import sys

import pytest

_PROGRAM = """
import os, warnings
from celery.apps.worker import Worker
from celery.exceptions import SecurityWarning
from lookalike.jobs.celery_queue import make_app, run_worker
from lookalike.jobs.steps import Queue
from lookalike.telemetry.worker_http import Receiving

os.getuid = os.geteuid = lambda: 0
os.getgid = os.getegid = lambda: {gid}
Worker.start = lambda self: warnings.warn("of something else")
try:
    app = make_app("redis://127.0.0.1:1/0", visibility_s=60)
    run_worker(app, None, [Queue.INDEX], threads=1, retries=1, receiving=Receiving())
except UserWarning as warning:
    print("raised:", warning)
"""


@pytest.mark.parametrize("gid", [0, 54321])
def test_root_is_not_warned_of_messages_that_are_refused_anyway(gid: int) -> None:
    command = [sys.executable, "-W", "always", "-W", "error::UserWarning", "-c", _PROGRAM.format(gid=gid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "raised: of something else\n"), done.stderr
    assert "SecurityWarning" not in done.stderr


def test_celery_would_have_warned() -> None:
    """What the first test silences is still there in this version of Celery."""
    program = "import os; os.getuid = os.geteuid = lambda: 0\n"
    program += "from celery.platforms import check_privileges; check_privileges(['json'])"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, timeout=60)
    assert "SecurityWarning" in done.stderr
