"""What a run reports arrives whole, once, and in order, also after a kill."""

import io
import json
import math
import os
import re
import signal
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lookalike.errors import InvalidSource
from services.trainer.progress import EVENTS, TENSORBOARD, Reporter, open_reporter
from services.trainer.progress.console import ConsoleProgress
from services.trainer.progress.event_log import EventLog, JsonLines, read_events
from services.trainer.progress.events import MessageEvent, StepEvent, ViewsEvent


def report(reporter: Reporter, steps: range, *, steps_per_epoch: int = 3) -> None:
    for step in steps:
        epoch, within = (step - 1) // steps_per_epoch, (step - 1) % steps_per_epoch + 1
        reporter.step(epoch, within, steps_per_epoch, {"loss": 1 / step, "part": 0.5}, 100.0, 0.01)
        if within == steps_per_epoch:
            reporter.epoch(epoch, 4, {"precision@4": (epoch + 1) / 10, "mAP": (epoch + 1) / 20}, 2.5)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_events_are_lines_of_json(tmp_path):
    reporter = open_reporter(tmp_path, show=False)
    reporter.views(3, 4)  # something to wait for, no result
    report(reporter, range(1, 4))
    reporter.message("saved")
    reporter.close()
    events = lines(tmp_path / EVENTS)
    assert events[0] == {
        "event": "step",
        "epoch": 0,
        "step": 1,
        "num_steps": 3,
        "global_step": 1,
        "losses": {"loss": 1.0, "part": 0.5},
        "images_per_s": 100.0,
        "lr": 0.01,
    }
    assert events[3] == {
        "event": "epoch",
        "epoch": 0,
        "num_epochs": 4,
        "global_step": 3,
        "metrics": {"precision@4": 0.1, "mAP": 0.05},
        "seconds": 2.5,
    }
    assert events[4] == {"event": "message", "text": "saved", "global_step": 3}
    assert list(read_events(tmp_path / EVENTS)) == events


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_stays_json(value):
    stream = io.StringIO()
    JsonLines(stream).write(StepEvent(0, 1, 1, 1, {"loss": value}, 1.0, 0.1))
    assert json.loads(stream.getvalue(), parse_constant=pytest.fail)["losses"] == {"loss": None}


def test_each_line_is_there_when_the_process_is_killed(tmp_path):
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from services.trainer.progress.event_log import EventLog\n"
        "from services.trainer.progress.events import MessageEvent\n"
        "log = EventLog(Path(sys.argv[1]))\n"
        "log.write(MessageEvent('first', 1)); log.write(MessageEvent('second', 2))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / EVENTS
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False, env={**os.environ})
    assert ended.returncode == -signal.SIGKILL
    assert [event["text"] for event in read_events(path)] == ["first", "second"]


def test_a_resumed_run_has_each_step_once(tmp_path):
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    for folder in (whole, resumed):
        folder.mkdir()
    reporter = open_reporter(whole, show=False)
    report(reporter, range(1, 13))
    reporter.close()
    reporter = open_reporter(resumed, show=False)
    report(reporter, range(1, 9))  # the checkpoint is at step 4; 5 to 8 were reported after it
    reporter.message("after the checkpoint")
    reporter.close()
    reporter = open_reporter(resumed, resume_from=4, show=False)
    report(reporter, range(5, 13))
    reporter.close()
    assert (resumed / EVENTS).read_bytes() == (whole / EVENTS).read_bytes()


