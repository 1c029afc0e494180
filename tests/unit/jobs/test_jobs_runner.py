"""What a worker does with messages that come once, twice, late, too new, or not at all."""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from queue_parts import Parts
from real_servers import RedisServer

from lookalike.errors import DependencyUnavailable, InvalidSource, WrongJobState
from lookalike.jobs.dispatch import FORMAT
from lookalike.jobs.port import Job, JobState
from lookalike.jobs.runner import MAX_STARTS, TryLater
from lookalike.jobs.steps import ADVANCE, Finished, Queue
from lookalike.pipeline.progress import Progress, Report


@pytest.fixture
def parts(tmp_path: Path, redis_server: RedisServer) -> Parts:
    return Parts(tmp_path, redis_server)


def test_a_job_goes_through_its_units_to_its_end(parts: Parts) -> None:
    job = parts.submit()
    assert parts.work_off() == 5  # advance, three units, advance
    done = parts.jobs.get(job.job_id)
    assert (done.state, done.result, done.stage, done.done, done.total) == (
        JobState.SUCCEEDED,
        {"parts": 3},
        "parts",
        3,
        3,
    )
    assert sorted(parts.steps.runs) == ["part-0", "part-1", "part-2"]
    assert list(parts.lanes.all()) == []


def test_messages_that_come_twice_do_nothing_twice(parts: Parts) -> None:
    job = parts.submit()
    (first,) = parts.outbox.take()
    parts.runner.work(first)
    units = parts.outbox.take()
    assert len(units) == 3
    for message in units:
        parts.runner.work(message)
    assert parts.work_off() == 1
    for message in (first, *units):
        parts.runner.work(message)
    assert len(parts.steps.runs) == 3
    assert parts.outbox.take() == []
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_a_unit_whose_turn_is_somebody_s_is_left_to_them(parts: Parts) -> None:
    job = parts.submit()
    (first,) = parts.outbox.take()
    turn = f"turn:{job.job_id}:1:{ADVANCE}"
    token = parts.turns.take(turn, seconds=60)
    assert token is not None
    parts.runner.work(first)
    assert parts.jobs.get(job.job_id).state is JobState.QUEUED
    parts.turns.give(turn, token)
    parts.runner.work(first)
    assert parts.jobs.get(job.job_id).state is JobState.RUNNING


def test_everything_lost_in_the_queue_is_sent_again_and_nothing_finished_is_done_again(
    parts: Parts, tmp_path: Path, redis_server: RedisServer
) -> None:
    job = parts.submit()
    parts.runner.work(parts.outbox.take()[0])
    parts.runner.work(parts.outbox.take()[0])
    assert parts.steps.runs == ["part-0"]
    steps, parts = parts.steps, Parts(tmp_path, redis_server)  # flushes Redis; the store stays
    parts.steps.done = steps.done
    assert parts.keeper.look() == 1
    parts.work_off()
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED
    assert parts.steps.runs == ["part-1", "part-2"]


def test_a_lost_message_is_sent_again_although_it_was_marked(parts: Parts) -> None:
    parts.submit()
    assert len(parts.outbox.take()) == 1
    # Celery's list of the queue is empty, so whoever had the message has died with it.
    assert parts.keeper.look() == 1


def test_what_waits_in_its_queue_is_not_sent_again(parts: Parts, redis_server: RedisServer) -> None:
    import redis

    parts.submit()
    with redis.Redis.from_url(redis_server.url) as client:
        client.lpush("index", "somebody's message")
        assert parts.keeper.look() == 0


def test_a_retry_of_a_running_job_is_refused_until_its_queue_is_lost(parts: Parts, redis_server: RedisServer) -> None:
    import redis

    job = parts.submit()
    parts.runner.work(parts.outbox.take()[0])
    with pytest.raises(WrongJobState):
        parts.jobs.retry(job.job_id)
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    again = parts.jobs.retry(job.job_id)
    assert (again.state, again.attempt) == (JobState.RUNNING, 1)
    parts.work_off()
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_a_server_that_is_away_is_tried_again_and_at_the_last_try_the_job_fails(parts: Parts) -> None:
    def away(unit: str) -> None:
        raise DependencyUnavailable("the store does not answer", dependency="store")

    job = parts.submit()
    (message,) = parts.outbox.take()
    parts.steps.on_run = away
    with pytest.raises(TryLater, match="the store does not answer"):
        parts.runner.work(message)
    assert parts.jobs.get(job.job_id).state is JobState.RUNNING
    parts.runner.work(message, last_try=True)
    failed = parts.jobs.get(job.job_id)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (JobState.FAILED, "dependency_unavailable")


