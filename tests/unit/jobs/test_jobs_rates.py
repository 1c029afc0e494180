"""How fast a job goes: by hand, and what holds for whatever it reports."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.jobs.port import Job, JobState
from lookalike.jobs.rates import WINDOW_S, JobRates, Rate, Sample, followed, images_per_s, rate


def told(*reports: tuple[float, int], stage: str = "embed", total: int | None = 100) -> tuple[Sample, ...]:
    samples: tuple[Sample, ...] = ()
    for at_s, done in reports:
        samples = followed(samples, Sample(at_s, stage, done, total))
    return samples


def test_a_steady_job() -> None:
    found = rate(told((0, 0), (10, 20), (20, 40)), 20)
    assert found == Rate(per_s=pytest.approx(2), eta_s=pytest.approx(30))


def test_nothing_is_known_until_something_was_done_between_two_looks() -> None:
    assert rate((), 5) == Rate()
    assert rate(told((0, 40)), 5) == Rate()
    assert rate(told((0, 40), (1, 40), (2, 40)), 5) == Rate()


def test_the_time_left_goes_down_while_a_part_is_under_way() -> None:
    samples = told((0, 0), (10, 20), (20, 40))
    assert rate(samples, 25) == Rate(per_s=pytest.approx(2), eta_s=pytest.approx(25))


def test_a_pause_longer_than_those_before_slows_it_down() -> None:
    samples = told((0, 0), (10, 20), (20, 40))
    assert rate(samples, 50) == Rate(per_s=pytest.approx(1), eta_s=pytest.approx(50))


def test_without_a_total_there_is_a_rate_and_no_time_left() -> None:
    assert rate(told((0, 0), (10, 20), total=None), 10) == Rate(per_s=pytest.approx(2), eta_s=None)


def test_what_is_done_takes_no_more_time() -> None:
    assert rate(told((0, 0), (10, 100)), 10).eta_s == 0
    assert rate(told((0, 100)), 10) == Rate(per_s=None, eta_s=0)
    assert rate(told((0, 0), (10, 120)), 10).eta_s == 0  # more than there should be


def test_a_new_stage_begins_anew() -> None:
    samples = followed(told((0, 0), (10, 20)), Sample(11, "build faiss", 20, 100))
    assert samples == (Sample(11, "build faiss", 20, 100),)


def test_less_done_than_before_begins_anew() -> None:
    assert told((0, 0), (10, 80), (11, 5)) == (Sample(11, "embed", 5, 100),)


def test_what_is_long_ago_is_forgotten_and_the_last_two_never_are() -> None:
    fast_then_slow = told((0, 0), (1, 50), (1 + WINDOW_S, 60), (1 + 2 * WINDOW_S, 70))
    assert rate(fast_then_slow, 1 + 2 * WINDOW_S).per_s == pytest.approx(10 / WINDOW_S)
    very_slow = told((0, 0), (10 * WINDOW_S, 1))
    assert rate(very_slow, 10 * WINDOW_S).per_s == pytest.approx(1 / (10 * WINDOW_S))


REPORTS = st.lists(
    st.tuples(
        st.floats(0, 1000),
        st.sampled_from(["embed", "build"]),
        st.integers(0, 10_000),
        st.none() | st.integers(0, 10_000),
    ),
    max_size=300,
)


@given(REPORTS, st.floats(0, 2000))
def test_whatever_is_reported_nothing_is_negative_and_what_is_kept_is_bounded(
    reports: list[tuple[float, str, int, int | None]], later_s: float
) -> None:
    samples: tuple[Sample, ...] = ()
    now_s = 0.0
    for pause_s, stage, done, total in reports:
        now_s += pause_s
        samples = followed(samples, Sample(now_s, stage, done, total))
        found = rate(samples, now_s + later_s)
        assert found.per_s is None or found.per_s >= 0
        assert found.eta_s is None or found.eta_s >= 0
        assert len(samples) <= 102
        assert {sample.stage for sample in samples} == {stage}
        assert all(before.done < after.done for before, after in pairwise(samples))


@given(st.floats(0.1, 1000), st.integers(1, 1000), st.integers(2, 50))
def test_a_constant_speed_is_found(per_s: float, step: int, number: int) -> None:
    samples = told(*((part * step / per_s, part * step) for part in range(number)), total=step * 100)
    found = rate(samples, samples[-1].at_s)
    assert found.per_s == pytest.approx(per_s)
    assert found.eta_s == pytest.approx((step * 100 - samples[-1].done) / per_s)


def running(done: int, *, state: JobState = JobState.RUNNING, stage: str = "embed", job_id: str = "a") -> Job:
    return Job(job_id=job_id, kind="embed", gallery="g", created_at="", state=state, stage=stage, done=done, total=100)


def test_the_rates_of_several_jobs_are_kept_apart_and_end_with_them() -> None:
    now = [0.0]
    rates = JobRates(lambda: now[0])
    assert rates.of(running(0)) == Rate()
    assert rates.of(running(0, job_id="b")) == Rate()
    now[0] = 10
    assert rates.of(running(20)).per_s == pytest.approx(2)
    assert rates.of(running(50, job_id="b")).per_s == pytest.approx(5)
    assert rates.of(running(20, state=JobState.FAILED)) == Rate()
    assert rates.of(running(30)) == Rate()  # retried: what it did before says nothing


def test_only_stages_that_count_images_have_images_per_second() -> None:
    assert images_per_s(running(1), Rate(per_s=3.0)) == 3.0
    assert images_per_s(running(1, stage="build faiss"), Rate(per_s=3.0)) is None
