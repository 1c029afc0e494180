"""Parts of TorchServe's supervisor and handler that a running server shows only by accident."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lookalike.bootstrap import wire
from lookalike.embedding.archive import read_manifest
from lookalike.embedding.house import house_archive
from lookalike.embedding.remote_protocol import served_name
from lookalike.embedding.runtime import Runtime
from lookalike.errors import (
    DamagedArtifact,
    DependencyUnavailable,
    InvalidRequest,
    LookalikeError,
    MissingExtra,
    ModelNotFound,
    ServerBusy,
)
from lookalike.images.limits import ImageLimits
from lookalike.pipeline.models import import_model
from lookalike.pipeline.served_models import Served
from lookalike.settings import Settings, load
from lookalike.storage.port import ObjectInfo
from lookalike.telemetry.declared import TORCHSERVE
from lookalike.telemetry.metrics import Recorder
from lookalike.types.models import ModelManifest, ResizePolicy
from lookalike.types.served import Round
from services.embedder.torchserve.archives import ArchiveFolder
from services.embedder.torchserve.budget import Budget
from services.embedder.torchserve.configuration import Ports, command, environment, write_configuration
from services.embedder.torchserve.handler import Handler
from services.embedder.torchserve.java import find_java
from services.embedder.torchserve.keys import Keys, read_keys
from services.embedder.torchserve.reconciler import Reconciler
from services.embedder.torchserve.run_folder import run_folder
from services.embedder.torchserve.supervisor import Exit, Supervisor
from services.embedder.torchserve.upstream import Upstream

PORTS = Ports(1, 2, 3, 4, 5)
MANIFEST = ModelManifest(name="m", dimension=3, input_size=2, resize_policy=ResizePolicy.SQUASH, digest="d")


class Counting:
    """An embedder of one device, whose embeddings are the mean colours, and which notes each call's images."""

    def __init__(self, device: str) -> None:
        self.manifest = MANIFEST
        self.batch_size = 4
        self.runtime = Runtime(precision="float32", device=device, batch_size=4)
        self.calls: list[int] = []

    def embed(self, images_NHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.calls.append(len(images_NHWC))
        return images_NHWC.mean(axis=(1, 2)).astype(np.float32)


def pixels(*values: int) -> dict[str, bytes]:
    return {"body": b"".join(bytes([value]) * 12 for value in values)}


@pytest.mark.parametrize(("device", "calls"), [("cuda", [6]), ("cpu", [0, 0, 1, 2, 3])])
def test_a_gpu_takes_all_merged_requests_in_one_forward_and_a_cpu_each_on_its_own(
    device: str, calls: list[int]
) -> None:
    embedder = Counting(device)
    handler = Handler(embedder, ImageLimits(), threads=2)  # type: ignore[arg-type]
    requests = [pixels(1, 2), pixels(3), {"body": b"no image"}, {}, pixels(4, 5, 6)]
    headers = [{"lookalike-shape": f"{n},2,2,3"} for n in (2, 1)] + [{}, {"lookalike-describe": "1"}]
    answers = handler.answer(requests, [*headers, {"lookalike-shape": "3,2,2,3"}])
    assert sorted(embedder.calls) == calls
    assert [answer.status for answer in answers] == [200, 200, 415, 200, 200]
    found = [np.frombuffer(answers[n].body, "<f4").reshape(-1, 3)[:, 0].tolist() for n in (0, 1, 4)]
    assert found == [[1, 2], [3], [4, 5, 6]]
    assert json.loads(answers[3].body)["batch_size"] == 4


@given(
    parts=st.dictionaries(
        st.sampled_from(["body", "data", "a", "b"]),
        st.one_of(st.binary(max_size=40), st.text(), st.none(), st.integers()),
    ),
    shape=st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["1,2,2,3", "0,2,2,3", "2,2,2,3", "-1,2,2,3"])),
    accept=st.text(max_size=30),
)
def test_whatever_is_sent_has_an_answer_of_its_own(parts: dict[str, object], shape: str | None, accept: str) -> None:
    handler = Handler(Counting("cpu"), ImageLimits(), threads=1)  # type: ignore[arg-type]
    headers = {"accept": accept, **({} if shape is None else {"lookalike-shape": shape})}
    strange, good = handler.answer([parts, pixels(7)], [headers, {"lookalike-shape": "1,2,2,3"}])
    assert np.frombuffer(good.body, "<f4").tolist() == [7, 7, 7]
    assert strange.status in (200, 415, 422)
    if strange.status != 200:
        assert json.loads(strange.body)["status"] == strange.status


