"""Waiting for something, but not for long."""

import threading

import pytest

from lookalike.pipeline.looking import within


def test_what_is_done_in_time_is_had_or_raised() -> None:
    assert within(30, lambda: "new", "old") == "new"
    with pytest.raises(TimeoutError, match="its own"):
        within(30, lambda: _raise(TimeoutError("its own")), "old")


def test_what_is_not_goes_on_by_itself() -> None:
    answers, done = threading.Event(), threading.Event()

    def slow() -> str:
        assert answers.wait(30)
        done.set()
        return "new"

    assert within(0.01, slow, "old") == "old"
    answers.set()
    assert done.wait(30)


def _raise(error: Exception) -> str:
    raise error
