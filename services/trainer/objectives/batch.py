"""What an objective is given and what it gives: the part of a training that says what is to be learned."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from lookalike.errors import InvalidRequest


@dataclass(frozen=True)
class Batch:
    """Images of one step: uint8 ``[N, S, S, 3]``, the int64 class of each (-1 without one), their rows in the
    training data, and a teacher's embeddings or maps where there is one.
    """

    images_NHWC: torch.Tensor
    labels_N: torch.Tensor
    rows_N: torch.Tensor
    targets: torch.Tensor | None


class Objective(nn.Module):
    """A loss, with the parameters that only training needs (a classifier's head, proxies): they are trained and kept
    in checkpoints, and no archive holds them. ``progress`` is how much of the run is done, from 0 to 1, set before
    every step. ``rank`` of ``num_ranks`` computes with equal shares of the batch, in order of ranks: what is drawn at
    random is drawn for the whole batch, from torch's global generator, which is in the same state on all of them.
    """

    progress: float = 0.0
    rank: int = 0
    num_ranks: int = 1

    def forward(
        self,
        network: nn.Module,
        images_NCHW: torch.Tensor,
        pixels_NCHW: torch.Tensor,
        batch: Batch,
        gather: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """``loss``, a scalar with gradients, and any parts of it, detached, by name.

        ``images_NCHW`` is float32 as the network takes it, ``pixels_NCHW`` the same in [0, 1]. The loss is a mean
        over the batch, so that the mean of equal parts' losses is the whole's. A loss of pairs is no such mean: it
        calls ``gather``, which puts together every rank's tensors (equal in shape) along the first axis. Its gradient
        is then the sum over ranks, so that averaging the gradients of all ranks gives that of one rank with the whole.
        Raises InvalidRequest for a batch that lacks what the objective needs.
        """
        raise NotImplementedError


def check_labelled(labels_N: torch.Tensor, num_classes: int) -> None:
    """Raises InvalidRequest unless every label is one of 0 to ``num_classes`` - 1."""
    low, high = (int(value) for value in labels_N.aminmax())
    if low < 0:
        raise InvalidRequest(
            f"{int((labels_N < 0).sum())} images of a batch have no label, and this objective needs one"
        )
    if high >= num_classes:
        raise InvalidRequest(f"label {high} is not one of the {num_classes} classes of the objective")
