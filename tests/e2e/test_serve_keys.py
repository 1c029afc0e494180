"""A gateway that others could reach, as a process: it asks for a key, and takes those that commands make meanwhile."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from processes import TIMEOUT_S, Server, environment_of, lookalike, serving
from real_servers import wait_until

EVERYWHERE = "0.0.0.0"  # noqa: S104 # within this test
BOOTSTRAP = "a-bootstrap-key-of-the-tests-0123456789"


def status(server: Server, path: str, key: str | None = None, method: str = "GET", body: object = None) -> int:
    headers = {"Content-Type": "application/json"} | ({} if key is None else {"X-API-Key": key})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url.replace(EVERYWHERE, "127.0.0.1") + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_on_every_address_it_asks_for_a_key(tmp_path: Path) -> None:
    secret = tmp_path / "bootstrap"
    secret.write_text(f"{BOOTSTRAP}\n")
    env = environment_of(
        tmp_path,
        LOOKALIKE_GATEWAY__HOST=EVERYWHERE,
        LOOKALIKE_ACCESS__BOOTSTRAP_KEY_FILE=str(secret),
        LOOKALIKE_TELEMETRY__LOG_LEVEL="info",
    )
    with serving("serve", cwd=tmp_path, env=env) as server:
        assert status(server, "/healthz") == 200
        assert status(server, "/v1/galleries") == 401
        assert status(server, "/v1/galleries", BOOTSTRAP) == 200
        made = json.loads(lookalike("keys", "create", "a reader", "--json", cwd=tmp_path, env=env).stdout)
        assert status(server, "/v1/galleries", made["key"]) == 200
        assert status(server, "/v1/galleries", made["key"], "POST", {"name": "mine"}) == 403
        assert status(server, "/v1/galleries", BOOTSTRAP, "POST", {"name": "mine"}) == 201
        ended, log = server.interrupt()
    assert ended == 0
    assert "API keys are on (access.keys=auto, listening on 0.0.0.0)" in log
    assert f"key_id={made['info']['key_id']}" in log
    assert "key_id=bootstrap" in log
    for secret_text in (made["key"], BOOTSTRAP):
        assert secret_text not in log


def test_a_key_that_one_gateway_revokes_is_refused_by_the_other_within_ten_seconds(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    env = environment_of(tmp_path, LOOKALIKE_ACCESS__KEYS="on", LOOKALIKE_ACCESS__BOOTSTRAP_KEY=BOOTSTRAP)
    with serving("serve", cwd=folders[0], env=env) as first, serving("serve", cwd=folders[1], env=env) as second:
        made = json.loads(lookalike("keys", "create", "short", "--json", cwd=tmp_path, env=env).stdout)
        key, key_id = made["key"], made["info"]["key_id"]
        assert [status(server, "/v1/backends", key) for server in (first, second)] == [200, 200]
        assert status(first, f"/v1/keys/{key_id}", BOOTSTRAP, "DELETE") == 204
        assert status(first, "/v1/backends", key) == 401
        wait_until(lambda: status(second, "/v1/backends", key) == 401, what="a revoked key is refused", timeout_s=10)


def test_without_any_key_it_says_how_to_make_one(tmp_path: Path) -> None:
    env = environment_of(tmp_path, LOOKALIKE_GATEWAY__HOST=EVERYWHERE)
    with serving("serve", cwd=tmp_path, env=env) as server:
        assert status(server, "/v1/galleries") == 401
        _, log = server.interrupt()
    assert "lookalike keys create NAME --scope admin" in log
