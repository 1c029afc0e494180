"""What the manifests start and measure, tried with the real programs."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from drawn_pictures import draw_pictures
from real_servers import RedisServer, free_port

from deploy.checks.build import DEPLOY, Combination
from deploy.checks.manifests import Manifests
from deploy.checks.settings_rules import WORKS_FOR
from lookalike.cli import run
from lookalike.jobs.celery_queue import CeleryBroker, make_app
from lookalike.jobs.dispatch import Message
from lookalike.jobs.steps import Queue, Unit

Built = Callable[[Combination], Manifests]
PASSWORD = "of the test"  # noqa: S105


@pytest.mark.parametrize("prefix", ["", "other:"])
def test_keda_measures_the_lists_that_messages_wait_in(prefix: str, built: Built, tmp_path: Path) -> None:
    """One message of each priority for each queue, sent as the gateway does it, and the lists that Redis then has."""
    server = RedisServer(tmp_path)
    server.start()
    app = make_app(server.url, prefix=prefix, visibility_s=60)
    try:
        broker = CeleryBroker(app)
        for queue in Queue:
            for urgent in (True, False):
                broker.send(Message("job", 1, Unit(f"part-{urgent}", queue, urgent)))
        with redis.Redis.from_url(server.url, decode_responses=True) as client:
            found = {name for name in client.scan_iter() if client.type(name) == "list"}
            assert {client.llen(name) for name in found} == {1}
    finally:
        app.close()
        server.kill()
    measured = {
        trigger["metadata"]["listName"]
        for scaler in built(Combination("gpu", ("keda", "monitoring"), ("minio",))).of("ScaledObject")
        for trigger in scaler["spec"]["triggers"]
    }
    assert {prefix + name for name in measured} == found


def test_each_queue_has_workers_that_are_scaled() -> None:
    assert {queue for queues in WORKS_FOR.values() for queue in queues} == set(Queue)


class _RedisOfTheManifest(RedisServer):
    """Started by the command of the StatefulSet, with the folders of the container below ``folder``."""

    script: str = ""

    def command(self) -> list[str]:
        return ["sh", "-c", self.script]


def test_redis_starts_by_its_command_and_asks_for_the_password(built: Built, tmp_path: Path) -> None:
    whole = built(Combination("local"))
    (container,) = [one for one in whole.containers if one.spec["name"] == "redis"]
    binary = RedisServer(tmp_path).command()[0]
    config = next(file for file in whole.of("ConfigMap") if file["metadata"]["name"].startswith("redis-"))
    port = free_port()
    places = {"/etc/redis": "etc", "/run/secrets/redis": "secrets", "/tmp": "tmp", "/data": "data"}  # noqa: S108
    assert {mount["mountPath"] for mount in container.spec["volumeMounts"]} == places.keys()

    def here(text: str) -> str:
        text = re.sub("|".join(places), lambda found: str(tmp_path / places[found[0]]), text)
        return text.replace("exec redis-server", f"exec {binary}").replace("port 6379", f"port {port}")

    for folder in places.values():
        (tmp_path / folder).mkdir()
    (tmp_path / "etc" / "redis.conf").write_text(here(config["data"]["redis.conf"]), encoding="utf-8")
    server = _RedisOfTheManifest(tmp_path, port)
    server.script = here(container.spec["args"][0])
    (tmp_path / "secrets" / "redis-password").write_text("", encoding="utf-8")
    with pytest.raises(RuntimeError, match="ended"):
        server.start()
    (tmp_path / "secrets" / "redis-password").write_text(PASSWORD, encoding="utf-8")
    server.start()
    try:
        with redis.Redis(port=port) as client, pytest.raises(redis.AuthenticationError):
            client.ping()
        with redis.Redis(port=port, password=PASSWORD, decode_responses=True) as client:
            assert client.ping()
            wanted = {"appendonly": "yes", "maxmemory-policy": "noeviction", "maxmemory": str(768 * 2**20)}
            assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert (tmp_path / "tmp" / "password.conf").stat().st_mode & 0o077 == 0
        command_lines = Path(f"/proc/{server.process.pid}/cmdline") if server.process else Path()
        if command_lines.exists():  # where there is a /proc
            assert PASSWORD not in command_lines.read_text(encoding="utf-8")
    finally:
        server.kill()


@pytest.mark.parametrize(("number", "expected"), [(0, ["--uri", "0"]), (2, ["--bootstrap", "0", "--uri", "2"])])
def test_peers_of_qdrant_find_the_first(number: int, expected: list[str], tmp_path: Path) -> None:
    (tmp_path / "entrypoint.sh").write_text('#!/bin/sh\necho "$QDRANT__SERVICE__API_KEY" "$@"\n', encoding="utf-8")
    (tmp_path / "entrypoint.sh").chmod(0o755)
    (tmp_path / "key").write_text(PASSWORD, encoding="utf-8")
    script = (DEPLOY / "k8s" / "base" / "qdrant" / "start.sh").read_text(encoding="utf-8")
    script = script.replace("/run/secrets/qdrant/qdrant-api-key", str(tmp_path / "key"))
    environment = {**os.environ, "HOSTNAME": f"qdrant-{number}"}
    ended = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    uris = [f"http://qdrant-{word}.qdrant-peers:6335" if word.isdigit() else word for word in expected]
    assert ended.stdout.strip() == f"{PASSWORD} {' '.join(uris)}"


def test_a_training_goes_on_where_it_stopped(built: Built, tmp_path: Path) -> None:
    """The script of the manifest, with a program in the place of Lookalike that says how it was called."""
    (container,) = [one for one in built(Combination("local")).containers if one.spec["name"] == "trainer"]
    script = container.spec["args"][0].replace("/var/lib/lookalike/runs", str(tmp_path))
    (tmp_path / "lookalike").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    (tmp_path / "lookalike").chmod(0o755)
    said = {"RECIPE": "densenet", "DATA": "/data/my images", "OPTIONS": "--set batch_size=8 --set name=*"}
    environment = {**os.environ, **said, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def called() -> list[str]:
        command = [*container.spec["command"], script]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return ended.stdout.splitlines()

    run = f"{tmp_path}/this"
    options = ["--set", "batch_size=8", "--set", "name=*"]
    assert called() == ["train", "densenet", "--data", "/data/my images", "--run", run, *options]
    (tmp_path / "this").mkdir()
    (tmp_path / "this" / "config.json").touch()
    assert called() == ["train", "densenet", "--run", run, "--resume"]


def test_maintenance_is_asked_for_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("LOOKALIKE_STORAGE__FOLDER", str(tmp_path / "store"))
    monkeypatch.setenv("LOOKALIKE_STORAGE__CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LOOKALIKE_EMBEDDER__DEFAULT_MODEL", "color_edges")

    def lookalike(*words: str) -> Any:
        capsys.readouterr()
        assert run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    def ask(kind: str) -> None:
        script = DEPLOY / "k8s" / "base" / "maintenance" / "ask.py"
        subprocess.run([sys.executable, script, kind], capture_output=True, check=True)

    pictures = draw_pictures(tmp_path / "pictures", per_color=3)
    lookalike("gallery", "create", "empty")
    lookalike("ingest", "drawn", str(pictures))
    lookalike("embed", "drawn")
    lookalike("build", "drawn", "-b", "exact")
    lookalike("promote", "drawn")
    ask("compact")
    assert lookalike("jobs", "list") == []

    draw_pictures(pictures, per_color=4, seed=1)
    lookalike("ingest", "drawn", str(pictures))
    lookalike("embed", "drawn")
    assert sum(lookalike("gallery", "show", "drawn")["pending_adds"].values()) > 0
    ask("compact")
    made = [(job["kind"], job["gallery"], job["state"]) for job in lookalike("jobs", "list")]
    assert made == [("compact", "drawn", "succeeded")]
    assert sum(lookalike("gallery", "show", "drawn")["pending_adds"].values()) == 0
    ask("collect")
    collected = sorted(job["gallery"] for job in lookalike("jobs", "list") if job["kind"] == "collect")
    assert collected == ["drawn", "empty"]