def test_java_is_that_of_java_home_then_of_the_path_then_of_the_wheel(tmp_path: Path) -> None:
    for name in ("home/bin", "path"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "java").touch(mode=0o755)
    home, path = tmp_path / "home", str(tmp_path / "path")
    assert find_java({"JAVA_HOME": str(home), "PATH": path}) == home / "bin" / "java"
    assert find_java({"JAVA_HOME": str(tmp_path), "PATH": path}) == tmp_path / "path" / "java"
    assert find_java({"PATH": str(tmp_path)}).is_file()


def test_without_any_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="Java"):
        find_java({"PATH": str(tmp_path)})


def test_the_configuration_opens_nothing(tmp_path: Path) -> None:
    write_configuration(tmp_path, PORTS, load({}))
    said = dict(line.split("=", 1) for line in (tmp_path / "config.properties").read_text().splitlines())
    addresses = {value for name, value in said.items() if name.endswith("_address")}
    assert all(value.removeprefix("http://").startswith("127.0.0.1") for value in addresses)
    assert said["disable_token_authorization"] == "false"  # noqa: S105
    assert said["allowed_urls"] == "^$"
    assert said["enable_envvars_config"] == "false"
    assert (tmp_path / "models").stat().st_mode & 0o077 == 0
    whole = command(tmp_path, Path("/usr/bin/java"), load({}))
    assert "--disable-token-auth" not in whole
    assert "-ncs" in whole


def test_workers_get_what_they_need_of_the_settings_and_no_secret() -> None:
    base = {
        "PATH": "/bin",
        "LOOKALIKE_STORAGE__S3_SECRET_KEY": "hush",
        "LOOKALIKE_EMBEDDER__TOKEN": "hush",
        "LOOKALIKE_EMBEDDER__PRECISION": "float32",
        "LOOKALIKE_CONFIG": "elsewhere.toml",
        "TS_DISABLE_TOKEN_AUTHORIZATION": "true",
    }
    settings = load({name: value for name, value in base.items() if "CONFIG" not in name and "S3" not in name})
    given = environment(settings, threads=3, base=base)
    assert "hush" not in given.values()
    assert not any(name.startswith("TS_") for name in given)
    ours = load({name: value for name, value in given.items() if name.startswith("LOOKALIKE_")})
    assert (ours.embedder.precision, ours.embedder.threads, ours.embedder.token) == ("float32", 3, None)
    assert ours.images == settings.images


@pytest.mark.parametrize("text", ["", "{", "[]", '{"inference": {}}', '{"inference": {"key": "a"}}'])
def test_keys_that_are_half_written_are_waited_for(tmp_path: Path, text: str) -> None:
    (tmp_path / "key_file.json").write_text(text)
    with pytest.raises(DependencyUnavailable):
        read_keys(tmp_path / "key_file.json")


def test_keys_are_in_no_representation(tmp_path: Path) -> None:
    (tmp_path / "key_file.json").write_text('{"inference": {"key": "hush"}, "management": {"key": "hush"}}')
    keys = read_keys(tmp_path / "key_file.json")
    assert (keys.inference, keys.management) == ("hush", "hush")
    assert "hush" not in repr(keys)


def test_a_run_has_a_private_folder_and_removes_what_others_abandoned(tmp_path: Path) -> None:
    abandoned = tmp_path / "run-abandoned"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    with run_folder(tmp_path) as first, run_folder(tmp_path) as second:
        assert not abandoned.exists()
        assert first != second
        assert first.is_dir(), "that of a process that runs stays"
        assert first.stat().st_mode & 0o077 == 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_path_is_too_long_for_sockets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="too long"), run_folder(tmp_path / ("long" * 20)):
        pass


def test_the_budget_turns_requests_away_and_says_when_all_are_done() -> None:
    async def use() -> None:
        budget = Budget(10, 2)
        with budget.take(8):
            with pytest.raises(ServerBusy), budget.take(3):
                pass
            with budget.take(2):
                assert budget.num_requests == 2
                with pytest.raises(ServerBusy), budget.take(0):  # a third one, however small
                    pass
            drained = asyncio.create_task(budget.drained())
            await asyncio.sleep(0)
            assert not drained.done()
        await drained
        with budget.take(11):  # alone, one may be larger than all
            pass
        budget.closed = True
        with pytest.raises(ServerBusy, match="stopped"), budget.take(1):
            pass

    asyncio.run(use())


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (404, {"type": "ModelNotFoundException", "message": "x"}, ModelNotFound),
        (503, {"type": "ServiceUnavailableException", "message": "x"}, ServerBusy),
        (400, {"type": "InvalidKeyException", "message": "x"}, ServerBusy),
        (500, {"type": "InternalServerException", "message": "Worker died."}, ServerBusy),
        (507, {"type": "InternalServerException", "message": "Out of resources"}, LookalikeError),
        (500, "<html>", LookalikeError),
    ],
)
def test_torchserves_errors_come_back_in_our_words(status: int, said: object, error: type[LookalikeError]) -> None:
    async def ask() -> None:
        upstream = Upstream("http://torchserve", connections=2)
        upstream.keys = Keys("inference key", "management key")
        seen: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return httpx.Response(status, text=said if isinstance(said, str) else json.dumps(said))

        upstream._client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://torchserve")
        with pytest.raises(error) as raised:
            await upstream.predict("m", {"authorization": "Bearer ours", "accept": "*/*", "cookie": "c"}, b"")
        assert type(raised.value) is error
        assert "key" not in raised.value.message
        assert seen[0].headers["authorization"] == "Bearer inference key"
        assert "cookie" not in seen[0].headers
        await upstream.close()

    asyncio.run(ask())