def test_a_postponed_unit_is_not_sent_by_others_meanwhile(parts: Parts) -> None:
    parts.submit()
    (message,) = parts.outbox.take()
    parts.runner.postponed(message, 30)
    assert parts.keeper.look() == 0


def test_an_error_fails_the_job_and_the_next_of_its_lane_begins(parts: Parts) -> None:
    def fails(unit: str) -> None:
        if unit == "part-1":
            raise InvalidSource("no such source")

    first, second = parts.submit(), parts.submit()
    parts.steps.on_run = fails
    parts.work_off()
    assert parts.jobs.get(first.job_id).state is JobState.FAILED
    assert parts.jobs.get(second.job_id).state is JobState.FAILED
    assert list(parts.lanes.all()) == []


def test_a_job_whose_turn_comes_while_somebody_finds_that_it_has_not_is_looked_at_again(parts: Parts) -> None:
    """Without a keeper, who would find it: each side tells the other."""
    first, second = parts.submit(), parts.submit()
    one, two = parts.outbox.take()
    found, may_go_on = threading.Event(), threading.Event()
    is_first = parts.runner._is_first

    def slowly(job: Job) -> bool:
        answer = is_first(job)
        if job.job_id == second.job_id and not found.is_set():
            assert not answer
            found.set()
            assert may_go_on.wait(60)
        return answer

    parts.runner._is_first = slowly  # type: ignore[method-assign]
    looking = threading.Thread(target=parts.runner.work, args=(two,))
    looking.start()
    assert found.wait(60)
    parts.runner.work(one)
    parts.work_off()
    assert parts.jobs.get(first.job_id).state is JobState.SUCCEEDED
    may_go_on.set()
    looking.join()
    parts.work_off()
    assert parts.jobs.get(second.job_id).state is JobState.SUCCEEDED


def test_a_message_that_comes_while_somebody_is_at_its_unit_is_not_forgotten(parts: Parts) -> None:
    job = parts.submit()
    (first,) = parts.outbox.take()
    turn = f"turn:{job.job_id}:1:{ADVANCE}"
    token = parts.turns.take(turn, seconds=60)
    assert token is not None
    parts.runner.work(first)
    assert parts.turns.known([f"again:{turn}"])
    parts.turns.give(turn, token)
    parts.runner.work(first)  # whoever it was would do as this does
    assert not parts.turns.known([f"again:{turn}"])
    assert ADVANCE in [message.unit.name for message in parts.outbox.messages]


def test_a_newer_message_is_left_for_a_newer_worker(parts: Parts) -> None:
    job = parts.submit()
    (message,) = parts.outbox.take()
    with pytest.raises(TryLater, match="newer worker"):
        parts.runner.work(replace(message, format=FORMAT + 1), last_try=True)
    assert parts.jobs.get(job.job_id).state is JobState.QUEUED


def test_a_unit_at_which_workers_die_again_and_again_fails_its_job(parts: Parts) -> None:
    class Killed(BaseException):
        """What ends a process leaves nothing behind: no handler runs."""

    def dies(unit: str) -> None:
        if unit == "part-0":
            raise Killed

    job = parts.submit()
    parts.runner.work(parts.outbox.take()[0])
    message = next(one for one in parts.outbox.take() if one.unit.name == "part-0")
    parts.steps.on_run = dies
    for _ in range(MAX_STARTS):
        with pytest.raises(Killed):
            parts.runner.work(message)
    parts.runner.work(message)
    failed = parts.jobs.get(job.job_id)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (JobState.FAILED, "worker_lost")
    assert parts.steps.starts == list(range(1, MAX_STARTS + 1))


def test_workers_that_die_at_one_unit_but_come_further_each_time_are_not_counted(parts: Parts) -> None:
    class Killed(BaseException):
        """What ends a process leaves nothing behind: no handler runs."""

    come = 0

    def advance(job: Job, queue: Queue, report: Report) -> Finished:
        report(Progress("ingest", come))
        raise Killed

    parts.steps.advance = advance  # type: ignore[method-assign]
    parts.runner.notes.every_s = 0.0
    job = parts.submit()
    (message,) = parts.outbox.take()
    for come in range(3 * MAX_STARTS):  # noqa: B007 advance() looks at it
        with pytest.raises(Killed):
            parts.runner.work(message)
    assert parts.jobs.get(job.job_id).done == come
    for _ in range(MAX_STARTS):
        with pytest.raises(Killed):
            parts.runner.work(message)
    parts.runner.work(message)
    failed = parts.jobs.get(job.job_id)
    assert failed.error is not None
    assert (failed.state, failed.error.code) == (JobState.FAILED, "worker_lost")


