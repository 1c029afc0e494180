"""The bounded, ordered map that reading runs on."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lookalike.pipeline.ordered import map_ordered


def test_outcomes_come_in_the_order_of_the_items_whatever_ends_first() -> None:
    """The first item ends only when the last has: a map that yields what is ready would turn them round."""
    last = threading.Event()

    def work(number: int) -> int:
        if number == 0:
            assert last.wait(10)
        if number == 3:
            last.set()
        return number * 10

    with ThreadPoolExecutor(4) as executor:
        assert list(map_ordered(executor, work, range(4), window=4)) == [(0, 0), (1, 10), (2, 20), (3, 30)]


@pytest.mark.parametrize("window", [1, 3, 8])
def test_no_more_than_the_window_is_taken_ahead_of_the_consumer(window: int) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(50):
            taken += 1
            yield number

    with ThreadPoolExecutor(2) as executor:
        for done, (item, outcome) in enumerate(map_ordered(executor, lambda n: n, items(), window=window), start=1):
            assert item == outcome == done - 1
            assert taken <= done + window
    assert taken == 50


def test_nothing_in_nothing_out_and_fewer_than_the_window() -> None:
    with ThreadPoolExecutor(2) as executor:
        assert list(map_ordered(executor, str, [], window=4)) == []
        assert list(map_ordered(executor, str, [1], window=4)) == [(1, "1")]


def test_an_error_comes_in_its_place_and_cancels_what_has_not_begun() -> None:
    begun = []
    hold = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise RuntimeError("one")
        if number == 2:
            assert hold.wait(10)
        return number

    with ThreadPoolExecutor(1) as executor:
        outcomes = map_ordered(executor, work, range(100), window=10)
        assert next(outcomes) == (0, 0)
        with pytest.raises(RuntimeError, match="one"):
            next(outcomes)
        hold.set()
    assert len(begun) <= 3


def test_an_error_of_the_items_goes_up() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise RuntimeError("no more")

    with ThreadPoolExecutor(2) as executor, pytest.raises(RuntimeError, match="no more"):
        list(map_ordered(executor, str, items(), window=1))


def test_a_consumer_that_leaves_lets_the_rest_go() -> None:
    begun = []
    with ThreadPoolExecutor(1) as executor:
        outcomes = map_ordered(executor, begun.append, range(1000), window=5)
        next(outcomes)
        outcomes.close()  # type: ignore[attr-defined]
    assert len(begun) <= 6
