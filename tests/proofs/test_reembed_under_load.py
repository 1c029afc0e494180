"""Proof 3: another model takes over under clients that never pause, without an error or an answer of two models."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from clients import Answer, Clients, Query, p99_ms, searching
from cluster import FULL, Cluster, cluster, draw
from gateway import gateway
from numpy.typing import NDArray
from real_servers import RedisServer, wait_until

from lookalike.images.prepare import prepare
from lookalike.pipeline.index_gallery import newest_set
from lookalike.pipeline.workspace import Workspace
from lookalike.types.ids import as_keys, unpack_ids

IMAGES = 4000 if FULL else 256
CLIENTS = 8
UPLOADS = 8
K = 10
BACKENDS = ("exact", "faiss", "annoy", "qdrant")
FORMER, NEW = "color_edges@1", "pixels16@1"
TOLERANCE = 1e-4
BEFORE_S, AFTER_S = 2.0, 5.0  # of the first answer of the new model: what counts as the switch
# At full size, on a quiet machine, what the issue asks for. A hundred answers on a shared one have no better p99.
MAX_RATIO = 1.5 if FULL else 10.0


@dataclass(frozen=True)
class Space:
    """What one model makes of the gallery, in the order of ids, and of the uploads, computed in this process."""

    ids: list[str]
    embeddings_ND: NDArray[np.float32]
    uploads_UD: NDArray[np.float32]

    @classmethod
    def of(cls, at: Workspace, model: str, uploads: Sequence[bytes]) -> "Space":
        matrix = at.artifacts.matrix(newest_set(at, "g", model))
        embedder = at.embedder(model)
        size, policy = embedder.manifest.input_size, embedder.manifest.resize_policy
        pixels = np.stack([prepare(data, size=size, policy=policy, limits=at.limits) for data in uploads])
        order = np.argsort(as_keys(matrix.ids_N16))
        ids = unpack_ids(matrix.ids_N16[order])
        return cls(ids, matrix.embeddings_ND[order], embedder.embed(pixels))

    def assert_gave(self, answer: Answer) -> None:
        """Every similarity is the cosine in this space, best first; the exact backend's are the best there are."""
        subject = answer.query.subject
        query_D = self.uploads_UD[subject] if answer.query.kind == "upload" else self.embeddings_ND[subject]
        cosines_N = self.embeddings_ND.astype(np.float64) @ query_D.astype(np.float64)
        said_K = np.array(answer.similarities)
        assert len(said_K) == len(set(answer.ids)) == K, answer
        np.testing.assert_allclose(said_K, cosines_N[np.searchsorted(self.ids, answer.ids)], atol=TOLERANCE)
        assert (np.diff(said_K) <= 0).all(), answer
        if answer.backend == "exact":
            np.testing.assert_allclose(said_K, np.sort(cosines_N)[::-1][:K], atol=TOLERANCE)


@pytest.fixture
def served(tmp_path: Path, redis_server: RedisServer) -> Iterator[Cluster]:
    with cluster(tmp_path, redis_server) as made:
        yield made


def test_no_search_notices_a_reembedding(served: Cluster, tmp_path: Path) -> None:
    at = served.workspace
    served.run("ingest", "g", source=str(draw(tmp_path / "pictures", IMAGES)))
    served.run("reembed", "g", model=FORMER, backends=list(BACKENDS))
    paths = sorted(draw(tmp_path / "uploads", UPLOADS, first=IMAGES).rglob("*.jpg"))
    uploads = [path.read_bytes() for path in paths]
    former = Space.of(at, FORMER, uploads)
    asked = _Queries(former, uploads)
    with gateway(served) as url, searching(url, "g", asked.of_client, number=CLIENTS) as clients:
        # What was answered in the beginning, while everything was opened, belongs to no figure.
        wait_until(lambda: len(clients.answers) >= 40 * CLIENTS, what="every client has its answers")
        started = len(clients.answers)
        # However short the job is, enough was asked for before its switch.
        wait_until(lambda: len(_ended_by(clients, started, BEFORE_S)) >= 100, what="searches before the first job")
        before: list[Answer] = []
        for model in (NEW, FORMER):
            served.run("reembed", "g", model=model, backends=list(BACKENDS), force=True)
            wait_until(lambda: _all_follow(clients, model), what=f"answers of {model}")  # noqa: B023
            at_switch = _first_of(model, clients.answers[started:]).ended
            wait_until(
                lambda: clients.answers[-1].ended > at_switch + AFTER_S,  # noqa: B023
                what="the time after the switch is over",
            )
            _assert_switched_once(clients.answers[started:], model)
            before = before or _before(clients.answers[started:])
            _assert_no_slower(clients.answers[started:], before, model)
            started = len(clients.answers)
    clients.assert_no_error()
    _assert_each_of_one_model(at, clients, {FORMER: former, NEW: Space.of(at, NEW, uploads)})