def test_a_queue_that_is_away_for_a_moment_interrupts_no_unit_that_goes_on(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """What ends a process leaves nothing behind: no handler runs."""

    def away(name: str) -> None:
        raise DependencyUnavailable("the queue does not answer", dependency="queue")

    def dies(job: Job, queue: Queue, report: Report) -> Finished:
        report(Progress("ingest", 1))
        raise Killed

    def goes_on(job: Job, queue: Queue, report: Report) -> Finished:
        with monkeypatch.context() as meanwhile:
            meanwhile.setattr(parts.turns, "unmark", away)
            report(Progress("ingest", 2))
        return Finished({})

    parts.runner.notes.every_s = 0.0
    job = parts.submit()
    (message,) = parts.outbox.take()
    parts.steps.advance = dies  # type: ignore[method-assign]
    with pytest.raises(Killed):
        parts.runner.work(message)
    parts.steps.advance = goes_on  # type: ignore[method-assign]
    parts.runner.work(message)
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_jobs_of_one_lane_take_turns_and_another_lane_does_not_wait(parts: Parts) -> None:
    first, second, added = parts.submit(), parts.submit(), parts.submit(kind="add")
    one, two, three = parts.outbox.take()
    parts.runner.work(two)
    assert parts.jobs.get(second.job_id).state is JobState.QUEUED
    parts.runner.work(three)
    assert parts.jobs.get(added.job_id).state is JobState.RUNNING
    parts.runner.work(one)
    parts.work_off()
    states = [parts.jobs.get(job.job_id).state for job in (first, second, added)]
    assert states == [JobState.SUCCEEDED] * 3


def test_a_submission_while_the_queue_is_away_waits_in_the_store(parts: Parts) -> None:
    parts.outbox.away = True
    job = parts.submit()
    assert (job.state, parts.outbox.messages) == (JobState.QUEUED, [])
    parts.outbox.away = False
    assert parts.keeper.look() == 1
    parts.work_off()
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED


def test_an_entry_that_outlived_its_job_holds_nobody_up(parts: Parts) -> None:
    ended = parts.submit()
    parts.work_off()
    entry = parts.lanes.enter(ended, "main", parts.jobs._now())  # its process died before it could remove it
    job = parts.submit()
    parts.work_off()
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED
    parts.keeper.look()
    assert entry not in [one.key for one in parts.lanes.all()]


def test_an_entry_whose_job_was_never_written_holds_nobody_up_and_is_removed_later(parts: Parts) -> None:
    left = Job(job_id="00000000-0000-0000-0000-000000000009", kind="embed", gallery="g", created_at="")
    parts.lanes.enter(left, "main", datetime.now(UTC))
    job = parts.submit()
    parts.work_off()
    assert parts.jobs.get(job.job_id).state is JobState.SUCCEEDED
    parts.keeper.look()
    assert [entry.job_id for entry in parts.lanes.all()] == [left.job_id]
    replace(parts.keeper, now=lambda: datetime.now(UTC) + timedelta(hours=2)).look()
    assert list(parts.lanes.all()) == []


def test_a_job_that_ended_shows_what_it_reported_last(parts: Parts) -> None:
    """Reports are written now and then only; the last one is written with the end."""
    parts.runner.notes.every_s = 3600.0

    def advance(job: Job, queue: Queue, report: Report) -> Finished:
        for done in range(4):
            report(Progress("compare", done, 3))
        return Finished({})

    parts.steps.advance = advance  # type: ignore[method-assign]
    job = parts.submit()
    parts.work_off()
    ended = parts.jobs.get(job.job_id)
    assert (ended.state, ended.stage, ended.done, ended.total) == (JobState.SUCCEEDED, "compare", 3, 3)


def test_what_a_job_says_at_its_end_counts(parts: Parts) -> None:
    def advance(job: Job, queue: Queue, report: Report) -> Finished:
        report(Progress("promote", 0, 1))
        return Finished({}, progress=Progress("promote", 1, 1))

    parts.steps.advance = advance  # type: ignore[method-assign]
    job = parts.submit()
    parts.work_off()
    ended = parts.jobs.get(job.job_id)
    assert (ended.stage, ended.done, ended.total) == ("promote", 1, 1)
