"""What can be known of the images without building them; `make images-test` builds and runs them."""

import fnmatch
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from dockerfile import FILES, REPOSITORY, lineage, stages, text
from packaging.requirements import Requirement

DASHES = "# " + "-" * 118
NAMES = sorted(FILES)
_PYPROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_service_has_its_own() -> None:
    found = {str(file.relative_to(REPOSITORY)) for file in REPOSITORY.glob("services/*/*ockerfile")}
    assert found == set(FILES.values())


def test_what_is_built_and_examined_is_the_same() -> None:
    images = {image.name: image.dockerfile for image in _script("catalog").IMAGES}
    assert images == FILES


@pytest.mark.parametrize("name", NAMES)
def test_the_shared_part_is_the_same_in_all(name: str) -> None:
    """Layers are only shared where every character before them is the same."""
    shared = [part.split("ARG PYTHON_IMAGE")[1].split(DASHES)[0] for part in (text(name), text("gateway"))]
    assert DASHES in text(name)
    assert shared[0] == shared[1]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_installed_in_what_the_image_is_made_of(name: str) -> None:
    """So no compiler, index, cache or argument of a build can stay: all comes by COPY from stages that are left out."""
    chain = lineage(name)
    assert [stage.name for stage in chain] == ["core", "image"]
    assert chain[0].parent == "${PYTHON_IMAGE}"
    for stage in chain:
        for script in stage.all("RUN"):
            assert not re.search(r"\b(pip|apt-get|curl|wget|git)\b", script), script
        assert {argument.split("=")[0] for argument in stage.all("ARG")} <= {"VERSION", "REVISION"}


@pytest.mark.parametrize("name", NAMES)
def test_what_it_copies_exists_and_reaches_the_build(name: str) -> None:
    built = {stage.name for stage in stages(name)}
    for stage in stages(name):
        for words in (rest.split() for rest in stage.all("COPY")):
            origin = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), None)
            assert origin is None or origin in built, f"{stage.name}: {words}"
            sources = [word for word in words[:-1] if not word.startswith("--")]
            for source in sources if origin is None else ():
                assert (REPOSITORY / source).exists(), source
                assert _reaches_the_build(source), f".dockerignore keeps {source} out"


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_that_is_built_is_used(name: str) -> None:
    used = {stage.parent for stage in stages(name)} | set(re.findall(r"--from=([\w-]+)", text(name)))
    assert [stage.name for stage in stages(name)[:-1] if stage.name not in used] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_base_image_has_a_version(name: str) -> None:
    base = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", text(name), re.MULTILINE)
    assert len(base) == 1
    assert re.fullmatch(r"python:3\.\d+(\.\d+)?-slim-\w+", base[0])
    assert {stage.parent for stage in stages(name)} & {"python", base[0]} == set()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_installed_is_pinned(name: str) -> None:
    installs = [script for stage in stages(name) for script in stage.all("RUN") if "install.sh" in script]
    assert len(installs) == len([stage for stage in stages(name) if stage.name.endswith("-venv")])
    for script in installs:
        assert "-c constraints.txt" in script or "--no-deps ." in script, script


@pytest.mark.parametrize("name", NAMES)
def test_the_image_installs_its_own_extra_last(name: str) -> None:
    copied = re.findall(r"COPY --from=(\w+)-venv", text(name).split("FROM core AS image")[1])
    assert copied[-2:] == [name, "code"]
    assert not {"torch", "trainer", "torchserve"} & set(copied) or name in ("trainer", "torchserve")


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_as_nobody_and_is_told_to_stop(name: str) -> None:
    (_, image) = lineage(name)
    assert image.all("USER") == ["10001:10001"]
    assert image.all("STOPSIGNAL") == ["SIGTERM"]
    (entry,) = image.all("ENTRYPOINT")
    assert json.loads(entry)[0] in ("lookalike", "python")
    for command in image.all("CMD"):
        assert isinstance(json.loads(command), list)
    (health,) = image.all("HEALTHCHECK")
    assert health == "NONE" if name == "trainer" else " CMD [" in f" {health}"
    after = image.said[image.said.index(("USER", "10001:10001")) :]
    assert not {"RUN", "COPY", "ADD"} & {instruction for instruction, _ in after}


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_said(name: str) -> None:
    for stage in stages(name):
        for said in (*stage.all("ENV"), *stage.all("ARG")):
            assert not re.search(r"(?i)(password|secret|token|api_key)\w*=\S", said), said


def test_the_build_is_given_nothing_but_what_it_needs() -> None:
    for kept_out in (".secrets/queue_url", ".env", "var/store/x", ".venv/bin/python", ".git/config", "data/a.jpg"):
        assert not _reaches_the_build(kept_out), kept_out
    for kept_out in ("lookalike/__pycache__/x.cpython-311.pyc", "tests/conftest.py", "docs/glossary.md"):
        assert not _reaches_the_build(kept_out), kept_out


@pytest.mark.parametrize("extra", ["gateway", "indexer", "embedder", "torchserve", "trainer", "torch"])
def test_the_list_of_an_extra_is_all_that_it_requires(extra: str) -> None:
    found = _script("requirements_of").requirements_of(_PYPROJECT, [extra])
    names = {Requirement(one).name for one in found}
    assert {"numpy", "pydantic"} <= names
    assert "lookalike" not in names
    assert ("torch" in names) == (extra in ("torchserve", "trainer", "torch"))
    for one in _PYPROJECT["project"]["optional-dependencies"][extra]:
        if not one.startswith("lookalike["):
            assert one in found


def test_an_extra_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(KeyError):
        _script("requirements_of").requirements_of(_PYPROJECT, ["gatway"])


def test_the_page_shows_what_was_measured() -> None:
    sizes = _script("sizes")
    measured = json.loads(sizes.MEASURED.read_text(encoding="utf-8"))
    assert measured["ok"] is True
    assert set(measured["images"]) == set(FILES)
    said = sizes.PAGE.read_text(encoding="utf-8")
    assert sizes.page(said) == said, "python deploy/images/sizes.py"


@pytest.mark.parametrize("name", [*NAMES, "servers"])
def test_the_linter_has_nothing_to_say(name: str) -> None:
    found = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if found is None:
        pytest.skip("hadolint is not installed: its wheel is for Linux on x86-64, or put hadolint on the path")
    file = {**FILES, "servers": "tests/images/servers.Dockerfile"}[name]
    ended = subprocess.run([found, "--no-color", file], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def _reaches_the_build(path: str) -> bool:
    """What .dockerignore makes of a path: the last rule that fits it, or a folder above it, decides."""
    kept = True
    for line in (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.lstrip("!").strip("/")
        above = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
        anywhere = pattern.removeprefix("**/")
        if any(
            fnmatch.fnmatchcase(one, pattern) or (anywhere != pattern and fnmatch.fnmatchcase(Path(one).name, anywhere))
            for one in above
        ):
            kept = rule.startswith("!")
    return kept


def _script(name: str) -> ModuleType:
    """A module of deploy/images, which is no package: its scripts run without anything installed."""
    folder = REPOSITORY / "deploy" / "images"
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location(f"images_{name}", folder / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
    return module
