"""Brings the whole system up, works with it, kills each container in turn, takes it down: ``make compose-test``.

    python tests/images/compose_check.py [--real] [--json FILE] [--keep]

With ``--real`` the servers are those of docker-compose.yml, and the system must be ready; without it, stand-ins take
the place of MinIO and Redis, and the system must be degraded for want of Qdrant. A line for each step with its time,
a summary as JSON, and status 1 with what went wrong and the ends of the logs.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from compose_work import Gallery, draw_noise
from drawn_pictures import draw_pictures
from stack import OURS, Stack, stack, until

PER_COLOR = 20
ADDED = 120
VICTIMS = ("gateway", "embedder", "indexer", "torchserve", "redis", "minio")
BACKENDS = ("exact", "faiss", "annoy")
ENDED = (0, 143)  # of a process that ends by itself after SIGTERM


@dataclass
class Steps:
    """Says what is done and how long it took."""

    done: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[dict[str, Any]]:
        """One step; what is put into its dict is shown and kept."""
        began, found = time.monotonic(), {}
        print(f"{name} …", flush=True)
        yield found
        took = round(time.monotonic() - began, 1)
        self.done.append({"step": name, "took_s": took, **found})
        print(f"  {took} s {json.dumps(found) if found else ''}", flush=True)


def check(system: Stack, steps: Steps, *, real: bool) -> None:
    """Everything but the taking down."""
    with steps.step("up, all at once and in any order") as found:
        system.compose("up", "--detach")
        said = until(lambda: _ready(system), "the gateway is ready")
        found["status"] = said["status"]
    with steps.step("what is away is said on /readyz, and what is there works") as found:
        wanted = "ready" if real else "degraded"
        said = until(lambda: _as_wanted(system, wanted), f"/readyz says {wanted}")
        assert (said["qdrant"] == "ok") is real, said
        found.update(status=said["status"], qdrant=said["qdrant"], store=said["store"], queue=said["queue"])
    with steps.step("without a key nothing is shown"):
        for path in ("/v1/galleries", "/v1/jobs", "/v1/models"):
            refused = httpx.get(f"{system.http.base_url}{path}")
            assert refused.status_code == httpx.codes.UNAUTHORIZED, f"{path}: {refused.status_code}"
    with steps.step("set-up ends by itself") as found:
        state = until(lambda: _ended(system, "setup"), "the end of setup")
        assert state["ExitCode"] == 0, system.logs("setup")
        found["models"] = [model["name"] for model in system.get("/v1/models")]
    with steps.step("its demo gallery goes live, embedded by the workers through TorchServe") as found:
        demo = Gallery(system, "demo")
        until(demo.is_live, "the demo gallery is live")
        found["images"] = demo.num_images()
    with steps.step("one command ingests a folder and searches it") as found:
        printed = system.compose("run", "--rm", "-T", "try", "warm/red/0.png", profiles="commands")
        assert "warm/red/0.png" in printed, printed
        gallery = Gallery(system, "images")
        assert gallery.num_images() == 3 * PER_COLOR
        found["backends"] = gallery.backends()
        assert set(BACKENDS) <= set(gallery.backends()), found
    with steps.step("every backend finds what has the same colour"):
        for backend in gallery.backends():
            hits = gallery.search("cold/blue/3.png", backend)
            assert hits[0]["key"] == "cold/blue/3.png", hits[0]
            assert all(hit["key"].startswith("cold/blue/") for hit in hits[:5]), hits
    with steps.step("an evaluation") as found:
        job = system.post("/v1/galleries/images/evaluations", {"k": 5}, status=202)["job"]
        result = system.succeeded(job)["result"]
        found["evaluation"] = result["evaluation_id"]
        assert system.get(f"/v1/evaluations/{result['evaluation_id']}")["evaluation_id"] == result["evaluation_id"]
    for number, victim in enumerate(VICTIMS):
        with steps.step(f"{victim} is killed at work, and started again") as found:
            found.update(kill_at_work(system, gallery, victim, number))
    with steps.step("told to stop, each of ours ends by itself") as found:
        for service in OURS:
            found[service] = stopped(system, service)
    with steps.step("started again, it has everything") as found:
        system.compose("up", "--detach")
        until(lambda: _ready(system), "the gateway is ready")
        until(gallery.is_live, "the gallery is live")
        found["images"] = gallery.num_images()
        assert found["images"] == 3 * PER_COLOR + len(VICTIMS) * ADDED
        for backend in gallery.backends():
            until(lambda backend=backend: gallery.can_search("cold/blue/3.png", backend), f"{backend} answers")


def kill_at_work(system: Stack, gallery: Gallery, victim: str, number: int) -> dict[str, Any]:
    """Uploads images, kills ``victim`` while they are embedded and indexes are built; nothing may be lost."""
    before = gallery.num_images()
    files = draw_noise(ADDED, seed=number)
    added = gallery.upload(files)
    compacted = system.job("compact", gallery.name)
    until(lambda: gallery.has_begun(added, compacted), f"jobs of {victim} begin", every_s=0.05)
    system.kill(victim)
    killed = time.monotonic()
    answers = None
    if victim != "gateway":
        # What is up goes on: what is live is searched by images of the gallery.
        answers = {backend: gallery.can_search("cold/blue/3.png", backend) for backend in BACKENDS}
        assert all(answers.values()), f"{answers} {system.logs('gateway')}"
        said = system.get("/readyz")
        assert said["status"] == "degraded", said
    system.start(victim)
    for job in (added, compacted):
        system.succeeded(job)
    took = time.monotonic() - killed
    assert gallery.num_images() == before + ADDED
    for name in list(files)[:: ADDED // 4]:
        for backend in BACKENDS:
            hits = until(lambda name=name, backend=backend: gallery.can_search(name, backend), f"{name} is found")
            assert hits[0]["key"] == name, hits[0]
    return {"recovered_s": round(took, 1), "searched_meanwhile": answers is not None}


def stopped(system: Stack, service: str) -> dict[str, Any]:
    """SIGTERM, and how it ended: by itself, within the time that docker-compose.yml gives it."""
    began = time.monotonic()
    system.run("stop", "--time", "90", system.container(service))
    state = system.state(service)
    assert state["ExitCode"] in ENDED, f"{state}\n{system.logs(service)}"
    return {"status": state["ExitCode"], "took_s": round(time.monotonic() - began, 1)}


def _ready(system: Stack) -> dict[str, Any] | None:
    try:
        answer = system.http.get("/readyz")
    except httpx.HTTPError:
        return None
    return answer.json() if answer.status_code == httpx.codes.OK else None


def _as_wanted(system: Stack, status: str) -> dict[str, Any] | None:
    said = _ready(system)
    is_so = said is not None and said["status"] == status and said["embedder"] == "ok" and said["queue"] == "ok"
    return said if is_so else None


def _ended(system: Stack, service: str) -> dict[str, Any] | None:
    state = system.state(service)
    return None if state["Running"] else state


def main(run: Callable[..., None] = check) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", action="store_true", help="with MinIO, Redis and Qdrant themselves")
    parser.add_argument("--json", type=Path, help="file for the summary")
    parser.add_argument("--keep", action="store_true", help="leave it up when something went wrong")
    said = parser.parse_args()
    steps, began, problem = Steps(), time.monotonic(), None
    with tempfile.TemporaryDirectory(prefix="lookalike-compose-") as folder:
        draw_pictures(Path(folder) / "pictures", per_color=PER_COLOR)
        with (
            stack(Path(folder), stand_ins=not said.real)
            if not said.keep
            else nullcontext(Stack(Path(folder), ["docker-compose.yml", "deploy/compose/test.yml"])) as system
        ):
            try:
                run(system, steps, real=said.real)
            except (AssertionError, TimeoutError, KeyError, httpx.HTTPError) as error:
                problem = f"{type(error).__name__}: {error}"
                print(f"{problem}\n{system.logs(*OURS, 'setup')}", file=sys.stderr)
        if (left := system.left()) and not said.keep:
            problem = problem or f"left behind: {left}"
    summary = {"ok": problem is None, "took_s": round(time.monotonic() - began, 1), "steps": steps.done}
    summary |= {"problem": problem} if problem else {}
    text = json.dumps(summary, indent=2)
    if said.json is not None:
        said.json.write_text(text + "\n", encoding="utf-8")
    print(text)
    return 0 if problem is None else 1


if __name__ == "__main__":
    sys.exit(main())