def test_an_epoch_that_no_checkpoint_followed_is_reported_again(tmp_path):
    """Killed between an epoch's report and its checkpoint, a run goes on from a step of that epoch."""
    reporter = open_reporter(tmp_path, show=False)
    report(reporter, range(1, 4))
    reporter.close()
    open_reporter(tmp_path, resume_from=2, show=False).close()
    assert [event["global_step"] for event in lines(tmp_path / EVENTS)] == [1, 2]


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 400))
def test_a_torn_last_line_is_dropped(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("run") / EVENTS
    log = EventLog(path)
    for step in range(1, 6):
        log.write(MessageEvent(f"größer {step}", step))
    log.close()
    whole = path.read_bytes()
    path.write_bytes(whole[: max(len(whole) - cut, 0)])
    num_whole = path.read_bytes().count(b"\n")
    assert len(list(read_events(path))) == num_whole
    log = EventLog(path, resume_from=5)
    log.write(MessageEvent("next", 6))
    log.close()
    texts = [event["text"] for event in lines(path)]
    assert texts == [f"größer {step}" for step in range(1, num_whole + 1)] + ["next"]


def test_a_new_run_does_not_go_on_an_old_file(tmp_path):
    for _ in range(2):
        reporter = open_reporter(tmp_path, show=False)
        reporter.message("only one")
        reporter.close()
    assert len(lines(tmp_path / EVENTS)) == 1


@pytest.mark.parametrize("line", ["nonsense", "[1]", '{"step": 1}'])
def test_a_line_that_is_no_event_is_named(tmp_path, line):
    path = tmp_path / EVENTS
    path.write_text('{"event": "message", "text": "a", "global_step": 0}\n' + line + "\n")
    with pytest.raises(InvalidSource, match="line 2"):
        EventLog(path, resume_from=1)


def make_older(folder) -> None:
    """TensorBoard reads files by the second in their name, and these tests write two of them within one."""
    for path in folder.iterdir():
        path.rename(path.with_name(re.sub(r"tfevents\.\d+", "tfevents.1000000000", path.name)))


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    read = EventAccumulator(str(folder))
    read.Reload()
    return {tag: [(one.step, one.value) for one in read.Scalars(tag)] for tag in read.Tags()["scalars"]}


def test_tensorboard_reads_the_scalars_back(tmp_path):
    reporter = open_reporter(tmp_path, show=False)
    report(reporter, range(1, 5))
    reporter.step(1, 2, 3, {"loss": math.nan, "part": 0.25}, 90.0, 0.02)
    reporter.close()
    read = scalars(tmp_path / TENSORBOARD)
    assert read["loss/loss"] == [(step, pytest.approx(1 / step)) for step in range(1, 5)]
    assert read["loss/part"] == [(1, 0.5), (2, 0.5), (3, 0.5), (4, 0.5), (5, 0.25)]
    assert read["lr"][-1] == (5, pytest.approx(0.02))
    assert read["images_per_s"][-1] == (5, 90.0)
    assert read["validation/precision@4"] == [(3, pytest.approx(0.1))]
    assert read["validation/mAP"] == [(3, pytest.approx(0.05))]


def test_tensorboard_shows_each_step_once_after_a_resume(tmp_path):
    reporter = open_reporter(tmp_path, show=False)
    report(reporter, range(1, 9))
    reporter.close()
    make_older(tmp_path / TENSORBOARD)
    reporter = open_reporter(tmp_path, resume_from=4, show=False)
    report(reporter, range(5, 7))
    reporter.close()
    assert [step for step, _ in scalars(tmp_path / TENSORBOARD)["loss/loss"]] == [1, 2, 3, 4, 5, 6]


def console_of(*, is_terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=is_terminal, width=120, no_color=True), text


def test_people_see_a_line_for_each_epoch(tmp_path):
    console, text = console_of(is_terminal=False)
    reporter = open_reporter(tmp_path, console=console)
    report(reporter, range(1, 7))
    reporter.message("best checkpoint [epoch 2]")
    reporter.close()
    assert text.getvalue().splitlines() == [
        "epoch 1/4  precision@4 0.1000  mAP 0.0500  2 s",
        "epoch 2/4  precision@4 0.2000  mAP 0.1000  2 s",
        "best checkpoint [epoch 2]",
    ]


def test_a_terminal_shows_loss_speed_and_time_left(tmp_path):
    console, text = console_of(is_terminal=True)
    reporter = open_reporter(tmp_path, console=console)
    report(reporter, range(1, 3))
    reporter.close()
    assert "epoch 1" in text.getvalue()
    assert "2/3" in text.getvalue()
    assert "loss 0.5  part 0.5  100 images/s" in text.getvalue()
    assert "ETA" in text.getvalue()


def test_the_bar_is_the_whole_runs_where_its_length_is_known():
    console, text = console_of(is_terminal=True)
    sink = ConsoleProgress(console, num_epochs=10)
    sink.write(ViewsEvent(30, 70, 800))
    sink.write(StepEvent(8, 100, 100, 900, {"loss": 1.0}, 10.0, 0.1))  # a resumed run's first
    sink.close()
    assert "teacher's views" in text.getvalue()
    assert "30/70" in text.getvalue()
    assert "epoch 9/10" in text.getvalue()
    assert "900/1000" in text.getvalue()


def test_with_json_the_lines_go_to_the_stream_instead_of_the_bar(tmp_path):
    console, text = console_of(is_terminal=True)
    stream = io.StringIO()
    reporter = open_reporter(tmp_path, console=console, as_json=True, stream=stream)
    report(reporter, range(1, 4))
    reporter.close()
    assert text.getvalue() == ""
    assert stream.getvalue() == (tmp_path / EVENTS).read_text()
    assert not stream.closed


def test_every_sink_is_closed_though_one_fails():
    class Failing:
        def write(self, event) -> None: ...
        def close(self) -> None:
            raise OSError("disk full")

    closed = []

    class Closing(Failing):
        def close(self) -> None:
            closed.append(self)

    with pytest.raises(OSError, match="disk full"):
        Reporter([Closing(), Failing(), Closing()]).close()
    assert len(closed) == 2


def test_other_ranks_write_and_say_nothing(tmp_path, capfd):
    reporter = open_reporter(tmp_path, is_main=False)
    report(reporter, range(1, 4))
    reporter.message("unheard")
    reporter.close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_a_run_that_begins_again_hides_what_tensorboard_had(tmp_path):
    for steps in (range(1, 5), range(1, 3)):
        reporter = open_reporter(tmp_path, show=False)
        report(reporter, steps)
        reporter.close()
        if steps[-1] == 4:
            make_older(tmp_path / TENSORBOARD)
    assert [step for step, _ in scalars(tmp_path / TENSORBOARD)["loss/loss"]] == [1, 2]
