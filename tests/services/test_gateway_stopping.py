"""Told to stop, the gateway answers what it has begun: an update loses no request."""

import threading

import httpx
import pytest
from fastapi import FastAPI

from services.gateway.server import listen, make_server, url_of


@pytest.mark.parametrize(("finish_s", "status"), [(30, 200), (0, 500)])
def test_requests_under_way_have_their_time(finish_s: int, status: int) -> None:
    began, go_on = threading.Event(), threading.Event()
    app = FastAPI()

    @app.get("/slow")
    def slow() -> str:
        began.set()
        go_on.wait(30)
        return "done"

    listening = listen("127.0.0.1", 0)
    serving = threading.Event()
    server = make_server(app, serving.set, finish_s=finish_s)
    process = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    process.start()
    assert serving.wait(30)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(httpx.get(f"{url_of(listening)}/slow", timeout=30).status_code)
    )
    asking.start()
    assert began.wait(30)
    server.should_exit = True
    if status != 200:
        asking.join(30)  # it is told so before its work is done
    go_on.set()
    asking.join(30)
    process.join(30)
    assert not process.is_alive()
    assert answers == [status]
