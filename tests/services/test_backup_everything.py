"""Disaster: everything is gone but the backup. The commands bring it back, on disk and on a real S3 server.

The gallery is live on every backend that is installed here, with images that came and went since; there are a model,
an evaluation, ended jobs and API keys.
"""

import io
import json
import shutil
import uuid
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from drawn_pictures import draw_pictures
from fastapi.testclient import TestClient
from minio import Minio
from real_servers import ACCESS_KEY, SECRET_KEY, SwiftServer, wait_until

from lookalike.bootstrap import wire, wire_jobs
from lookalike.cli import run
from lookalike.indexes.registry import BACKEND_NAMES, backend
from lookalike.pipeline.backends import installed
from lookalike.settings import load
from services.gateway.app import create_app
from services.gateway.doors import make_access

INSTALLED, _ = installed(backend, BACKEND_NAMES)
GALLERY = "colors"


class System:
    """One deployment: where its store is, and its commands, run in this process as ``lookalike …`` runs them."""

    def __init__(self, folder: Path, **settings: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.settings = {
            "LOOKALIKE_STORAGE__FOLDER": str(folder / "store"),
            "LOOKALIKE_STORAGE__CACHE": str(folder / "cache"),
            "LOOKALIKE_EMBEDDER__DEFAULT_MODEL": "color_edges",
            **settings,
        }

    def __call__(self, *arguments: object, status: int = 0) -> Any:
        """The answer, or what is on standard error where another status than 0 is expected."""
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in self.settings.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            ended = run(["--json", *map(str, arguments)])
        assert ended == status, err.getvalue()
        return err.getvalue() if status else json.loads(out.getvalue() or "null")

    def wipe(self) -> None:
        shutil.rmtree(self.folder)
        self.folder.mkdir()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_pictures(tmp_path_factory.mktemp("drawn") / "pictures")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> Path:
    """The folder of a system with everything in it."""
    system = System(tmp_path_factory.mktemp("made") / "system")
    system("ingest", GALLERY, pictures)
    system("models", "import", "baseline:color_edges")
    system("models", "import", "baseline:pixels16")
    system("reembed", GALLERY, "--model", "pixels16", "--backend", "exact")
    system("reembed", GALLERY, "--backend", *_each("--backend", INSTALLED), "--no-gate")
    system("evaluate", GALLERY)
    # Some went and some came since the indexes were built.
    more = draw_pictures(tmp_path_factory.mktemp("drawn") / "more", per_color=10, seed=0)
    for gone in (more / "warm" / "red" / "1.png", more / "cold" / "blue" / "2.png"):
        gone.unlink()
    shutil.copytree(more, pictures, dirs_exist_ok=True)
    for gone in (pictures / "warm" / "red" / "1.png", pictures / "cold" / "blue" / "2.png"):
        gone.unlink()
    system("jobs", "submit", "embed", GALLERY, "--params", '{"model": "color_edges"}', "--wait")
    system("ingest", GALLERY, pictures)
    system("embed", GALLERY)
    key = system("keys", "create", "operator", "--scope", "admin")
    (system.folder / "key.txt").write_text(key["key"])
    return system.folder


def _each(option: str, values: list[str]) -> list[str]:
    """``values`` behind one ``option`` each, without the first of them."""
    return [part for value in values for part in (option, value)][1:]


def answers(system: System, pictures: Path) -> dict[str, Any]:
    """What the system says of everything that it has."""
    searches = {}
    for name in INSTALLED:
        for query in (pictures / "warm" / "red" / "0.png", pictures / "cold" / "green" / "9.png"):
            found = system("search", GALLERY, query, "--backend", name, "-k", 8)
            searches[f"{name} {query.name}"] = [(hit["key"], hit["similarity"]) for hit in found["hits"]]
    kept = ("job_id", "kind", "state", "result", "created_at", "finished_at")
    return {
        "searches": searches,
        "galleries": system("gallery", "list"),
        "models": system("models", "list"),
        "jobs": [{name: job[name] for name in kept} for job in system("jobs", "list")],
        "keys": [key["key_id"] for key in system("keys", "list")],
        "evaluations": evaluations(system),
    }


def evaluations(system: System) -> list[bytes]:
    """Every evaluation that is kept."""
    workspace = wire(load(system.settings, system.folder / "none.toml"))
    try:
        return [workspace.store.get(info.key) for info in workspace.store.list("evaluations/")]
    finally:
        workspace.close()


def bucket_on(server: SwiftServer) -> tuple[str, dict[str, str]]:
    """A new bucket, and settings of who reaches it."""
    name = f"backup-{uuid.uuid4().hex[:12]}"
    Minio(server.url.partition("//")[2], ACCESS_KEY, SECRET_KEY, secure=False).make_bucket(name)
    return name, {"ENDPOINT": server.url, "REGION": "us-east-1", "ACCESS_KEY": ACCESS_KEY, "SECRET_KEY": SECRET_KEY}


def test_a_wiped_disk(made: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "system")
    system, target = System(tmp_path / "system"), tmp_path / "backups"
    before = answers(system, pictures)
    done = system("backup", target)
    assert done["galleries"][GALLERY]["num_images"] == 28
    assert system("backup", target)["new_objects"] <= 2
    assert [one["backup_id"] for one in system("backup", target, "--list")][1] == done["backup_id"]
    assert "not empty" in system("restore", target, status=2)
    system.wipe()
    assert system("verify-backup", target)["num_damaged"] == 0
    report = system("restore", target)
    assert report["galleries"] == [GALLERY]
    assert answers(system, pictures) == before
    system("compact", GALLERY)
    assert answers(system, pictures)["searches"].keys() == before["searches"].keys()
    system("rollback", GALLERY)


def test_from_a_disk_to_a_bucket_and_back(
    made: Path, pictures: Path, tmp_path: Path, swift_server: SwiftServer
) -> None:
    shutil.copytree(made, tmp_path / "system")
    name, reached = bucket_on(swift_server)
    backup = {f"LOOKALIKE_BACKUP__S3_{key}": value for key, value in reached.items()}
    disk = System(tmp_path / "system", **backup)
    before = answers(disk, pictures)
    disk("backup", f"s3://{name}/kept/here", "--keep", 2)
    disk.wipe()

    # The store is a bucket now, beside the backups on the same server.
    storage = {f"LOOKALIKE_STORAGE__S3_{key}": value for key, value in reached.items()}
    on_s3 = System(tmp_path / "on s3", LOOKALIKE_STORAGE__URL=f"s3://{name}/store", **storage)
    assert "in each other" in on_s3("backup", f"s3://{name}/store/backups", status=2)
    on_s3("restore", f"s3://{name}/kept/here")
    assert answers(on_s3, pictures) == before
    on_s3("compact", GALLERY)
    after = answers(on_s3, pictures)
    on_s3("backup", f"s3://{name}/kept/here", "--keep", 2)
    third = on_s3("backup", f"s3://{name}/kept/here", "--keep", 2)
    assert len(third["removed"]) == 1
    on_s3("backup", tmp_path / "all.tar", "--no-indexes")

    back = System(tmp_path / "back")
    report = back("restore", tmp_path / "all.tar")
    assert len(report["built"]) >= len(INSTALLED)
    assert answers(back, pictures) == after
    back("rollback", GALLERY)


def test_a_running_gateway_serves_what_comes_back(made: Path, pictures: Path, tmp_path: Path) -> None:
    """It was started over the empty store; the key that comes back opens it."""
    System(made)("backup", tmp_path / "backups")
    system = System(tmp_path / "system", LOOKALIKE_SEARCH__POLL_S="0")
    settings = load(system.settings, tmp_path / "none.toml")
    workspace = wire(settings)
    access = make_access(settings, workspace, "0.0.0.0")  # noqa: S104 -- where keys are on
    app = create_app(workspace, wire_jobs(settings, workspace), access=access, open_at_start=True)
    headers = {"Authorization": f"Bearer {(made / 'key.txt').read_text()}"}
    image = (pictures / "cold" / "green" / "9.png").read_bytes()
    try:
        with TestClient(app) as client:
            assert client.get("/v1/galleries", headers=headers).status_code == 401
            system("restore", tmp_path / "backups")
            # Unknown keys are remembered for a moment as such.
            wait_until(lambda: client.get("/v1/galleries", headers=headers).status_code == 200, what="the key to count")
            found = client.post(f"/v1/galleries/{GALLERY}/search", files={"image": ("q.png", image)}, headers=headers)
            assert found.status_code == 200, found.text
            assert found.json()["hits"][0]["key"] == "cold/green/9.png"
            jobs = client.get("/v1/jobs", headers=headers).json()
            assert [job["state"] for job in jobs] == ["succeeded"]
    finally:
        workspace.close()
