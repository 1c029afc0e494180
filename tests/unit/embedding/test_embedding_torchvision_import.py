"""torchvision's classifiers without their last layer."""

import io
import subprocess
import sys
import urllib.error

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lookalike.embedding.export import export_program
from lookalike.embedding.torchvision_import import import_torchvision, torchvision_features
from lookalike.embedding.torchvision_stub import import_torchvision_package
from lookalike.errors import DependencyUnavailable, InvalidRequest, ModelNotFound
from lookalike.types.models import ResizePolicy


@pytest.fixture(scope="module")
def squeezenet():
    """The smallest of them, with random weights."""
    torch.manual_seed(0)
    return import_torchvision_package().models.squeezenet1_1(weights=None)


@pytest.mark.parametrize(
    ("name", "pooled", "dimension"),
    [
        ("resnet18", True, 512),
        ("resnet18", False, 512 * 7 * 7),
        ("densenet121", True, 1024),
        ("densenet121", False, 1024 * 7 * 7),
        ("mobilenet_v2", True, 1280),
        ("mobilenet_v3_small", True, 1024),
        ("squeezenet1_1", True, 512),
        ("efficientnet_b0", False, 1280 * 7 * 7),
        ("regnet_y_400mf", True, 440),
        ("shufflenet_v2_x0_5", True, 1024),
        ("mnasnet0_5", True, 1280),
    ],
)
def test_features_have_the_dimension_before_the_last_layer(name, pooled, dimension):
    features = torchvision_features(name, pooled=pooled).eval()
    with torch.inference_mode():
        assert features(torch.zeros(1, 3, 224, 224)).flatten(1).shape == (1, dimension)


@pytest.mark.parametrize(("name", "pooled"), [("resnet18", True), ("densenet121", False), ("swin_t", True)])
def test_they_export(name, pooled):
    program, dimension = export_program(torchvision_features(name, pooled=pooled), 64)
    module = torch.export.load(io.BytesIO(program)).module()
    for num_images in (1, 3):
        assert module(torch.zeros(num_images, 64, 64, 3, dtype=torch.uint8)).shape == (num_images, dimension)


def test_pooled_features_are_what_the_last_layer_sees():
    models = import_torchvision_package().models
    torch.manual_seed(0)
    whole = models.resnet18(weights=None).eval()
    features = torchvision_features("resnet18", state=whole.state_dict()).eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(whole.fc(features(x)), whole(x), atol=1e-6)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_come_from_a_local_state_dict(squeezenet, tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(squeezenet.state_dict(), path)
    program, manifest = import_torchvision(
        "squeezenet1_1",
        weights=path,
        resize_policy=ResizePolicy.SQUASH,
        input_size=64,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    )
    assert (manifest.name, manifest.dimension, manifest.input_size) == ("squeezenet1_1", 512, 64)
    assert manifest.resize_policy is ResizePolicy.SQUASH
    assert manifest.recipe["mean"] == [0.5, 0.5, 0.5]
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    with torch.inference_mode():
        features = squeezenet.eval().features(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1).mean((2, 3))
        expected = torch.nn.functional.normalize(features)
        embeddings = torch.export.load(io.BytesIO(program)).module()(torch.from_numpy(images))
    assert torch.allclose(embeddings, expected, atol=1e-5)


def test_flattened_models_have_a_name_of_their_own(squeezenet, tmp_path):
    torch.save(squeezenet.state_dict(), tmp_path / "w.pth")
    _, manifest = import_torchvision("squeezenet1_1", weights=tmp_path / "w.pth", pooled=False, input_size=64)
    assert manifest.name == "squeezenet1_1-flat"
    assert manifest.dimension == 512 * 3 * 3


def test_weights_that_lack_or_add_tensors_are_refused(squeezenet, tmp_path):
    state = squeezenet.state_dict()
    first = next(iter(state))
    for number, wrong in enumerate(
        ({key: value for key, value in state.items() if key != first}, state | {"extra": torch.zeros(1)})
    ):
        path = tmp_path / f"{number}.pth"
        torch.save(wrong, path)
        with pytest.raises(InvalidRequest, match="not those of squeezenet1_1"):
            import_torchvision("squeezenet1_1", weights=path)


@pytest.mark.parametrize("content", [b"", b"no weights", None, [1, 2], {"a": 1}])
def test_files_that_hold_no_state_dict_are_refused(squeezenet, tmp_path, content):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(squeezenet if content is None else content, path)  # None: the module itself, pickled
    with pytest.raises(InvalidRequest, match=r"w\.pth"):
        import_torchvision("squeezenet1_1", weights=path)
    (tmp_path / "w.safetensors").write_bytes(b"nor these")
    with pytest.raises(InvalidRequest, match="safetensors"):
        import_torchvision("squeezenet1_1", weights=tmp_path / "w.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InvalidRequest, match="nowhere"):
        import_torchvision("resnet18", weights=tmp_path / "nowhere.pth")


@pytest.mark.parametrize("name", ["resnet19", "", "fcn_resnet50", "../x"])
def test_only_torchvisions_classifiers_are_known(name):
    with pytest.raises(ModelNotFound, match="resnet18"):
        import_torchvision(name, weights=None)


def test_models_without_a_feature_map_cannot_be_flattened():
    with pytest.raises(InvalidRequest, match="pooled"):
        torchvision_features("vit_b_32", pooled=False)


def test_a_download_that_fails_says_what_to_do(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(DependencyUnavailable, match="--weights FILE") as caught:
        import_torchvision("squeezenet1_1", weights=None)
    assert str(caught.value.details["url"]).endswith(".pth")


@pytest.mark.parametrize("std", [(0.5, 0.5), (0.5, 0, 0.5)])
def test_constants_that_cannot_be_are_refused(squeezenet, tmp_path, std):
    torch.save(squeezenet.state_dict(), tmp_path / "w.pth")
    with pytest.raises(InvalidRequest, match="std"):
        import_torchvision("squeezenet1_1", weights=tmp_path / "w.pth", std=std)


def test_torchvision_is_left_alone_where_its_operators_are_declared():
    code = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from lookalike.embedding import torchvision_stub
assert torchvision_stub.import_torchvision_package().models.resnet18
assert torchvision_stub._declared == []
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.shared_data
def test_the_given_mobilenet_weights_load(shared_data):
    weights = shared_data / "weights" / "mobilenet_v2-imagenet.pth"
    _, manifest = import_torchvision("mobilenet_v2", weights=weights, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert manifest.dimension == 1280
