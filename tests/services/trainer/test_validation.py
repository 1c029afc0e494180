"""Validation by retrieval: hand-computed, equal to the pipeline's own evaluation, and collapse by its name."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from toy_runs import use_store

from lookalike.bootstrap import wire
from lookalike.cli import run
from lookalike.galleries.folder import FolderSource
from lookalike.images.prepare import prepare
from lookalike.settings import load
from lookalike.types.images import Labels
from services.trainer.architectures import ConvAe, build
from services.trainer.store import open_teacher
from services.trainer.validation import COLLAPSED, embed, has_collapsed, retrieval_metrics

torch.set_num_threads(1)
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
CPU = torch.device("cpu")


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.deg2rad(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], 1).astype(np.float32)


def labelled(names: str) -> list[Labels]:
    """One subcategory a letter; ``-`` has none."""
    return [Labels.single(None if name == "-" else name) for name in names]


def test_five_images_by_hand() -> None:
    """Neighbours in order, those of the query's class in capitals; R of them there are.

    0 (a): 1 2 3 4 -> b A b b   precision 1/4, AP 1/2 / 1
    1 (b): 0 2 3 4 -> a a B B   precision 2/4, AP (1/3 + 2/4) / 2
    2 (a): 1 0 3 4 -> b A b b   precision 1/4, AP 1/2 / 1
    3 (b): 2 4 1 0 -> a B B a   precision 2/4, AP (1/2 + 2/3) / 2
    4 (b): 3 2 1 0 -> B a B a   precision 2/4, AP (1 + 2/3) / 2
    """
    degrees = (0, 10, 30, 65, 105)
    metrics = retrieval_metrics(at_angles(*degrees), labelled("ababb"))
    cosines = [math.cos(math.radians(b - a)) for a, b in combinations(degrees, 2)]
    assert metrics == {
        "subcategory precision@4": pytest.approx((1 / 4 + 2 / 4 + 1 / 4 + 2 / 4 + 2 / 4) / 5),
        "subcategory mAP@100": pytest.approx((1 / 2 + 5 / 12 + 1 / 2 + 7 / 12 + 5 / 6) / 5),
        "mean_cosine": pytest.approx(np.mean(cosines), abs=1e-6),
    }


def test_each_level_counts_its_own_labels() -> None:
    """Neighbours of equal subcategory are none; of supercategory, every second."""
    labels = [Labels.single(f"s{row}", "ab"[row % 2]) for row in range(4)]
    metrics = retrieval_metrics(at_angles(0, 10, 30, 60), labels)
    assert metrics["subcategory precision@4"] == 0  # no query has anything to find
    # With three neighbours precision is of three: each query has one of its supercategory.
    assert metrics["supercategory precision@4"] == pytest.approx(1 / 3)
    assert "supercategory mAP@100" in metrics


def test_ties_go_to_the_earlier_image() -> None:
    same = np.tile(at_angles(40), (3, 1))
    metrics = retrieval_metrics(same, labelled("aba"))
    # 0: 1 2 -> b A; 2: 0 1 -> A b; 1 (b) has nothing to find.
    assert metrics["subcategory mAP@100"] == pytest.approx((1 / 2 + 1) / 2)


def test_images_without_a_label_are_found_but_do_not_ask() -> None:
    metrics = retrieval_metrics(at_angles(0, 10, 30), labelled("a-a"))
    # 0: 1 2 -> - A; 2: 1 0 -> - A.
    assert metrics["subcategory mAP@100"] == pytest.approx(1 / 2)
    assert retrieval_metrics(at_angles(0, 10, 30), labelled("---")).keys() == {"mean_cosine"}


def test_two_images_are_enough() -> None:
    metrics = retrieval_metrics(at_angles(0, 60), labelled("aa"))
    assert metrics["subcategory precision@4"] == 1  # the one neighbour that there is
    assert metrics["mean_cosine"] == pytest.approx(0.5)


def test_it_measures_what_the_pipeline_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gallery of colours that say little of their folder, evaluated by ``lookalike evaluate`` in every level."""
    rng = np.random.default_rng(0)
    for number in range(24):
        folder = tmp_path / "pictures" / f"super{number % 2}" / f"class{number % 6}"
        folder.mkdir(parents=True, exist_ok=True)
        colour = rng.integers(0, 256, 3) * 0.7 + 20 * (number % 6)
        noise = rng.normal(0, 20, (40, 40, 3)) + colour
        Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    use_store(monkeypatch, tmp_path)
    monkeypatch.setenv("LOOKALIKE_EMBEDDER__DEFAULT_MODEL", "color_edges")
    for command in (
        ["ingest", "g", "pictures"],
        ["models", "import", "baseline:color_edges"],
        ["embed", "g"],
        ["build", "g", "-b", "exact"],
        ["promote", "g"],
    ):
        assert run(command) == 0
    found = {}
    for k in ("4", "23"):
        capsys.readouterr()
        assert run(["evaluate", "g", "-b", "exact", "-k", k, "--json"]) == 0
        for result in json.loads(capsys.readouterr().out)["results"]:
            if result["relevance"] == "single-label":
                for name, value in result["metrics"].items():
                    found[f"{result['level']} {name}"] = value["mean"]

    workspace = wire(load())
    embedder = open_teacher(workspace, "color_edges", "auto")
    source = FolderSource(tmp_path / "pictures")
    images = list(source.images())
    size = embedder.manifest.input_size
    prepared = [
        prepare(source.read(image), size=size, policy=embedder.manifest.resize_policy, limits=workspace.limits)
        for image in images
    ]
    metrics = retrieval_metrics(embedder.embed(np.stack(prepared)), [image.labels for image in images])
    embedder.close()
    workspace.close()
    for level in ("subcategory", "supercategory"):
        assert metrics[f"{level} precision@4"] == pytest.approx(found[f"{level} precision@4"], abs=1e-9)
        assert metrics[f"{level} mAP@100"] == pytest.approx(found[f"{level} mAP@23"], abs=1e-9)
    assert 0 < metrics["subcategory precision@4"] < 0.9