class Remembering:
    """TorchServe's management as far as the reconciler asks it."""

    def __init__(self) -> None:
        self.models: dict[str, Served] = {}
        self.files: dict[str, str] = {}

    def served(self) -> dict[str, Served]:
        return dict(self.models)

    def register(self, name: str, archive: str, *, workers: int, batching: object) -> None:
        self.models[name] = Served(workers, workers, workers)
        self.files[name] = archive

    def unregister(self, name: str) -> None:
        del self.models[name]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    where = {"FOLDER": str(tmp_path / "store"), "CACHE": str(tmp_path / "cache")}
    return load({f"LOOKALIKE_STORAGE__{name}": value for name, value in where.items()})


def test_while_the_store_is_away_what_was_served_goes_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a TorchServe that was started again meanwhile, which knows nothing."""
    workspace = wire(settings)
    manifest = import_model(workspace, "house")
    models = tmp_path / "models"
    models.mkdir()
    reconciler = Reconciler(
        workspace.models,
        workspace.galleries,
        workspace.pointers,
        ArchiveFolder(models, workspace.models, workspace.artifacts),
        settings.torchserve,
        Recorder(TORCHSERVE),
        workers=1,
    )
    name = served_name(manifest)
    first = Remembering()
    assert reconciler.round(first).complete  # type: ignore[arg-type]
    assert first.files == {name: f"{name}.mar"}
    assert read_manifest(models / f"{name}.mar").digest == manifest.digest

    def away(prefix: str, *, after: str = "") -> Iterator[ObjectInfo]:
        raise DependencyUnavailable("the store does not answer", dependency="store")

    monkeypatch.setattr(workspace.store, "list", away)
    again = Remembering()
    done = reconciler.round(again)  # type: ignore[arg-type]
    assert again.models == first.models
    assert done.errors == ("the store does not answer",)
    assert not done.complete
    workspace.close()


def test_an_archive_in_the_cache_that_is_damaged_is_fetched_again(settings: Settings, tmp_path: Path) -> None:
    workspace = wire(settings)
    manifest = import_model(workspace, "house")
    models = tmp_path / "models"
    models.mkdir()
    archives = ArchiveFolder(models, workspace.models, workspace.artifacts)
    cached = workspace.artifacts.file("models", "house.mar")
    cached.write_bytes(house_archive().read_bytes()[:1000])
    assert archives.put("house", manifest).file == "house.mar"
    assert read_manifest(models / "house.mar").digest == manifest.digest
    other = manifest.model_copy(update={"input_size": 64})  # its archive is not in the store
    with pytest.raises(LookalikeError):
        archives.put("other", other)
    assert not (models / "other.mar").exists()
    workspace.models._store.put_file(workspace.models._archive_key(other), house_archive())
    with pytest.raises(DamagedArtifact, match="another model"):
        archives.put("other", other)
    workspace.close()


class Ending:
    """A TorchServe that ends as soon as it has made its keys."""

    async def keys(self) -> Keys:
        return Keys("a", "b")

    async def wait(self) -> int:
        return 1

    async def stop(self) -> None: ...


class Failing:
    """A reconciler of a TorchServe that does not answer."""

    def round(self, management: object) -> Round:
        raise DependencyUnavailable("it does not answer", dependency="torchserve")


def test_a_torchserve_that_ends_at_once_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.embedder.torchserve.supervisor._FIRST_PAUSE_S", 0.001)

    async def run() -> Exit:
        starts: list[Ending] = []

        async def start() -> Ending:
            starts.append(Ending())
            return starts[-1]

        supervisor = Supervisor(
            start,  # type: ignore[arg-type]
            Upstream("http://127.0.0.1:1", connections=1),
            Failing(),  # type: ignore[arg-type]
            "http://127.0.0.1:1",
            Recorder(TORCHSERVE),
            Budget(1, 1),
            poll_s=0.001,
            drain_s=0,
        )
        async with asyncio.timeout(30):
            ended = await supervisor.run()
        assert len(starts) == 4
        assert not supervisor.health.is_ready
        return ended

    assert asyncio.run(run()) is Exit.GAVE_UP
