"""Every overlay and documented combination builds, is what Kubernetes takes, and keeps our rules."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.checks.__main__ import findings
from deploy.checks.arrows import DESIGN, INTERNET, Arrow, allowed
from deploy.checks.build import COMBINATIONS, DEPLOY, MANAGED, BuildFailed, Combination, build, overlays
from deploy.checks.manifests import Manifests
from deploy.checks.schemas import VERSIONS_CHECKED, versions
from deploy.k8s.make_secrets import make
from lookalike import __version__

Built = Callable[[Combination], Manifests]
LOCAL, GPU = Combination("local"), Combination("gpu")
OURS = ("gateway", "embedder", "indexer", "torchserve", "trainer")


@pytest.mark.parametrize("wanted", COMBINATIONS, ids=str)
def test_it_keeps_every_rule_and_schema(wanted: Combination, built: Built) -> None:
    assert list(map(str, findings(built(wanted)))) == []


def test_every_overlay_and_component_is_in_a_combination() -> None:
    used = {name for one in COMBINATIONS for name in (*one.components, *(MANAGED[server] for server in one.managed))}
    shown = {folder.parent.name for folder in (DEPLOY / "k8s" / "components").glob("*/kustomization.yaml")}
    assert used | {"ingress"} == shown  # gpu has ingress by itself
    assert {one.overlay for one in COMBINATIONS} == set(overlays())


def test_the_last_three_versions_are_checked() -> None:
    found = [tuple(map(int, version.split("."))) for version in versions()]
    assert len(set(found)) == VERSIONS_CHECKED == 3
    assert found == sorted(found)
    assert found[0] >= (1, 35)


@pytest.mark.parametrize("wanted", [LOCAL, GPU], ids=str)
def test_pods_reach_what_the_design_says_and_nothing_else(wanted: Combination, built: Built) -> None:
    found = {arrow for arrow in allowed(built(wanted)) if arrow.port != "53"}
    entry = {Arrow("namespace ingress-nginx", "gateway", "8000")} if wanted == GPU else set()
    assert found == DESIGN | entry


def test_components_add_their_own_arrows_only(built: Built) -> None:
    found = allowed(built(Combination("gpu", ("keda", "monitoring", "image-urls")))) - allowed(built(GPU))
    scraped = {("gateway", "8000"), ("qdrant", "6333"), ("minio", "9000"), ("torchserve", "8082")}
    scraped |= {(one, "9100") for one in ("embedder", "indexer")}
    assert found == {
        Arrow("namespace keda", "redis", "6379"),
        *(Arrow("namespace monitoring", *one) for one in scraped),
        *(Arrow(one, INTERNET, port) for one in ("gateway", "indexer") for port in ("80", "443")),
    }


def test_backups_leave_for_another_server(built: Built) -> None:
    found = allowed(built(Combination("gpu", ("backup",)))) - allowed(built(GPU))
    inside = {Arrow("backup", "minio", "9000"), Arrow("backup", "qdrant", "6333"), Arrow("backup", "qdrant", "6334")}
    assert {arrow for arrow in found if arrow.port != "53"} == {*inside, Arrow("backup", INTERNET, "443")}


def test_servers_of_others_are_reached_by_those_who_use_them(built: Built) -> None:
    out = {
        arrow
        for arrow in allowed(built(Combination("gpu", ("aws-role",), ("minio", "qdrant"))))
        if arrow.target == INTERNET
    }
    assert {arrow.source for arrow in out if arrow.port == "443"} == {
        arrow.source for arrow in DESIGN if arrow.target == "minio"
    }
    assert {arrow.source for arrow in out if arrow.port in ("6333", "6334")} == {
        arrow.source for arrow in DESIGN if arrow.target == "qdrant" and arrow.port == "6333"
    }


def test_management_of_torchserve_has_no_port(built: Built) -> None:
    pods = [container for container in built(GPU).containers if container.spec["name"] == "torchserve"]
    assert [sorted(one.port_numbers) for one in pods] == [[8080, 8082]]


@pytest.mark.parametrize("wanted", [LOCAL, GPU, Combination("gpu", ("backup",))], ids=str)
def test_images_are_of_this_version(wanted: Combination, built: Built) -> None:
    images = {str(one.spec["image"]) for one in built(wanted).containers}
    found = {image.partition(":")[0]: image.partition(":")[2] for image in images if image.startswith("lookalike/")}
    assert found.keys() == {f"lookalike/{name}" for name in OURS}
    assert {tag.removesuffix("-cuda") for tag in found.values()} == {__version__}
    on_gpu = {name for name, tag in found.items() if tag.endswith("-cuda")}
    assert on_gpu == ({"lookalike/torchserve", "lookalike/trainer"} if wanted.overlay == "gpu" else set())


def test_compose_runs_the_same_versions_of_servers(built: Built) -> None:
    compose = (DEPLOY.parent / "docker-compose.yml").read_text(encoding="utf-8")
    there = {image.partition("@")[0] for image in re.findall(r"^\s+image: (\S+)", compose, re.MULTILINE)}
    here = {str(one.spec["image"]).partition("@")[0] for one in built(LOCAL).containers}
    servers = {image for image in here if not image.startswith("lookalike/")}
    assert len(servers) == 3
    assert servers <= there


def test_gpus_are_asked_for_where_models_run_and_nowhere_else(built: Built) -> None:
    asking = {}
    for container in built(GPU).containers:
        asked = container.spec["resources"]["limits"].get("nvidia.com/gpu")
        if asked is not None:
            pod = container.workload.pod
            asking[container.spec["name"]] = (asked, pod["nodeSelector"], pod["tolerations"][0]["key"])
    here = (1, {"nvidia.com/gpu.present": "true"}, "nvidia.com/gpu")
    assert asking == {"torchserve": here, "trainer": here}


def test_a_changed_setting_rolls_the_pods_that_have_it(copy_of_deploy: Path, built: Built) -> None:
    file = copy_of_deploy / "k8s" / "base" / "settings" / "queue.env"
    kept = file.read_text(encoding="utf-8")
    try:
        file.write_text(f"{kept}LOOKALIKE_QUEUE__RETRIES=9\n", encoding="utf-8")
        changed = build(copy_of_deploy / "k8s" / "overlays" / "local")
    finally:
        file.write_text(kept, encoding="utf-8")
    rolled = {
        after.name for before, after in zip(built(LOCAL).workloads, changed.workloads, strict=True) if before != after
    }
    assert rolled == {"gateway", "embedder", "indexer", "setup", "compact", "collect"}


@pytest.mark.parametrize("overlay", overlays())
def test_without_secrets_nothing_is_built(overlay: str, copy_of_deploy: Path) -> None:
    folder = copy_of_deploy / "k8s" / "overlays" / overlay
    (folder / "secrets" / "queue-url").rename(folder / "secrets" / "away")
    try:
        with pytest.raises(BuildFailed, match="secrets/queue-url"):
            build(folder)
    finally:
        (folder / "secrets" / "away").rename(folder / "secrets" / "queue-url")


def test_secrets_are_made_once_and_fit_each_other(tmp_path: Path) -> None:
    made = make(tmp_path)
    folder = tmp_path / "secrets"
    first = {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}
    assert sorted(first) == made
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert first["queue-url"] == f"redis://:{first['redis-password']}@redis:6379/0"
    generated = [value for name, value in first.items() if name not in ("s3-access-key", "queue-url")]
    assert len(set(generated)) == len(generated)
    assert all(len(value) >= 32 for value in generated)
    (folder / "queue-url").unlink()
    assert make(tmp_path) == ["queue-url"]
    assert {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()} == first


def test_overlays_ask_for_the_secrets_that_are_made(tmp_path: Path, built: Built) -> None:
    for wanted in (LOCAL, GPU):
        keys = {key for secret in built(wanted).of("Secret") for key in secret["data"]}
        folder = tmp_path / wanted.overlay
        folder.mkdir()
        assert keys == set(make(folder))


def shown_in_the_docs() -> list[dict[str, Any]]:
    """The parts of an overlay that the page has, as YAML."""
    page = (DEPLOY.parent / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("part", shown_in_the_docs(), ids=lambda part: "+".join(part))
def test_what_the_docs_add_to_an_overlay_builds(part: dict[str, Any], copy_of_deploy: Path, tmp_path: Path) -> None:
    """In a copy of the overlay for GPUs: resources are replaced, everything else is added."""
    root = tmp_path / "deploy"
    shutil.copytree(copy_of_deploy, root)
    overlay = root / "k8s" / "overlays" / "gpu"
    said = yaml.safe_load((overlay / "kustomization.yaml").read_text(encoding="utf-8"))
    for name, values in part.items():
        said[name] = values if name == "resources" else [*said.get(name, ()), *values]
    for secret in part.get("secretGenerator", ()):
        for file in secret["files"]:
            (overlay / file).write_text("of another server", encoding="utf-8")
    (overlay / "kustomization.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")
    made = build(overlay)
    assert list(map(str, findings(made))) == []
    effective = {pair for file in made.of("ConfigMap") for pair in (file.get("data") or {}).items()}
    literals = [text for one in part.get("configMapGenerator", ()) for text in one["literals"]]
    assert {tuple(text.split("=", 1)) for text in literals} <= effective  # no component has the last word


def test_the_page_names_every_secret_component_and_overlay(tmp_path: Path) -> None:
    page = (DEPLOY.parent / "docs" / "how-to" / "deploy-on-kubernetes.md").read_text(encoding="utf-8")
    parts = [file.parent.name for file in (DEPLOY / "k8s").glob("[co]*/*/kustomization.yaml")]
    assert len(parts) > 10
    for name in (*parts, *make(tmp_path)):
        assert re.search(rf"`(overlays/|components/)?{name}`", page), name


def test_git_ignores_them_and_no_registry_is_named() -> None:
    assert "secrets/" in (DEPLOY / "k8s" / ".gitignore").read_text(encoding="utf-8").split()
    for file in (DEPLOY / "k8s").rglob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        assert not re.search(
            r"(docker\.io|quay\.io|ghcr\.io|gcr\.io|registry\.)\S*/", text.replace("registry.example", "")
        ), file


def test_manifests_of_nothing() -> None:
    assert Manifests.parse("---\n").items == ()
