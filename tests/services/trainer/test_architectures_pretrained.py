"""Weights from elsewhere: a file, an address, torchvision's own."""

import hashlib
import threading
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from lookalike.embedding.torchvision_stub import import_torchvision_package
from lookalike.errors import DependencyUnavailable, InvalidRequest, ModelNotFound
from services.trainer.architectures import RESNEXT_WSL_URL, Pretrained, build


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch) -> Path:
    """An empty folder of torch hub's."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture(scope="module")
def squeezenet():
    """The smallest classifier of torchvision, with random weights."""
    torch.manual_seed(0)
    return import_torchvision_package().models.squeezenet1_1(weights=None)


@pytest.fixture(scope="module")
def weights(squeezenet, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet.state_dict(), path)
    return path


@pytest.fixture
def server(weights):
    """Serves the weights under any path; yields its address and the paths that were asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            content = weights.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def _holds(network, squeezenet) -> bool:
    found = dict(network.features.features.named_parameters())
    return all(torch.equal(tensor, found[name]) for name, tensor in squeezenet.features.named_parameters())


@pytest.mark.parametrize(
    ("model", "pooling", "dimension"), [("densenet121", "flatten", 50_176), ("densenet121", "avg", 1024)]
)
def test_densenet_has_the_studys_dimensions_at_224(model, pooling, dimension):
    network = build(Pretrained(model=model, pooling=pooling), 224, with_weights=False)
    assert network.dimension == dimension  # measured by an image that went through it


def test_the_studys_resnext_has_2048_components():
    network = build(Pretrained(model="resnext101_32x8d"), 32, with_weights=False)
    assert network.dimension == 2048


@pytest.mark.parametrize("model", ["densenet121", "resnet18", "mobilenet_v2"])
def test_gem_is_of_the_last_map(model):
    torch.manual_seed(0)
    gem = build(Pretrained(model=model, pooling="gem"), 64, with_weights=False).eval()
    flat = build(Pretrained(model=model, pooling="flatten"), 64, with_weights=False).eval()
    state = gem.state_dict()
    pool_key = next(key for key in state if key.endswith(".p"))
    # Both have the same tensors in the same order, under names that differ by what wraps them.
    flat.load_state_dict(dict(zip(flat.state_dict(), (state[key] for key in state if key != pool_key), strict=True)))
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        map_NCHW = flat(x).unflatten(1, (gem.dimension, 2, 2)).clamp(min=1e-6)
        assert torch.allclose(gem(x), map_NCHW.pow(3).mean((2, 3)).pow(1 / 3), rtol=1e-4, atol=1e-5)


def test_building_leaves_the_batch_norms_as_they_were():
    network = build(Pretrained(model="mobilenet_v3_small"), 32, with_weights=False)
    assert network.training
    assert all(int(tensor) == 0 for name, tensor in network.named_buffers() if name.endswith("num_batches_tracked"))


def test_weights_come_from_a_file(squeezenet, weights):
    network = build(Pretrained(model="squeezenet1_1", weights=weights), 64)
    assert _holds(network, squeezenet)
    assert not _holds(build(Pretrained(model="squeezenet1_1", weights=weights), 64, with_weights=False), squeezenet)


def test_weights_of_another_model_are_refused(weights):
    with pytest.raises(InvalidRequest, match="not those of squeezenet1_0"):
        build(Pretrained(model="squeezenet1_0", weights=weights), 64)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match="nowhere"):
        build(Pretrained(weights=tmp_path / "nowhere.pth"), 64)


def test_weights_are_downloaded_once(squeezenet, weights, server, hub):
    address, asked = server
    config = Pretrained(model="squeezenet1_1", weights_url=f"{address}/models/squeeze-{_digest(weights)}.pth")
    for _ in range(2):
        assert _holds(build(config, 64), squeezenet)
    assert asked == [f"/models/squeeze-{_digest(weights)}.pth"]
    assert [path.name for path in hub.iterdir()] == [f"squeeze-{_digest(weights)}.pth"]


def test_a_download_with_another_hash_is_refused_and_not_kept(server, hub):
    url = f"{server[0]}/squeeze-00000000.pth"
    with pytest.raises(DependencyUnavailable, match=r"hash.*--set architecture\.weights=FILE") as raised:
        build(Pretrained(model="squeezenet1_1", weights_url=url), 64)
    assert raised.value.details["url"] == url
    assert list(hub.iterdir()) == []


def test_a_download_that_holds_more_than_tensors_is_refused(hub, squeezenet):
    hub.mkdir(parents=True)
    torch.save(squeezenet, hub / "whole-12345678.pth")  # the module itself, pickled
    with pytest.raises(InvalidRequest, match="more than tensors"):
        build(Pretrained(model="squeezenet1_1", weights_url="https://x.invalid/whole-12345678.pth"), 64)


@pytest.mark.parametrize("weights_url", [None, RESNEXT_WSL_URL])
def test_a_download_that_fails_says_what_to_fetch_and_where_to_pass_it(weights_url, monkeypatch, capsys):
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(DependencyUnavailable) as raised:
        build(Pretrained(model="resnext101_32x8d", weights_url=weights_url), 64)
    url = raised.value.details["url"]
    assert url == (weights_url or "https://download.pytorch.org/models/resnext101_32x8d-110c445d.pth")
    assert "no route" in raised.value.message
    assert f"fetch {url} elsewhere and pass the file with --set architecture.weights=FILE" in raised.value.message
    assert "--weights FILE" not in raised.value.message
    assert capsys.readouterr().out == ""  # where JSON lines go


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/w-12345678.pth",
        "https://x.invalid/weights.pth",
        "https://x.invalid/w-1234.pth",
        "w-12345678.pth",
        "https://x.invalid/w-12345678.zip",
    ],
)
def test_addresses_that_do_not_say_their_hash_are_refused(url):
    with pytest.raises(ValidationError, match="SHA256"):
        Pretrained(weights_url=url)


def test_unknown_models_and_sizes_are_refused():
    with pytest.raises(ModelNotFound, match="resnet18"):
        build(Pretrained(model="resnet19"), 64, with_weights=False)
    with pytest.raises(InvalidRequest, match="takes no images of 16 x 16"):
        build(Pretrained(model="alexnet"), 16, with_weights=False)
