"""serve and demo as processes: they answer, stop on Ctrl-C, and refuse a taken port in one line."""

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from drawn_pictures import draw_pictures
from processes import environment_of, lookalike, serving


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose name and sub-folders are not ASCII and have spaces."""
    return draw_pictures(tmp_path_factory.mktemp("own") / "Füße und Äpfel 猫", per_color=4)


def test_the_server_answers_and_ends_with_status_0_on_ctrl_c(tmp_path: Path) -> None:
    with serving("serve", cwd=tmp_path, env=environment_of(tmp_path)) as server:
        assert server.lines == [f"serving on {server.url} until Ctrl-C\n"]
        assert json.loads(server.get("/healthz")) == {"status": "ok"}
        assert b"<html" in server.get("/").lower()
        status, errors = server.interrupt()
    assert (status, errors) == (0, "")


def test_for_machines_the_address_is_a_document(tmp_path: Path) -> None:
    with serving("serve", "--json", cwd=tmp_path, env=environment_of(tmp_path)) as server:
        assert json.loads(server.lines[0]) == {"url": server.url}


@pytest.mark.parametrize("command", [["serve"], ["demo"]])
def test_a_taken_port_is_one_line_before_any_work(tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = lookalike(*command, cwd=tmp_path, env=environment_of(tmp_path, LOOKALIKE_GATEWAY__PORT=str(port)))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        f"lookalike: cannot listen on 127.0.0.1:{port}: Address already in use; "
        "LOOKALIKE_GATEWAY__HOST and LOOKALIKE_GATEWAY__PORT choose another\n"
    )
    assert not (tmp_path / "store").exists()


def test_the_demo_serves_own_images_and_the_second_run_repeats_nothing(tmp_path: Path, own: Path) -> None:
    env = environment_of(tmp_path)
    with serving("demo", "--images", own, cwd=tmp_path, env=env) as server:
        gallery = json.loads(server.get("/v1/galleries/images"))
        assert gallery["num_images"] == 12
        assert {"exact", "faiss", "qdrant"} <= set(gallery["live"]["house@1"])
        status, errors = server.interrupt()
    assert status == 0
    assert "Traceback" not in errors
    ended = lookalike("demo", "--images", own, "--no-serve", "--json", cwd=tmp_path, env=env)
    again = json.loads(ended.stdout)
    assert (again["ingested"]["added"], again["ingested"]["unchanged"]) == (0, 12)
    assert (again["embedded"]["embedded"], again["embedded"]["reused"]) == (0, 12)
    stages = {json.loads(line).get("stage") for line in ended.stderr.splitlines()}
    assert "embed" not in stages


def test_a_gallery_that_is_served_can_be_deleted_by_another_process(tmp_path: Path, own: Path) -> None:
    env = environment_of(tmp_path, LOOKALIKE_SEARCH__POLL_S="0")
    assert lookalike("demo", "--images", own, "--no-serve", cwd=tmp_path, env=env).returncode == 0
    with serving("serve", cwd=tmp_path, env=env) as server:
        listed = json.loads(server.get("/v1/galleries/images/images?limit=1"))
        body = json.dumps({"image_id": listed["images"][0]["image_id"]}).encode()
        asked = urllib.request.Request(
            f"{server.url}/v1/galleries/images/search", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            assert json.load(answer)["hits"]
        assert lookalike("gallery", "delete", "images", cwd=tmp_path, env=env).returncode == 0
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(asked, timeout=60)
        said = json.loads(refused.value.read())
        refused.value.close()
        assert (refused.value.code, said["code"]) == (404, "gallery_not_found")
        assert json.loads(server.get("/v1/galleries")) == []


@pytest.mark.parametrize(("files", "reason"), [([], "there is no image in"), (["a.jpg"], "none of 1 files could be")])
def test_a_folder_without_an_image_is_refused(tmp_path: Path, files: list[str], reason: str) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name in files:
        (folder / name).write_text("not an image")
    ended = lookalike("demo", "--images", folder, "--no-serve", cwd=tmp_path, env=environment_of(tmp_path))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("lookalike: ")
    assert reason in ended.stderr
    assert ended.stderr.count("\n") == 1
