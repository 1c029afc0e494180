"""Clients that search a gateway without pause over kept connections, and everything that they were answered."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import numpy as np

TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Query:
    """One search: its JSON, and where the query is an upload, the image's bytes. ``subject`` is what it is about."""

    request: Mapping[str, object]
    subject: int
    image: bytes | None = None

    @property
    def kind(self) -> str:
        if self.image is not None:
            return "upload"
        return "embedding" if "embedding" in self.request else "image_id"

    def body(self) -> tuple[str, bytes]:
        """The content type and the bytes of its request."""
        if self.image is None:
            return "application/json", json.dumps(self.request).encode()
        return multipart({"request": json.dumps(self.request)}, "image", {"query.jpg": self.image})


@dataclass(frozen=True)
class Answer:
    """What one client was answered, and when it asked and had the answer (seconds of ``time.monotonic``)."""

    client: int
    query: Query
    began: float
    ended: float
    status: int
    model: str
    backend: str
    index: str
    ids: tuple[str, ...]
    similarities: tuple[float, ...]
    problem: str  # what an error said


class Connection:
    """One kept connection to a gateway."""

    def __init__(self, url: str) -> None:
        self._kept = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)

    def call(self, method: str, path: str, content_type: str = "", body: bytes = b"") -> tuple[int, dict[str, Any]]:
        """Status and JSON; an answer without a body is empty."""
        self._kept.request(method, path, body, {"Content-Type": content_type} if content_type else {})
        answer = self._kept.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else {}

    def close(self) -> None:
        self._kept.close()


@dataclass
class Clients:
    """What the clients of :func:`searching` were answered until now, and what went wrong below HTTP."""

    answers: list[Answer] = field(default_factory=list)  # in the order of their ends
    broken: list[str] = field(default_factory=list)

    def assert_no_error(self) -> None:
        assert not self.broken, self.broken
        problems = [answer.problem for answer in self.answers if answer.problem]
        assert not problems, f"{len(problems)} of {len(self.answers)}, the first: {problems[0]}"


@contextmanager
def searching(
    url: str, gallery: str, queries: Callable[[int], Iterator[Query]], *, number: int = 8
) -> Iterator[Clients]:
    """``number`` threads, each of which asks what ``queries(client)`` yields, the next when it has its answer."""
    clients, stopped = Clients(), threading.Event()

    def ask(client: int) -> None:
        connection = Connection(url)
        try:
            for query in queries(client):
                if stopped.is_set():
                    return
                kind, body = query.body()
                began = time.monotonic()
                status, said = connection.call("POST", f"/v1/galleries/{gallery}/search", kind, body)
                clients.answers.append(_answer(client, query, began, status, said))
        except (OSError, http.client.HTTPException, ValueError) as error:
            clients.broken.append(f"client {client}: {error!r}")
        finally:
            connection.close()

    threads = [threading.Thread(target=ask, args=(client,), name=f"client {client}") for client in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        stopped.set()
        for thread in threads:
            thread.join(TIMEOUT_S)


def _answer(client: int, query: Query, began: float, status: int, said: Mapping[str, Any]) -> Answer:
    hits = said.get("hits", ())
    return Answer(
        client=client,
        query=query,
        began=began,
        ended=time.monotonic(),
        status=status,
        model=said.get("model", ""),
        backend=said.get("backend", ""),
        index=said.get("index", ""),
        ids=tuple(hit["image_id"] for hit in hits),
        similarities=tuple(hit["similarity"] for hit in hits),
        problem="" if status == 200 else f"{status} {said.get('code')}: {said.get('detail')}",
    )


def multipart(fields: Mapping[str, str], name: str, files: Mapping[str, bytes]) -> tuple[str, bytes]:
    """A form with text ``fields`` and ``files`` by their names, all in the field ``name``: content type and bytes."""
    mark = uuid4().hex
    parts = [f'Content-Disposition: form-data; name="{key}"\r\n\r\n{text}'.encode() for key, text in fields.items()]
    for file, data in files.items():
        head = f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\nContent-Type: image/jpeg\r\n\r\n'
        parts.append(head.encode() + data)
    body = b"".join(b"--%s\r\n%s\r\n" % (mark.encode(), part) for part in parts) + f"--{mark}--\r\n".encode()
    return f"multipart/form-data; boundary={mark}", body


def p99_ms(answers: Sequence[Answer]) -> float:
    """The 99th percentile of how long they took, in milliseconds; NaN without any."""
    if not answers:
        return float("nan")
    return float(np.percentile([answer.ended - answer.began for answer in answers], 99)) * 1000
