"""Two ranks with half of a batch each: the same loss and the same gradients as one rank with all of it.

The ranks are threads that meet where they gather, as processes do; what is averaged over them are the gradients.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch
from torch import nn

from services.trainer.architectures import Autoencoder, ConvAe, build
from services.trainer.objectives import (
    Batch,
    Classification,
    MetricLearning,
    Objective,
    Reconstruction,
    build_objective,
)

torch.set_num_threads(1)
LABELS = [0, 0, 1, 1, 2, 2, 0, 1]
CONFIGS = [
    Reconstruction(),
    Classification(label_smoothing=0.1),
    MetricLearning(loss="supcon"),
    MetricLearning(loss="proxy_anchor"),
    MetricLearning(loss="arcface", scale=8),
]
Gather = Callable[[torch.Tensor], torch.Tensor]


def identity(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


class Meeting:
    """What each rank brings, in order of ranks, and for each as many gradients as the others have use for."""

    def __init__(self, world_size: int) -> None:
        self._brought: list[torch.Tensor] = [torch.empty(0)] * world_size
        self._barrier = Barrier(world_size, timeout=20)

    def gather(self, rank: int) -> Gather:
        def gathered(tensor: torch.Tensor) -> torch.Tensor:
            self._brought[rank] = tensor
            self._barrier.wait()
            together = torch.cat(self._brought)
            self._barrier.wait()
            return together

        return gathered


def model(config: object) -> tuple[nn.Module, Objective]:
    torch.manual_seed(0)
    network: nn.Module
    if isinstance(config, Reconstruction):
        network = build(ConvAe(widths=(4, 4)), 8)
        assert isinstance(network, Autoencoder)
        dimension = network.dimension
    else:
        network, dimension = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5)), 5
    weights = torch.tensor([0.5, 1.0, 2.0]) if isinstance(config, Classification) else None
    return network, build_objective(config, dimension, 3, class_weights_C=weights)  # type: ignore[arg-type]


def drawn_batch() -> tuple[torch.Tensor, Batch]:
    images = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), np.uint8)
    batch = Batch(torch.from_numpy(images), torch.tensor(LABELS), torch.arange(8), None)
    return batch.images_NHWC.permute(0, 3, 1, 2).float() / 255, batch


def part(pixels: torch.Tensor, batch: Batch, rows: slice) -> tuple[torch.Tensor, Batch]:
    return pixels[rows], Batch(batch.images_NHWC[rows], batch.labels_N[rows], batch.rows_N[rows], None)


def gradients(network: nn.Module, objective: Objective, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, [*network.parameters(), *objective.parameters()]))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_two_ranks_are_one(config: object) -> None:
    pixels, batch = drawn_batch()
    network, objective = model(config)
    whole = objective(network, pixels * 2 - 1, pixels, batch, identity)["loss"]

    meeting = Meeting(2)

    def rank_loss(rank: int) -> torch.Tensor:
        mine, my_batch = part(pixels, batch, slice(4 * rank, 4 * rank + 4))
        loss: torch.Tensor = objective(network, mine * 2 - 1, mine, my_batch, meeting.gather(rank))["loss"]
        return loss

    with ThreadPoolExecutor(2) as pool:
        losses = list(pool.map(rank_loss, range(2)))
    mean = torch.stack(losses).mean()
    assert mean.item() == pytest.approx(whole.item(), rel=1e-6)
    expected = gradients(network, objective, whole)
    assert any(gradient.abs().sum() > 0 for gradient in expected)
    for found, wanted in zip(gradients(network, objective, mean), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("config", CONFIGS[2:], ids=str)
def test_pairs_across_ranks_count(config: object) -> None:
    """Halves on their own give another loss: what makes ranks agree is that they gather."""
    pixels, batch = drawn_batch()
    network, objective = model(config)
    whole = objective(network, pixels, pixels, batch, identity)["loss"]
    halves = [objective(network, *(2 * [part(pixels, batch, rows)[0]]), part(pixels, batch, rows)[1], identity)["loss"]
              for rows in (slice(0, 4), slice(4, 8))]  # fmt: skip
    separately = torch.stack(halves).mean().item()
    if config.loss == "arcface":  # type: ignore[attr-defined]  # a mean over images, which needs no gathering
        assert separately == pytest.approx(whole.item(), rel=1e-5)
    else:
        assert abs(separately - whole.item()) > 1e-3
