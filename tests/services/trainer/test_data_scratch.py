"""Folders in the making: what a killed process left is removed, what another is at work in is not."""

import signal
import subprocess
import sys
from pathlib import Path

from services.trainer.data.scratch import scratch

AT_WORK = """
import sys, time
from pathlib import Path
from services.trainer.data.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print(folder, flush=True)
    time.sleep(600)
"""


def test_a_folder_is_there_and_then_is_not(tmp_path: Path) -> None:
    with scratch(tmp_path / "new") as folder:
        (folder / "file").write_text("x")
        assert folder.parent == tmp_path / "new"
    assert not list((tmp_path / "new").iterdir())


def test_one_that_was_renamed_stays(tmp_path: Path) -> None:
    with scratch(tmp_path) as folder:
        (folder / "file").write_text("x")
        folder.rename(tmp_path / "whole")
    assert [path.name for path in tmp_path.rglob("*")] == ["whole", "file"]


def test_what_a_living_process_works_in_is_left_and_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", AT_WORK, str(tmp_path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        with scratch(tmp_path) as ours:
            assert (theirs / "half").read_text() == "x"
            other.send_signal(signal.SIGKILL)
            other.wait(30)
            assert theirs.exists()
            with scratch(tmp_path):
                assert not theirs.exists()
                assert ours.exists()  # ours, too, is at work
    assert not list(tmp_path.iterdir())