@dataclass(frozen=True)
class _Queries:
    """By image_id and by upload of whatever is the default, by embedding of the former model; on each backend."""

    former: Space
    uploads: Sequence[bytes]

    def of_client(self, client: int) -> Iterator[Query]:
        rng = np.random.default_rng(client)
        kinds = itertools.cycle(itertools.product(("image_id", "upload", "embedding"), BACKENDS))
        for kind, backend in itertools.islice(kinds, client, None):
            options = {"backend": backend, "k": K}
            row = int(rng.integers(len(self.former.ids)))
            if kind == "image_id":
                yield Query({**options, "image_id": self.former.ids[row]}, row)
            elif kind == "upload":
                yield Query(options, row % UPLOADS, self.uploads[row % UPLOADS])
            else:
                embedding = [float(value) for value in self.former.embeddings_ND[row]]
                yield Query({**options, "model": FORMER, "embedding": embedding}, row)


def _of_default(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if "model" not in answer.query.request]


def _first_of(model: str, answers: Sequence[Answer]) -> Answer:
    return next(answer for answer in _of_default(answers) if answer.model == model)


def _all_follow(clients: Clients, model: str) -> bool:
    """Whether the last answer to each client that named no model is the model's."""
    clients.assert_no_error()
    last = {answer.client: answer.model for answer in _of_default(clients.answers)}
    return set(last.values()) == {model} and len(last) == CLIENTS


def _assert_switched_once(answers: Sequence[Answer], model: str) -> None:
    """Each client saw the old model, then the new one, and never the old one again."""
    for client in range(CLIENTS):
        seen = [answer.model for answer in _of_default(answers) if answer.client == client]
        assert [one for one, _ in itertools.groupby(seen)] == [FORMER if model == NEW else NEW, model]


def _ended_by(clients: Clients, started: int, ago_s: float) -> list[Answer]:
    """The answers from ``started`` on that had ended ``ago_s`` seconds ago."""
    until = time.monotonic() - ago_s
    return [answer for answer in clients.answers[started:] if answer.ended < until]


def _before(answers: Sequence[Answer]) -> list[Answer]:
    """The searches just before and beside the first job's embedding and building, before the switch to ``NEW``."""
    switch = _first_of(NEW, answers).ended
    before = [answer for answer in answers if answer.ended < switch - BEFORE_S]
    assert len(before) >= 100
    return before


def _assert_no_slower(answers: Sequence[Answer], before: Sequence[Answer], model: str) -> None:
    """The p99 around a switch against that of ``before``."""
    switch = _first_of(model, answers).ended
    during = [answer for answer in answers if switch - BEFORE_S <= answer.ended < switch + AFTER_S]
    ratio = p99_ms(during) / p99_ms(before)
    print(  # noqa: T201 seen with -s
        f"to {model}: p99 {p99_ms(before):.0f} ms of {len(before)} searches before the switch, "
        f"{p99_ms(during):.0f} ms of {len(during)} during it: {ratio:.2f}"
    )
    assert ratio <= MAX_RATIO


def _assert_each_of_one_model(at: Workspace, clients: Clients, spaces: dict[str, Space]) -> None:
    """Model, index, backend and every similarity of an answer belong together, whatever was live."""
    manifests = {manifest.index_id: manifest for manifest in at.indexes.list("g")}
    seen = set()
    for answer in clients.answers:
        manifest = manifests[answer.index]
        assert (manifest.model, manifest.backend) == (answer.model, answer.backend)
        assert answer.backend == answer.query.request["backend"]
        assert answer.model == answer.query.request.get("model", answer.model)
        spaces[answer.model].assert_gave(answer)
        seen.add((answer.model, answer.backend, answer.query.kind))
    assert seen >= set(itertools.product(spaces, BACKENDS, ("image_id", "upload")))
