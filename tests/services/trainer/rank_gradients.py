"""Run by ``torchrun`` in the test of two ranks: how far their gradients are from those of one with all images."""

import copy
import json
import sys
from pathlib import Path

import torch
from torch import distributed, nn

from services.trainer.architectures import Compact, Inverted, MiniDensenet, Resnet, build
from services.trainer.shared_norm import share_statistics

NETWORKS = {
    "resnet18": Resnet(),
    "mini_densenet": MiniDensenet(stem_width=8, growth_rate=8, dimension=16),
    "compact": Compact(widths=(8, 16), depths=(1, 1), zero_init=False),
    "inverted": Inverted(),
}
SIDE, NUM_IMAGES = 64, 6


def gradients(network: nn.Module, images_NCHW: torch.Tensor, weights_NK: torch.Tensor) -> list[torch.Tensor]:
    """Of the mean over the images of a weighted sum of the embedding."""
    embeddings_ND = network(images_NCHW)
    (embeddings_ND * weights_NK[:, :1]).sum(1).square().mean().backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]


def difference(network: nn.Module, images_NCHW: torch.Tensor, weights_NK: torch.Tensor, *, shared: bool) -> float:
    """The largest of a parameter's, as a share of its gradient."""
    torch.distributed.barrier()
    whole, mine = copy.deepcopy(network), copy.deepcopy(network)
    if shared:
        share_statistics(mine)
    rank, share = distributed.get_rank(), NUM_IMAGES // distributed.get_world_size()
    rows = slice(rank * share, (rank + 1) * share)
    found = gradients(mine, images_NCHW[rows], weights_NK[rows])
    largest = 0.0
    for gradient, wanted in zip(found, gradients(whole, images_NCHW, weights_NK), strict=True):
        distributed.all_reduce(gradient)
        mean = gradient / distributed.get_world_size()
        if wanted.norm() > 1e-9:
            largest = max(largest, float((mean - wanted).norm() / wanted.norm()))
    return largest


def main() -> None:
    distributed.init_process_group("gloo")
    torch.set_num_threads(1)
    found = {}
    for name, config in NETWORKS.items():
        torch.manual_seed(0)
        network = build(config, SIDE).double().train()
        images_NCHW = torch.rand(NUM_IMAGES, 3, SIDE, SIDE, dtype=torch.float64)
        weights_NK = torch.randn(NUM_IMAGES, 1, dtype=torch.float64)
        found[name] = {
            "together": difference(network, images_NCHW, weights_NK, shared=True),
            "apart": difference(network, images_NCHW, weights_NK, shared=False),
        }
    if distributed.get_rank() == 0:
        Path(sys.argv[1]).write_text(json.dumps(found), encoding="utf-8")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
