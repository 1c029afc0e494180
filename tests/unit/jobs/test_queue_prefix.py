"""Two deployments on one Redis database: nothing of one is seen by the other."""

from contextlib import suppress
from queue import Empty

import pytest
import redis
from real_servers import RedisServer

from lookalike.jobs.celery_queue import CeleryBroker, make_app
from lookalike.jobs.dispatch import Message
from lookalike.jobs.redis_turns import RedisTurns
from lookalike.jobs.steps import ADVANCE, Queue, Unit


@pytest.fixture
def database(redis_server: RedisServer) -> str:
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


def received(url: str, prefix: str) -> list[str]:
    """The jobs whose messages a worker with this prefix gets from the queue ``index``."""
    app = make_app(url, prefix=prefix, visibility_s=60)
    found = []
    with app.connection() as connection:
        queue = connection.SimpleQueue(Queue.INDEX.value)
        with suppress(Empty):
            while True:
                message = queue.get(block=False)
                found.append(message.payload[1]["job_id"])
                message.ack()
        queue.close()
    app.close()
    return found


def test_messages_reach_only_workers_of_their_own_prefix(database: str) -> None:
    for prefix in ("one:", "two:", ""):
        app = make_app(database, prefix=prefix, visibility_s=60)
        broker = CeleryBroker(app)
        broker.send(Message(f"job of {prefix!r}", 1, Unit(ADVANCE, Queue.INDEX)))
        broker.close()
    for prefix in ("one:", "two:", ""):
        turns = RedisTurns(database, prefix=prefix)
        assert turns.depths() == {"embed": 0, "index": 1, "evaluate": 0}
        assert received(database, prefix) == [f"job of {prefix!r}"]
        assert turns.depths()["index"] == 0
        turns.close()


def test_turns_marks_and_counts_are_each_deployment_s_own(database: str) -> None:
    one, two = RedisTurns(database, prefix="one:"), RedisTurns(database, prefix="two:")
    assert one.take("keeper", seconds=60) is not None
    assert one.mark("sent", seconds=60)
    assert (one.count("starts", seconds=60), one.count("starts", seconds=60)) == (1, 2)
    assert two.known(["keeper", "sent"]) == set()
    assert two.take("keeper", seconds=60) is not None
    assert two.count("starts", seconds=60) == 1
    one.close()
    two.close()


def test_every_key_begins_with_the_prefix(database: str) -> None:
    app = make_app(database, prefix="shop.", visibility_s=60)
    CeleryBroker(app).send(Message("a-job", 1, Unit(ADVANCE, Queue.INDEX)))
    turns = RedisTurns(database, prefix="shop.")
    turns.mark("sent", seconds=60)
    with redis.Redis.from_url(database, decode_responses=True) as client:
        keys = client.keys("*")
    assert keys
    assert [key for key in keys if not key.startswith("shop.")] == []
    turns.close()
    app.close()
