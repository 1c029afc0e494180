"""``lookalike setup``: once, again, without torch, without its servers, and with the demo gallery."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from cli_outcome import Cli
from real_servers import free_port

from lookalike.galleries.demo.generate import generate
from lookalike.pipeline import demo

_WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
from lookalike.cli import run
sys.exit(run(["setup"]))
"""


def states(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    return {step["step"]: step["state"] for step in document["steps"]}


def test_once_and_again(cli: Cli) -> None:
    first = cli("setup")
    assert (first.status, first.err) == (0, "")
    assert first.out.splitlines()[-1] == "model: house@1 is registered (done)"
    assert len(first.out.splitlines()) == 2
    assert states(cli("setup", "--json").document) == {"store": "done", "model": "unchanged"}


def test_it_needs_no_torch(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LOOKALIKE_")}
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_TORCH],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "house@1" in done.stdout


def test_servers_that_are_away_are_named_and_do_no_harm(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("LOOKALIKE_QUEUE__URL", f"redis://:a-password@127.0.0.1:{port}/0")
    monkeypatch.setenv("LOOKALIKE_QDRANT__URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("LOOKALIKE_EMBEDDER__URL", f"http://127.0.0.1:{port}")
    done = cli("setup", "--json")
    assert done.status == 0
    assert states(done.document) == {
        "store": "done",
        "model": "done",
        "queue": "away",
        "embedder": "away",
        "qdrant": "away",
    }
    assert "a-password" not in done.out + done.err


def test_without_the_store_it_ends_with_status_3(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_STORAGE__URL", "s3://somewhere")
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_ACCESS_KEY", "key")
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_SECRET_KEY", "a-secret")
    monkeypatch.setenv("LOOKALIKE_STORAGE__S3_TIMEOUT_S", "0.3")
    done = cli("setup", "--wait-s", 0)
    assert (done.status, done.out) == (3, "")
    assert "does not answer" in done.error


def test_the_demo_is_made_here_or_queued_once(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "generate", partial(generate, num_images=60, workers=1))
    queue = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setenv("LOOKALIKE_QUEUE__URL", queue)
    assert states(cli("setup", "--demo", "--json").document)["demo"] == "queued"
    again = cli("setup", "--demo", "--json").document
    (job,) = cli("jobs", "list", "--json").document
    assert (job["kind"], job["gallery"], job["state"]) == ("reembed", "demo", "queued")
    assert job["job_id"] in again["steps"][-1]["message"]
    assert cli("jobs", "cancel", job["job_id"]).status == 0

    monkeypatch.delenv("LOOKALIKE_QUEUE__URL")
    monkeypatch.setenv("LOOKALIKE_BUILD__BACKENDS", "exact,faiss")
    assert states(cli("setup", "--demo", "--json").document)["demo"] == "done"
    assert states(cli("setup", "--demo", "--json").document)["demo"] == "unchanged"
    monkeypatch.setenv("LOOKALIKE_QUEUE__URL", queue)
    done = cli("setup", "--demo")
    assert "gallery demo: 60 images, live under color_edges (unchanged)" in done.out
    assert len(cli("jobs", "list", "--json").document) == 1
