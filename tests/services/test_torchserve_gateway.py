"""Searches and jobs of a gateway whose models are at TorchServe: the real one, and no torch in the gateway."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient
from gateway_calls import SEARCH, wait
from gateway_store import MAX_BODY_BYTES, settings_of
from torchserve_server import TOKEN, TorchServeServer

from lookalike.bootstrap import wire, wire_jobs
from lookalike.pipeline.workspace import Workspace
from services.gateway.app import create_app


def there(server: TorchServeServer) -> dict[str, str]:
    return {
        "LOOKALIKE_EMBEDDER__URL": server.url,
        "LOOKALIKE_EMBEDDER__PROTOCOL": "torchserve",
        "LOOKALIKE_EMBEDDER__TOKEN": TOKEN,
    }


@pytest.mark.usefixtures("workspace")  # the prepared store in tmp_path
def test_uploads_are_searched_and_added_through_torchserve(
    tmp_path: Path, pictures: Path, torchserve_server: TorchServeServer
) -> None:
    settings = settings_of(tmp_path, **there(torchserve_server))
    made = wire(settings)
    data = (pictures / "cold" / "blue" / "3.png").read_bytes()
    before = _num_requests(torchserve_server)
    with TestClient(create_app(made, wire_jobs(settings, made), max_body_bytes=MAX_BODY_BYTES)) as client:
        answer = client.post(SEARCH, files={"image": ("q.png", data)}, data={"request": json.dumps({"k": 3})})
        assert answer.status_code == 200, answer.text
        hit = answer.json()["hits"][0]
        assert (hit["key"], hit["similarity"]) == ("cold/blue/3.png", pytest.approx(1, abs=1e-4))
        added = client.post("/v1/galleries/colors/images", files={"image": ("again.png", data)})
        assert added.status_code == 202, added.text
        assert wait(client, added.json()["job"])["state"] == "succeeded"
        hits = client.post(SEARCH, files={"image": ("q.png", data)}, data={"request": json.dumps({"k": 2})}).json()[
            "hits"
        ]
        assert {hit["key"] for hit in hits} == {"cold/blue/3.png", "again.png"}
    made.close()
    assert _num_requests(torchserve_server) > before


def test_a_process_that_embeds_through_torchserve_imports_no_torch(
    tmp_path: Path, workspace: Workspace, torchserve_server: TorchServeServer
) -> None:
    program = """
import sys
import numpy as np
from lookalike.bootstrap import wire
from lookalike.settings import load
at = wire(load())
import services.embedder.worker, services.gateway.app
print(at.embedder("color_edges").embed(np.zeros((3, 128, 128, 3), np.uint8)).shape[0], "torch" in sys.modules)
at.close()
"""
    environment = {f"LOOKALIKE_STORAGE__{name}": str(tmp_path / name.lower()) for name in ("CACHE",)}
    environment |= {"LOOKALIKE_STORAGE__FOLDER": str(tmp_path / "store"), **there(torchserve_server)}
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["3", "False"]


def test_the_command_line_says_what_is_served(tmp_path: Path, torchserve_server: TorchServeServer) -> None:
    def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lookalike", "models", "reconcile", *arguments]
        environment = {**there(torchserve_server), **more}
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    said = json.loads(run("--json").stdout)
    assert said["complete"] is True
    assert [one["model"] for one in said["models"].values()] == ["color_edges@1"]
    assert run().stdout == "color_edges@1: 1 of 1 workers answer\n"
    refused = run(LOOKALIKE_EMBEDDER__TOKEN="another")  # noqa: S106
    assert refused.returncode != 0
    assert "refuses the token" in refused.stderr
    other = run(LOOKALIKE_EMBEDDER__PROTOCOL="lookalike")
    assert other.returncode != 0
    assert "names no TorchServe" in other.stderr


def _num_requests(server: TorchServeServer) -> float:
    text = httpx.get(f"http://127.0.0.1:{server.metrics_port}/metrics").text
    counts = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith("ts_inference_requests_total{")]
    return sum(float(count) for count in counts)
