"""docker-compose.yml: what it names exists, nothing in it is more than it need be, no secret is in it."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from compose_file import FILE, OURS, REPOSITORY, compose, secret_names, services

import lookalike
from lookalike.settings import explain, load, names
from lookalike.settings_sources import variable

EVERY = sorted(services())
KNOWN = {variable(name) for name in names()}


def _module(name: str) -> ModuleType:
    file = REPOSITORY / "deploy" / "compose" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"compose_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_has_every_part_of_the_system() -> None:
    assert {"gateway", "embedder", "indexer", "torchserve", "trainer", "setup"} <= set(EVERY)
    assert {"redis", "qdrant", "minio", "prometheus", "grafana", "flower"} <= set(EVERY)
    assert set(EVERY) >= OURS


@pytest.mark.parametrize("name", sorted(OURS))
def test_every_setting_that_it_names_exists_and_is_accepted(name: str, tmp_path: Path) -> None:
    service = services()[name]
    given = {key: str(value) for key, value in service["environment"].items()}
    for key in given:
        assert key in KNOWN or key.removesuffix("_FILE") in KNOWN, key
    secret = tmp_path / "secret"
    secret.write_text("redis://:" + "x" * 64 + "@redis:6379/0")
    files = {key: str(secret) if key.endswith("_FILE") else value for key, value in given.items()}
    settings = load(files, tmp_path / "none.toml")
    assert settings.storage.url == "s3://lookalike"


@pytest.mark.parametrize("name", EVERY)
def test_every_secret_file_that_it_names_is_mounted_there_and_no_other(name: str) -> None:
    service = services()[name]
    mounted = set(secret_names(service))
    said = " ".join([str(service.get(key, "")) for key in ("environment", "command", "entrypoint")])
    said += "".join(_mounted_text(service))
    named = set(re.findall(r"/run/secrets/([\w.-]+)", said))
    assert named == mounted


def _mounted_text(service: dict[str, Any]) -> list[str]:
    """The configuration files of the repository that a service is given."""
    sources = [REPOSITORY / one.split(":")[0] for one in service.get("volumes", []) if one.startswith("./")]
    return [source.read_text(encoding="utf-8") for source in sources if source.is_file()]


@pytest.mark.parametrize("name", EVERY)
def test_every_image_is_pinned(name: str) -> None:
    image = services()[name]["image"]
    _, _, tag = image.partition(":")
    assert re.match(r"^(v|RELEASE\.)?\d+[.\d-]+", tag), image
    if image.startswith("lookalike/"):
        assert tag.removesuffix("-cuda") == lookalike.__version__


@pytest.mark.parametrize("name", EVERY)
def test_every_service_is_confined(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"]["options"]["max-size"]
    assert "privileged" not in service
    assert service.get("cap_add", []) == (["CHOWN"] if name == "minio-volume" else [])
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["restart"] in ("unless-stopped", "on-failure", "no")


@pytest.mark.parametrize("name", EVERY)
def test_nobody_is_root_but_who_gives_a_volume_away(name: str) -> None:
    service = services()[name]
    # Images that say it themselves: ours, and those of these projects, whose documentation says so.
    by_itself = ("lookalike/", "prom/prometheus:", "grafana/grafana:", "qdrant/qdrant:")
    user = str(service.get("user", ""))
    if name == "minio-volume":
        assert service["network_mode"] == "none"
        return
    assert service["image"].startswith(by_itself) if not user else user.split(":")[0] != "0"
    assert not service["image"].startswith("qdrant/") or service["image"].endswith("-unprivileged")


def test_only_the_gateway_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert set(published) == {"gateway", "grafana", "flower"}
    assert all(port.startswith("127.0.0.1:") for ports in published.values() for port in ports)
    assert all(services()[name]["profiles"] == ["monitoring"] for name in ("grafana", "flower"))


def test_servers_are_reached_from_the_inside_only() -> None:
    assert compose()["networks"]["inside"]["internal"] is True
    for name in ("redis", "qdrant", "minio", "torchserve", "torchserve-gpu", "prometheus"):
        assert list(services()[name]["networks"]) == ["inside"], name


@pytest.mark.parametrize("name", [name for name in EVERY if services()[name]["restart"] == "unless-stopped"])
def test_what_stays_up_has_a_health_check(name: str) -> None:
    service = services()[name]
    image = service["image"].partition(":")[0]
    if image.startswith("lookalike/"):
        files = {"torchserve": "services/embedder/torchserve.Dockerfile"}
        kind = image.removeprefix("lookalike/")
        text = (REPOSITORY / files.get(kind, f"services/{kind}/Dockerfile")).read_text(encoding="utf-8")
        assert "HEALTHCHECK --interval" in text
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_what_must_last_is_in_a_named_volume() -> None:
    declared = set(compose()["volumes"])
    used = {
        one.split(":")[0] for service in services().values() for one in service.get("volumes", []) if one[0] not in "./"
    }
    assert used == declared
    assert {"minio", "qdrant", "redis", "runs"} <= declared


def test_files_that_it_mounts_and_builds_from_exist() -> None:
    for service in services().values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (REPOSITORY / volume.split(":")[0]).exists(), volume
        if "build" in service:
            assert (REPOSITORY / service["build"]["dockerfile"]).is_file()


def test_no_secret_is_in_it_and_git_ignores_where_they_are() -> None:
    text = FILE.read_text(encoding="utf-8")
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if re.search(r"(?i)password|secret_key|api_key|token|bootstrap_key", key) and value.strip():
            assert "/run/secrets/" in value or "${SECRETS" in value, line
    secrets = compose()["secrets"]
    assert all(secret["file"].startswith("./.secrets/") for secret in secrets.values())
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/.secrets/", "/.env"} <= set(ignored)


def test_secrets_are_made_once_and_are_what_the_servers_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy" / "compose"))
    make = _module("secret_files").make
    folder = tmp_path / "secrets"
    assert set(make(folder)) - {"queue_password"} == set(compose()["secrets"])
    first = {file.name: file.read_text() for file in folder.iterdir()}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert make(folder) == []
    assert {file.name: file.read_text() for file in folder.iterdir()} == first
    assert first["redis_auth"] == f"requirepass {first['queue_password']}\n"
    assert first["queue_url"] == f"redis://:{first['queue_password']}@redis:6379/0"
    assert yaml.safe_load(first["qdrant_config"]) == {"service": {"api_key": first["qdrant_api_key"]}}
    given = {"LOOKALIKE_ACCESS__BOOTSTRAP_KEY": first["bootstrap_key"], "LOOKALIKE_QUEUE__URL": first["queue_url"]}
    assert load(given, tmp_path / "none.toml").access.bootstrap_key is not None
    (folder / "qdrant_config").unlink()
    assert make(folder) == ["qdrant_config"]
    assert (folder / "qdrant_config").read_text() == first["qdrant_config"]


def test_the_example_of_the_environment_is_complete_and_current() -> None:
    example = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
    for setting in explain({}, REPOSITORY / "no-such-file.toml"):
        assert re.search(rf"^#{setting.variable}=", example, re.MULTILINE), setting.variable
    assert example == _module("env_example").env_example(), "make docs"
    used = set(re.findall(r"\$\{(\w+):-", FILE.read_text(encoding="utf-8")))
    assert used <= set(re.findall(r"^#(\w+)=", example, re.MULTILINE))


def test_what_the_example_says_is_accepted_as_it_stands(tmp_path: Path) -> None:
    lines = (REPOSITORY / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = [line[1:].partition("=") for line in lines if re.match(r"#LOOKALIKE_\w+=", line)]
    given = {name: value for name, _, value in pairs if name != "LOOKALIKE_STORAGE__S3_ACCESS_KEY"}
    assert load(given, tmp_path / "none.toml").storage.url == "s3://lookalike"


def test_its_servers_are_those_of_kubernetes() -> None:
    """What was tried with one version is not deployed with another."""
    for file in REPOSITORY.glob("deploy/k8s/base/*/kustomization.yaml"):
        for image in yaml.safe_load(file.read_text(encoding="utf-8")).get("images", []):
            if image["name"] != f"lookalike/{file.parent.name}":
                here = [one["image"] for one in services().values() if one["image"].split(":")[0] == image["name"]]
                assert {one.partition(":")[2].split("@")[0] for one in here} == {image["newTag"]}, image["name"]


@pytest.mark.parametrize(
    ("said", "url"),
    [
        (None, "http://127.0.0.1:8000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000"),
        ("0.0.0.0:8000", "http://127.0.0.1:8000"),
        ("8080", "http://127.0.0.1:8080"),
        ("192.0.2.7:80", "http://192.0.2.7:80"),
    ],
)
def test_compose_up_looks_where_the_gateway_is_published(
    said: str | None, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(REPOSITORY / "deploy" / "compose"))
    up = _module("up")
    monkeypatch.setattr(up, "REPOSITORY", tmp_path)
    monkeypatch.delenv("PUBLISH", raising=False)
    if said is not None:
        (tmp_path / ".env").write_text(f"# a comment\n#PUBLISH=1.2.3.4:5\nPUBLISH='{said}'\n")
    assert up.published() == url
    monkeypatch.setenv("PUBLISH", "127.0.0.1:7000")
    assert up.published() == "http://127.0.0.1:7000"
