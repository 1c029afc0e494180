"""The study's autoencoders."""

import pytest
import torch
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.architectures import ConvAe, VanillaAe, build


@pytest.fixture(autouse=True)
def _few_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_parameters_of_the_fully_connected_one_by_hand():
    network = build(VanillaAe(hidden_widths=(10,), dimension=4), 8)
    values = 3 * 8 * 8
    assert _num_parameters(network.encoder) == values * 10 + 10 + 10 * 4 + 4
    assert _num_parameters(network.decoder) == 4 * 10 + 10 + 10 * values + values


def test_parameters_of_the_fully_connected_one_at_224():
    with torch.device("meta"):  # 310 MB of weights that nobody needs
        network = build(VanillaAe(), 224)
    assert _num_parameters(network) == 77_418_624


def test_parameters_of_the_convolutional_one_by_hand():
    network = build(ConvAe(widths=(5, 7)), 8)
    assert _num_parameters(network.encoder) == (3 * 5 * 9 + 5) + (5 * 7 * 9 + 7)
    assert _num_parameters(network.decoder) == (7 * 5 * 4 + 5) + (5 * 3 * 4 + 3)


def test_the_convolutional_one_at_224():
    network = build(ConvAe(), 224).eval()
    assert _num_parameters(network) == 161_459
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        assert network(x).shape == (1, 16 * 14 * 14)
        assert network.reconstruct(x).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    "config",
    [VanillaAe(hidden_widths=(16,), dimension=8), VanillaAe(hidden_widths=(), dimension=8)]
    + [ConvAe(widths=(8, 4), pooling=pooling) for pooling in ("flatten", "avg", "gem")],
)
def test_reconstructions_are_pixels_of_the_inputs_shape(config):
    torch.manual_seed(0)
    pixels = build(config, 16).reconstruct(10 * torch.randn(3, 3, 16, 16))
    assert pixels.shape == (3, 3, 16, 16)
    assert pixels.min() >= 0
    assert pixels.max() <= 1


@pytest.mark.parametrize("config", [VanillaAe(hidden_widths=(16,), dimension=8), ConvAe(widths=(8, 4))])
def test_the_decoder_reads_the_embedding_where_it_is_the_code(config):
    network = build(config, 16)
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(network(x), network.encoder.code(x))
    assert torch.equal(network.decoder(network.encoder(x)), network.reconstruct(x))


def test_pooled_embeddings_are_means_of_the_code():
    network = build(ConvAe(widths=(8, 4), pooling="avg"), 16)
    x = torch.randn(2, 3, 16, 16)
    code = network.encoder.code(x)
    assert code.shape == (2, 4 * 4 * 4)
    assert torch.allclose(network(x), code.unflatten(1, (4, 16)).mean(2), atol=1e-6)


def test_a_stage_keeps_the_maximum_of_what_its_convolution_leaves_above_zero():
    network = build(ConvAe(widths=(1,)), 2)
    convolution = network.encoder.stages[0]
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[0, 0, 1, 1] = 1  # the red value of each pixel, and one less
        convolution.bias.fill_(-1)
    x = torch.zeros(2, 3, 2, 2)
    x[0, 0] = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert network(x).tolist() == [[5.0], [0.0]]


@pytest.mark.parametrize(("input_size", "nearest"), [(30, "28 or 32"), (33, "32 or 36"), (2, "as 4,")])
def test_input_sizes_that_cannot_be_halved_are_refused(input_size, nearest):
    with pytest.raises(InvalidRequest, match=nearest):
        build(ConvAe(widths=(8, 4)), input_size)


@pytest.mark.parametrize("config", [VanillaAe(hidden_widths=(64,), dimension=16), ConvAe(widths=(16, 8))])
def test_they_learn_to_tell_images_apart(config):
    """Within 20 steps on pictures of two halves: better than the best that draws the same for all of them."""
    torch.manual_seed(0)
    network = build(config, 32)
    pixels = torch.rand(16, 3, 1, 2).repeat_interleave(16, dim=3).expand(16, 3, 32, 32)
    optimiser = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _ in range(20):
        loss = nn.functional.mse_loss(network.reconstruct(4 * pixels - 2), pixels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert losses[-1] < pixels.var(0, unbiased=False).mean()
