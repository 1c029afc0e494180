"""Validation is retrieval: the held-out images search for each other, leave-one-out, by cosine.

Shape suffixes: N images, S side of the network's input, D dimension.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lookalike.embedding.export import EmbeddingProgram
from lookalike.evaluation.labels import LabelArrays, Level
from lookalike.evaluation.relevance import Relevance
from lookalike.evaluation.scoring import standard
from lookalike.types.images import Labels
from services.trainer.architectures import Autoencoder

K = 4
MAP_K = 100
# Photographs that nothing tells apart: the mean cosine of two of them. ReLU codes are all positive and reach 0.9.
COLLAPSED = 0.995
_BATCH = 64


@dataclass(frozen=True)
class Validation:
    """uint8 ``[N, S, S, 3]`` prepared for the network, and the labels of each."""

    images_NSSC: NDArray[np.uint8]
    labels: Sequence[Labels]


def embedding_part(network: nn.Module) -> nn.Module:
    """The part of a network that embeds: an autoencoder's encoder, any other network itself."""
    return network.encoder if isinstance(network, Autoencoder) else network


def embed(
    network: nn.Module,
    images_NSSC: NDArray[np.uint8],
    *,
    mean: Sequence[float],
    std: Sequence[float],
    device: torch.device,
    bfloat16: bool = False,
) -> NDArray[np.float32]:
    """float32 ``[N, D]`` of length 1, computed as the archive's program will; the network's mode is left as it was."""
    program = EmbeddingProgram(embedding_part(network), mean, std).to(device)
    was_training = network.training
    network.eval()
    parts = []
    try:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            for start in range(0, len(images_NSSC), _BATCH):
                batch = torch.from_numpy(np.array(images_NSSC[start : start + _BATCH])).to(device)
                parts.append(program(batch).float().cpu().numpy())
    finally:
        network.train(was_training)
    return np.concatenate(parts)


def retrieval_metrics(embeddings_ND: NDArray[np.float32], labels: Sequence[Labels]) -> dict[str, float]:
    """precision@4 and mAP@100 per level of labels, by protocol standard, and ``mean_cosine`` of two images.

    Levels without labels are left out. Ties go to the earlier image.
    """
    arrays = LabelArrays.from_labels(labels)
    num_images = len(embeddings_ND)
    k = min(MAP_K, num_images - 1)
    cosines_NN = embeddings_ND @ embeddings_ND.T
    np.fill_diagonal(cosines_NN, -np.inf)
    hits_NK = np.argsort(-cosines_NN, axis=1, kind="stable")[:, :k].astype(np.int64)
    rows = np.arange(num_images)
    metrics = {}
    for level in Level:
        at = arrays.at(level)
        if not at.names:
            continue
        for name, depth in ((f"precision@{K}", min(K, k)), (f"mAP@{MAP_K}", k)):
            scores = standard(at, Relevance.SINGLE_LABEL, rows, hits_NK, None, depth)
            values = scores.values_QM[:, scores.names.index(f"{name.partition('@')[0]}@{depth}")]
            metrics[f"{level.value} {name}"] = float(values.mean()) if values.size else 0.0
    sum_D = embeddings_ND.astype(np.float64).sum(axis=0)
    metrics["mean_cosine"] = float((sum_D @ sum_D - num_images) / (num_images * (num_images - 1)))
    return metrics


def has_collapsed(metrics: dict[str, float]) -> bool:
    """Whether the embeddings of all images are alike, so that no search can tell them apart."""
    return metrics["mean_cosine"] > COLLAPSED
