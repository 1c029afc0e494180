"""Metric learning: each loss by hand in NumPy, and as one batch on several ranks."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.objectives import Batch, MetricLearning, build_objective

torch.set_num_threads(1)
# Four points on the unit circle, lengths that must not matter, two classes.
ANGLES = np.deg2rad([0.0, 30.0, 100.0, 170.0])
POINTS = np.stack([np.cos(ANGLES), np.sin(ANGLES)], 1) * np.array([[1.0], [2.0], [0.5], [3.0]])
LABELS = [0, 0, 1, 1]


def same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def batch_of(labels: list[int]) -> Batch:
    images = torch.zeros(len(labels), 1, 1, 3, dtype=torch.uint8)
    return Batch(images, torch.tensor(labels), torch.arange(len(labels)), None)


def loss_of(objective: nn.Module, points: np.ndarray, labels: list[int]) -> float:
    """The points go in as images that the network gives back as they are."""
    images = torch.tensor(points, dtype=torch.float32)
    losses = objective(nn.Identity(), images, images, batch_of(labels), same)
    return losses["loss"].item()


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T


def supcon(points: np.ndarray, labels: list[int], temperature: float) -> float:
    logits = cosines(points, points) / temperature
    per_anchor = []
    for i in range(len(labels)):
        others = [j for j in range(len(labels)) if j != i]
        positives = [j for j in others if labels[j] == labels[i]]
        if positives:
            log_sum = np.log(sum(np.exp(logits[i, j]) for j in others))
            per_anchor.append(-np.mean([logits[i, j] - log_sum for j in positives]))
    return float(np.mean(per_anchor))


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("labels", [LABELS, [0, 1, 0, 1], [1, 0, 0, 0], [0, 0, 1, 2]])
def test_supcon_on_four_points(labels: list[int], temperature: float) -> None:
    objective = build_objective(MetricLearning(loss="supcon", temperature=temperature), 2, 3)
    assert loss_of(objective, POINTS, labels) == pytest.approx(supcon(POINTS, labels, temperature), rel=1e-5)


def test_proxy_anchor_by_the_papers_equation() -> None:
    objective = build_objective(MetricLearning(loss="proxy_anchor", margin=0.2, alpha=8), 2, 3)
    proxies = np.array([[1.0, 0.2], [-0.5, 1.0], [-1.0, -1.0]])
    objective.loss.proxies.data = torch.tensor(proxies, dtype=torch.float32)
    cos = cosines(POINTS, proxies)
    is_own = np.array(LABELS)[:, None] == np.arange(3)
    positive = sum(np.log1p(np.exp(-8 * (cos[is_own[:, c], c] - 0.2)).sum()) for c in (0, 1)) / 2  # 2 has no image
    negative = sum(np.log1p(np.exp(8 * (cos[~is_own[:, c], c] + 0.2)).sum()) for c in range(3)) / 3
    assert loss_of(objective, POINTS, LABELS) == pytest.approx(positive + negative, rel=1e-5)


def test_arcface_by_the_papers_equation() -> None:
    objective = build_objective(MetricLearning(loss="arcface", margin_deg=20, scale=4), 2, 2)
    proxies = np.array([[1.0, 0.2], [-0.5, 1.0]])
    objective.loss.W.data = torch.tensor(proxies.T, dtype=torch.float32)
    cos = cosines(POINTS, proxies)
    expected = []
    for i, label in enumerate(LABELS):
        logits = 4 * cos[i]
        logits[label] = 4 * np.cos(np.arccos(cos[i, label]) + np.deg2rad(20))
        expected.append(np.log(np.exp(logits).sum()) - logits[label])
    assert loss_of(objective, POINTS, LABELS) == pytest.approx(np.mean(expected), rel=1e-5)


@pytest.mark.parametrize("loss", ["proxy_anchor", "arcface"])
def test_proxies_are_trained_and_come_from_the_seed(loss: str) -> None:
    def built() -> nn.Module:
        torch.manual_seed(3)
        return build_objective(MetricLearning.model_validate({"loss": loss}), 2, 5)

    first, second = list(built().parameters()), list(built().parameters())
    assert [p.numel() for p in first] == [10]
    assert torch.equal(first[0], second[0])
    objective = built()
    images = torch.tensor(POINTS, dtype=torch.float32)
    objective(nn.Identity(), images, images, batch_of(LABELS), same)["loss"].backward()
    (proxies,) = objective.parameters()
    assert proxies.grad is not None
    assert proxies.grad.abs().sum() > 0


def test_a_network_in_bfloat16_leaves_the_proxies_in_float32() -> None:
    """The library gives its proxies the embeddings' type, and an optimiser would go on with that."""
    objective = build_objective(MetricLearning(loss="proxy_anchor"), 2, 2)
    network = nn.Linear(2, 2)
    images = torch.tensor(POINTS, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        loss = objective(network, images, images, batch_of(LABELS), same)["loss"]
    assert loss.dtype == torch.float32
    assert objective.loss.proxies.dtype == torch.float32


@pytest.mark.parametrize("loss", ["supcon", "proxy_anchor", "arcface"])
def test_an_image_without_a_label_is_an_error(loss: str) -> None:
    objective = build_objective(MetricLearning.model_validate({"loss": loss}), 2, 2)
    with pytest.raises(InvalidRequest, match="1 images of a batch have no label"):
        loss_of(objective, POINTS, [0, -1, 1, 1])
    with pytest.raises(InvalidRequest, match="label 2 is not one of the 2"):
        loss_of(objective, POINTS, [0, 0, 1, 2])


def test_supcon_says_when_there_is_nothing_to_put_together() -> None:
    objective = build_objective(MetricLearning(loss="supcon"), 2, 4)
    with pytest.raises(InvalidRequest, match="per_class"):
        loss_of(objective, POINTS, [0, 1, 2, 3])


def test_one_class_is_not_enough() -> None:
    with pytest.raises(InvalidRequest, match="two classes"):
        build_objective(MetricLearning(), 2, 1)


@pytest.mark.parametrize(
    "values",
    [
        {"loss": "triplet"},
        {"temperature": 0},
        {"temperature": 11},
        {"margin": 1},
        {"alpha": 0},
        {"margin_deg": 90},
        {"margin_deg": -1},
        {"scale": 0},
        {"temprature": 0.1},
    ],
)
def test_constants_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MetricLearning.model_validate(values)
