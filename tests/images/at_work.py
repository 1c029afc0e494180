"""Each image started as the strictest deployment would, and told to stop while it works."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from containers import ImageAtFault, Lab, until  # isort: skip  it finds the next
from catalog import IMAGES, Image
from proofs.cluster import draw

NUM_IMAGES = 960
PART_IMAGES = 48
TOKEN = "for-this-test-alone-0123456789abcdef"
# What a worker leaves behind would be another's only after an hour: the jobs here end sooner, so nothing was left.
QUEUE = {
    "LOOKALIKE_QUEUE__URL": "redis://redis:6379/0",
    "LOOKALIKE_QUEUE__PART_IMAGES": str(PART_IMAGES),
    "LOOKALIKE_QUEUE__LEASE_S": "3600",
    "LOOKALIKE_QUEUE__LOOK_EVERY_S": "3600",
    "LOOKALIKE_QUEUE__VISIBILITY_S": "3600",
    "LOOKALIKE_JOBS__SOURCE_FOLDERS": "/pictures",
}
EMBEDDER = {
    "LOOKALIKE_EMBEDDER__URL": "http://torchserve:8080",
    "LOOKALIKE_EMBEDDER__PROTOCOL": "torchserve",
    "LOOKALIKE_EMBEDDER__TOKEN": TOKEN,
}
_ENVIRONMENT = {
    "gateway": {**QUEUE, **EMBEDDER, "LOOKALIKE_ACCESS__KEYS": "off"},
    "indexer": {**QUEUE, **EMBEDDER},
    "embedder": {**QUEUE, **EMBEDDER},
    "torchserve": {"LOOKALIKE_EMBEDDER__TOKEN": TOKEN},
}
_BY_NAME = {image.name: image for image in IMAGES}
_GRACE_S = {"gateway": 30, "torchserve": 60, "embedder": 60, "indexer": 60, "trainer": 60}
_CONFINED_TO = """
import os, pathlib
said = dict(line.split(':', 1) for line in pathlib.Path('/proc/self/status').read_text().splitlines())
assert os.getuid() == os.getgid() == 10001, (os.getuid(), os.getgid())
assert int(said['CapEff'], 16) == int(said['CapBnd'], 16) == 0, said
assert int(said['NoNewPrivs']) == 1
for folder in ('/', '/opt/lookalike', '/opt/venv', '/etc', '/var'):
    try:
        pathlib.Path(folder, 'written').write_text('')
    except OSError:
        continue
    raise SystemExit(f'{folder} can be written')
for folder in ('/tmp', '/var/lib/lookalike'):
    pathlib.Path(folder, 'written').write_text('')
