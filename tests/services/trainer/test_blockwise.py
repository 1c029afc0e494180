"""A student is taught block by block: each part of it learns the teacher's part, and nothing is copied."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lookalike.embedding.archive import write_archive
from lookalike.embedding.export import export_program
from lookalike.embedding.taps import Taps
from lookalike.embedding.torch_local import TorchEmbedder
from lookalike.embedding.torchvision_import import torchvision_features
from lookalike.errors import InvalidRequest
from lookalike.types.models import ModelManifest, ResizePolicy
from services.trainer.architectures import Compact, Inverted, build
from services.trainer.architectures.inverted import InvertedBackbone
from services.trainer.objectives import Batch, Blockwise, BlockwiseObjective
from services.trainer.objectives.blockwise import relative_error
from services.trainer.recipes import mobilenet_v2_blocks

SIDE = 64
HALF = (0.5, 0.5, 0.5)


def smooth(num_images: int, seed: int) -> torch.Tensor:
    """uint8 ``[N, 64, 64, 3]``: coarse colours, enlarged."""
    coarse = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (num_images, 3, 6, 6))).float()
    large = nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bicubic", align_corners=False)
    return large.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def normalised(images_NHWC: torch.Tensor) -> torch.Tensor:
    return images_NHWC.permute(0, 3, 1, 2) / 127.5 - 1


@pytest.fixture(scope="module")
def teacher_network() -> nn.Module:
    """MobileNetV2 with random weights, its norms set by images: no layer of it is dead."""
    torch.manual_seed(7)
    network = torchvision_features("mobilenet_v2")
    network.train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        network(normalised(smooth(32, 5)))
    return network.eval()


@pytest.fixture(scope="module")
def taps(teacher_network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Taps]:
    path: Path = tmp_path_factory.mktemp("teacher") / "teacher.mar"
    program, dimension = export_program(teacher_network, SIDE, mean=HALF, std=HALF)
    manifest = ModelManifest(
        name="teacher", dimension=dimension, input_size=SIDE, resize_policy=ResizePolicy.SQUASH, digest=""
    )
    write_archive(path, program, manifest)
    embedder = TorchEmbedder(path, precision="float32", device="cpu", threads=1)
    yield embedder.taps(mobilenet_v2_blocks())
    embedder.close()


def student() -> InvertedBackbone:
    torch.manual_seed(0)
    network = build(Inverted(), SIDE)
    assert isinstance(network, InvertedBackbone)
    return network


def loss_of(objective: BlockwiseObjective, network: nn.Module, images_NHWC: torch.Tensor) -> dict[str, torch.Tensor]:
    rows_N = torch.arange(len(images_NHWC))
    batch = Batch(images_NHWC, rows_N, rows_N, None)
    images_NCHW = normalised(images_NHWC)
    made: dict[str, torch.Tensor] = objective(network, images_NCHW, images_NCHW, batch, lambda tensor: tensor)
    return made


def test_the_recipe_s_steps_are_the_ends_of_the_teacher_s_blocks(taps: Taps, teacher_network: nn.Module) -> None:
    images_NHWC = smooth(2, 1)
    value = normalised(images_NHWC)
    targets = taps(images_NHWC)
    assert len(targets) == 19
    with torch.no_grad():
        for block, target in zip(teacher_network.features, targets, strict=True):  # type: ignore[arg-type]
            value = block(value)
            torch.testing.assert_close(target, value, atol=1e-4, rtol=1e-3)


def test_a_student_with_the_teacher_s_weights_has_no_error_and_any_other_has(
    taps: Taps, teacher_network: nn.Module
) -> None:
    network = student()
    objective = BlockwiseObjective(Blockwise(), network, taps, 19)
    assert float(loss_of(objective, network, smooth(4, 2))["loss"].detach()) > 0.5
    network.blocks.load_state_dict(teacher_network.features.state_dict())  # type: ignore[union-attr]
    network.eval()  # so that its norms use the teacher's statistics, not the batch's
    for progress in (0.0, 1.0):
        objective.progress = progress
        assert float(loss_of(objective, network, smooth(4, 2))["loss"].detach()) < 1e-6


def test_training_brings_every_block_nearer_to_the_teacher_s(taps: Taps) -> None:
    network = student().train()
    objective = BlockwiseObjective(Blockwise(joint_from=0.7), network, taps, 19)
    objective.match_statistics(network, smooth(16, 3), normalised(smooth(16, 3)))
    optimiser = torch.optim.Adam(network.parameters(), lr=0.003)
    losses = []
    for step in range(24):
        objective.progress = step / 24
        made = loss_of(objective, network, smooth(8, 100 + step))
        optimiser.zero_grad()
        made["loss"].backward()
        optimiser.step()
        losses.append(float(made["loss"].detach()))
    assert np.mean(losses[12:16]) < 0.7 * losses[0]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_block_s_gradient_is_that_of_its_own_error_alone(taps: Taps) -> None:
    network = student()
    images_NHWC = smooth(4, 4)
    targets = taps(images_NHWC)
    relative_error(network.blocks[5](targets[4]), targets[5]).div(19).backward()
    expected = network.blocks[5].conv[0][0].weight.grad.clone()
    network.zero_grad()
    loss_of(BlockwiseObjective(Blockwise(), network, taps, 19), network, images_NHWC)["loss"].backward()
    torch.testing.assert_close(network.blocks[5].conv[0][0].weight.grad, expected, atol=1e-7, rtol=1e-4)


def test_from_joint_from_on_a_block_is_taught_what_those_after_it_do_wrong(taps: Taps) -> None:
    network = student()
    images_NHWC = smooth(4, 4)
    value, errors = normalised(images_NHWC), []
    for block, target in zip(network.blocks, taps(images_NHWC), strict=True):
        value = block(value)
        errors.append(relative_error(value, target))
    torch.stack(errors).mean().backward()
    expected = network.blocks[5].conv[0][0].weight.grad.clone()
    network.zero_grad()
    objective = BlockwiseObjective(Blockwise(joint_from=0.2), network, taps, 19)
    objective.progress = 0.2
    loss_of(objective, network, images_NHWC)["loss"].backward()
    torch.testing.assert_close(network.blocks[5].conv[0][0].weight.grad, expected, atol=1e-6, rtol=1e-3)


def test_matching_gives_each_block_the_teacher_s_means_and_deviations(taps: Taps) -> None:
    network = student().train()
    objective = BlockwiseObjective(Blockwise(), network, taps, 19)
    images_NHWC = smooth(24, 6)
    objective.match_statistics(network, images_NHWC, normalised(images_NHWC))
    targets = taps(images_NHWC)
    with torch.no_grad():
        made = network.blocks[1](targets[0])
    torch.testing.assert_close(made.mean((0, 2, 3)), targets[1].mean((0, 2, 3)), atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(made.std((0, 2, 3)), targets[1].std((0, 2, 3)), atol=1e-3, rtol=2e-2)


def test_the_relative_error_by_hand() -> None:
    target = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(4, 1, 1, 1)  # mean 3, variance 5
    assert float(relative_error(target, target)) == 0
    assert float(relative_error(torch.full_like(target, 3), target)) == pytest.approx(1)
    assert float(relative_error(target + 1, target)) == pytest.approx(1 / 5)


def test_large_maps_are_taught_on_fewer_images(taps: Taps) -> None:
    network = student()
    seen: dict[int, int] = {}
    for number, block in enumerate(network.blocks):
        block.register_forward_pre_hook(lambda _, given, number=number: seen.__setitem__(number, len(given[0])))
    objective = BlockwiseObjective(Blockwise(places=8 * 8 * 8, min_images=2), network, taps, 19)
    loss_of(objective, network, smooth(12, 8))
    assert (seen[0], seen[4], seen[18]) == (2, 8, 12)  # maps of 32 x 32, 8 x 8 and 2 x 2
    objective.progress = 1.0
    loss_of(objective, network, smooth(12, 8))
    assert set(seen.values()) == {12}


def test_from_fixed_from_on_the_statistics_stay_and_are_used(taps: Taps) -> None:
    network = student().train()
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    objective = BlockwiseObjective(Blockwise(joint_from=0.2, fixed_from=0.5), network, taps, 19)
    objective.progress = 0.4
    loss_of(objective, network, smooth(4, 9))
    gathered = [norm.running_mean.clone() for norm in norms]
    objective.progress = 0.5
    network.train()  # as the loop does at the beginning of an epoch
    together = loss_of(objective, network, smooth(4, 9))
    together["loss"].backward()
    for norm, before in zip(norms, gathered, strict=True):
        torch.testing.assert_close(norm.running_mean, before, atol=0, rtol=0)
        assert norm.weight.grad is not None  # they are still learned
    network.eval()
    torch.testing.assert_close(loss_of(objective, network, smooth(4, 9))["loss"], together["loss"])


def test_only_a_network_with_as_many_blocks_as_steps_is_taught(taps: Taps) -> None:
    with pytest.raises(InvalidRequest, match=r"19 blocks, teacher\.taps 18"):
        BlockwiseObjective(Blockwise(), student(), taps, 18)
    with pytest.raises(InvalidRequest, match="architecture inverted"):
        BlockwiseObjective(Blockwise(), build(Compact(widths=(8, 8), depths=(1, 1)), SIDE), taps, 19)


def test_a_student_may_be_wider_inside_and_has_the_same_maps(taps: Taps) -> None:
    torch.manual_seed(0)
    wider = build(Inverted(expansions=(1, 6, 6, 6, 8, 11, 12)), SIDE)
    assert isinstance(wider, InvertedBackbone)
    sizes = [sum(parameter.numel() for parameter in network.parameters()) for network in (student(), wider)]
    assert sizes[0] == 2_223_872  # MobileNetV2 without its classifier
    inside = [block.conv[0][0].out_channels // block.conv[0][0].in_channels for block in list(wider.blocks)[2:18]]
    assert inside == [6] * 9 + [8] * 3 + [11] * 3 + [12]
    with torch.no_grad():
        value = normalised(smooth(2, 1))
        for block, target in zip(wider.blocks, taps(smooth(2, 1)), strict=True):
            value = block(value)
            assert value.shape == target.shape
    BlockwiseObjective(Blockwise(), wider, taps, 19)  # is taught like any other


def test_the_last_map_is_averaged_or_pooled_nearer_to_its_maximum(taps: Taps) -> None:
    networks = []
    for exponent in (1.0, 2.0):
        torch.manual_seed(0)
        networks.append(build(Inverted(exponent=exponent), SIDE).eval())
    averaged, pooled = networks
    assert isinstance(averaged, InvertedBackbone)
    assert list(pooled.state_dict()) == list(averaged.state_dict())  # a checkpoint of one is one of the other
    images_NCHW = normalised(smooth(3, 1))
    with torch.no_grad():
        map_NCHW = averaged.blocks(images_NCHW).double()
        torch.testing.assert_close(averaged(images_NCHW).double(), map_NCHW.mean((2, 3)), atol=1e-6, rtol=1e-5)
        squares_NC = map_NCHW.square().mean((2, 3)).sqrt()
        torch.testing.assert_close(pooled(images_NCHW).double(), squares_NC, atol=2e-6, rtol=1e-4)
    assert (squares_NC > map_NCHW.mean((2, 3)) * 1.01).any()
