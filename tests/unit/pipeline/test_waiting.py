"""Servers that are away are named once, waited for, and named once when they come."""

import logging

import pytest
from real_servers import wait_until

from lookalike.errors import DependencyUnavailable, InvalidRequest
from lookalike.pipeline.waiting import Watch, wait_for, watching


class Away:
    """Away for the first ``times``; time goes on with each sleep."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.now = 0.0

    def ask(self) -> str:
        if self.left:
            self.left -= 1
            raise DependencyUnavailable("nobody is there", dependency="store")
        return "here"

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_one_line_when_it_is_waited_for_and_one_when_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    server = Away(5)
    assert wait_for("the store", server.ask, every_s=2.0, clock=lambda: server.now, sleep=server.sleep) == "here"
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the store: nobody is there",
        "the store answers after 10 s",
    ]


def test_what_is_there_is_not_spoken_of(caplog: pytest.LogCaptureFixture) -> None:
    assert wait_for("the store", Away(0).ask) == "here"
    assert not caplog.records


def test_after_the_limit_the_reason_is_raised() -> None:
    server = Away(100)
    with pytest.raises(DependencyUnavailable, match="nobody is there"):
        wait_for("the store", server.ask, every_s=1.0, limit_s=10.0, clock=lambda: server.now, sleep=server.sleep)
    assert server.now == 10.0


def test_what_waiting_does_not_help_is_raised_at_once() -> None:
    def wrong() -> None:
        raise InvalidRequest("no such bucket name")

    with pytest.raises(InvalidRequest):
        wait_for("the store", wrong)


def test_a_watch_tells_changes_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    server = Away(3)
    watch = Watch({"the queue": server.ask})
    for _ in range(6):
        watch.look()
    assert [record.getMessage() for record in caplog.records] == [
        "waiting for the queue: nobody is there",
        "the queue answers after 0 s",
    ]


def test_watching_goes_on_beside_the_work(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with watching({"the queue": Away(3).ask, "qdrant": Away(0).ask}, every_s=0.01):
        wait_until(lambda: len(caplog.records) == 2, what="both lines")
    assert {record.getMessage().partition(" ")[0] for record in caplog.records} == {"waiting", "the"}