"""

Measure = Callable[[], dict[str, Any]]


def checks(lab: Lab, chosen: set[str], folder: Path, servers: str) -> Iterator[tuple[str, Measure]]:
    """Each image that was chosen with what is done with it, in this order; those that another needs are started too."""
    work = _Work(lab, folder, servers)
    for name in ("gateway", "torchserve", "indexer", "embedder", "trainer"):
        if name in chosen:
            yield name, partial(getattr(work, name))


class _Work:
    """A store in the shared volume, a queue, and the images around them; nothing is started twice."""

    def __init__(self, lab: Lab, folder: Path, servers: str) -> None:
        self._lab = lab
        self._pictures = draw(folder / "pictures", NUM_IMAGES, side=256)
        folder.chmod(0o755)
        self._servers = servers
        self._up: dict[str, float] = {}

    def gateway(self) -> dict[str, Any]:
        """It answers a request whose end comes after it was told to stop, and ends."""
        found = self._started("gateway")
        host, port = self._lab.address("gateway", 8000)
        body = json.dumps({"name": "slow"}).encode()
        connection = http.client.HTTPConnection(host, port, timeout=30)
        connection.putrequest("POST", "/v1/galleries")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders()
        connection.send(body[:5])
        time.sleep(0.5)  # until the request has begun there, which nothing shows from here
        self._lab.signal("gateway", "TERM")
        time.sleep(0.5)
        connection.send(body[5:])
        status = connection.getresponse().status
        connection.close()
        if status != 201:
            raise ImageAtFault(f"a request under way was answered with {status}\n{self._lab.logs('gateway')}")
        took_s = self._lab.stop("gateway", grace_s=_GRACE_S["gateway"])
        self._lab.again("gateway")
        return {**found, "stopped_s": took_s}

    def torchserve(self) -> dict[str, Any]:
        """It serves what the store has, and ends with all of its processes."""
        self._started("gateway")
        found = self._started("torchserve")
        took_s = self._lab.stop("torchserve", grace_s=_GRACE_S["torchserve"])
        self._lab.again("torchserve")
        until(self._lab, "torchserve", *_health("torchserve"))
        return {**found, "stopped_s": took_s}

    def indexer(self) -> dict[str, Any]:
        """Stopped while it ingests, it ends what it has begun; the job goes on when it is there again."""
        self._started("gateway")
        found = self._started("indexer")
        job = self._submit("ingest", {"source": "/pictures"})
        self._reached(job, done=1)
        took_s = self._lab.stop("indexer", grace_s=_GRACE_S["indexer"])
        # It was at work: a unit that it had begun is done, and nothing that it has not is lost.
        done = self._job(job)["done"]
        self._lab.again("indexer")
        self._succeeded(job)
        if self._images() != NUM_IMAGES:
            raise ImageAtFault(f"{NUM_IMAGES} images, but {self._images()} in the gallery")
        return {**found, "stopped_s": took_s, "done_when_stopped": done, "of": NUM_IMAGES}

    def embedder(self) -> dict[str, Any]:
        """Stopped between parts, it ends the part that it has; another goes on with those that are left."""
        for needed in ("gateway", "torchserve", "indexer"):
            self._started(needed)
        found = self._started("embedder")
        if not self._images():
            self._succeeded(self._submit("ingest", {"source": "/pictures"}))
        job = self._submit("embed", {"model": "house"})
        self._reached(job, done=PART_IMAGES)
        took_s = self._lab.stop("embedder", grace_s=_GRACE_S["embedder"])
        done = self._job(job)
        if done["state"] != "running":
            raise ImageAtFault(f"the job had ended before its worker was stopped: {done}")
        if self._depth("embed") == 0:
            raise ImageAtFault("no part was left on the queue for another worker")
        self._lab.again("embedder")
        result = self._succeeded(job)["result"]
        if result["embedded"] != NUM_IMAGES or result["failed"]:
            raise ImageAtFault(f"{NUM_IMAGES} images, but {result}")
        return {**found, "stopped_s": took_s, "done_when_stopped": done["done"], "of": NUM_IMAGES}

    def trainer(self) -> dict[str, Any]:
        """Stopped while it trains, it goes on from its checkpoint, and the model is in the store."""
        run = "/var/lib/lookalike/runs/stopped"
        small = [
            word for one in ("input_size=32", "schedule.epochs=500", "checkpoint_s=0.2") for word in ("--set", one)
        ]
        train = ["train", "vanilla_ae", "--data", "/pictures", "--run", run, *small]
        self._start("trainer", *train)
        until(self._lab, "trainer", "test", "-e", f"{run}/checkpoints/best.pt")
        took_s = self._lab.stop("trainer", grace_s=_GRACE_S["trainer"])
        self._lab.remove("trainer")
        finish = ["train", "vanilla_ae", "--data", "/pictures", "--run", run, "--resume", "--finish"]
        self._start("trainer", *finish)
        self._ended("trainer")
        return {"stopped_s": took_s}

    def _started(self, name: str) -> dict[str, Any]:
        if name in self._up:
            return {"ready_s": self._up[name]}
        if "redis" not in self._up:
            # Not an image of ours: it is only there.
            command = ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
            self._lab.start("redis", self._servers, *command, options=("--workdir", "/tmp"))
            self._up["redis"] = until(self._lab, "redis", "redis-cli", "ping")
        self._start(name, environment=_ENVIRONMENT[name])
        if name == "torchserve":
            self._lab.exec("gateway", "lookalike", "models", "import", "house")
        took_s = until(self._lab, name, *_health(name))
        self._lab.exec(name, "python", "-c", _CONFINED_TO)
        self._up[name] = took_s
        return {"ready_s": took_s}

    def _start(self, name: str, *command: str, environment: dict[str, str] | None = None) -> None:
        published = ("--publish", "127.0.0.1::8000") if name == "gateway" else ()
        image = _BY_NAME[name].tag()
        mounts = (f"{self._pictures}:/pictures:ro",)
        self._lab.start(name, image, *command, environment=environment, mounts=mounts, options=published)

    def _asked(self, method: str, path: str, document: object = None) -> Any:
        """What the gateway answers."""
        connection = http.client.HTTPConnection(*self._lab.address("gateway", 8000), timeout=30)
        try:
            body = None if document is None else json.dumps(document)
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise ImageAtFault(f"{method} {path}: {answer.status} {said[:500]!r}\n{self._lab.logs('gateway')}")
        return json.loads(said)

    def _submit(self, kind: str, params: dict[str, object]) -> str:
        new = {"kind": kind, "gallery": "pictures", "params": params}
        return str(self._asked("POST", "/v1/jobs", new)["job_id"])

    def _job(self, job: str) -> dict[str, Any]:
        return dict(self._asked("GET", f"/v1/jobs/{job}"))

    def _images(self) -> int:
        """How many the gallery has; none where it is not there."""
        return sum(one["num_images"] for one in self._asked("GET", "/v1/galleries") if one["name"] == "pictures")

    def _depth(self, queue: str) -> int:
        """Messages that wait, of every priority."""
        script = f"for key in $(redis-cli --scan --pattern '*{queue}*'); do redis-cli llen $key; done"
        return sum(int(line) for line in self._lab.exec("redis", "sh", "-c", script).split() if line.isdigit())

    def _reached(self, job: str, *, done: int) -> None:
        self._waits(job, lambda found: found["state"] == "running" and found["done"] >= done, f"{done} done", 0.1)

    def _succeeded(self, job: str) -> dict[str, Any]:
        found = self._waits(job, lambda found: found["state"] in ("succeeded", "failed", "cancelled"), "its end", 0.5)
        if found["state"] != "succeeded":
            raise ImageAtFault(f"{found}")
        return found

    def _waits(self, job: str, is_so: Callable[[dict[str, Any]], bool], what: str, every_s: float) -> dict[str, Any]:
        until_s = time.monotonic() + 240
        while not is_so(found := self._job(job)):
            if time.monotonic() > until_s or found["state"] == "failed":
                logs = "\n".join(self._lab.logs(name) for name in self._lab.started)
                raise ImageAtFault(f"{what} of a job never came: {found}\n{logs}")
            time.sleep(every_s)
        return found

    def _ended(self, name: str) -> None:
        until_s = time.monotonic() + 240
        while (state := self._lab.state(name))["Running"]:
            if time.monotonic() > until_s:
                raise ImageAtFault(f"{name} never ended\n{self._lab.logs(name)}")
            time.sleep(0.5)
        if state["ExitCode"] != 0:
            raise ImageAtFault(f"{name} ended with {state['ExitCode']}\n{self._lab.logs(name)}")


def _health(name: str) -> list[str]:
    image: Image = _BY_NAME[name]
    return ["python", "/opt/lookalike/probe.py", str(image.port), image.path]