@given(st.integers(2, 12), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_mean_cosine_is_that_of_all_pairs(num_images: int, dimension: int, seed: int) -> None:
    embeddings = np.random.default_rng(seed).normal(size=(num_images, dimension)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    pairs = [float(a.astype(np.float64) @ b) for a, b in combinations(embeddings, 2)]
    metrics = retrieval_metrics(embeddings, labelled("-" * num_images))
    assert metrics["mean_cosine"] == pytest.approx(np.mean(pairs), abs=1e-5)


class Constant(nn.Module):
    """The same features whatever the image; ``scale`` 0 is a network whose every ReLU has died."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.scale * torch.ones(len(x_NCHW), 6)


@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_a_network_that_says_the_same_of_all_images_has_collapsed(scale: float) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    embeddings = embed(Constant(scale), images, mean=MEAN, std=STD, device=CPU)
    metrics = retrieval_metrics(embeddings, labelled("aabbb"))
    assert metrics["mean_cosine"] == pytest.approx(1, abs=1e-5)
    assert has_collapsed(metrics)
    assert not has_collapsed({"mean_cosine": COLLAPSED})
    assert not has_collapsed(retrieval_metrics(at_angles(0, 20, 40), labelled("aab")))


def test_embed_gives_the_encoders_directions_and_keeps_the_mode() -> None:
    torch.manual_seed(0)
    network = build(ConvAe(widths=(4, 4)), 16)
    images = np.random.default_rng(0).integers(0, 256, (70, 16, 16, 3), np.uint8)  # more than one batch
    found = embed(network, images, mean=MEAN, std=STD, device=CPU)
    assert network.training
    pixels = (torch.from_numpy(images).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    with torch.no_grad():
        codes = network(pixels.permute(0, 3, 1, 2)).double()
    np.testing.assert_allclose(found, nn.functional.normalize(codes).numpy(), atol=2e-5)
    assert found.dtype == np.float32
