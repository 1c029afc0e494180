"""Batch normalisation of one rank is torch's own; over several it is tested in ``test_ranks.py``."""

import pytest
import torch
from torch import distributed, nn

from services.trainer.shared_norm import SharedBatchNorm2d, share_statistics


def pair(momentum: float | None, *, affine: bool = True) -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """torch's, and one that shares, with the same weights."""
    own, shared = (nn.Sequential(nn.BatchNorm2d(5, momentum=momentum, affine=affine)) for _ in range(2))
    if affine:
        with torch.no_grad():
            own[0].weight.copy_(torch.linspace(-1, 2, 5))
            own[0].bias.copy_(torch.linspace(1, -2, 5))
    shared.load_state_dict(own.state_dict())
    share_statistics(shared)
    assert type(shared[0]) is SharedBatchNorm2d
    return own[0], shared[0]  # type: ignore[return-value]


@pytest.fixture
def group_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ranks with the same images: the sums over both are twice those of one, and so are the gradients."""
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr("services.trainer.shared_norm.all_reduce", lambda tensor: tensor * 2)


@pytest.mark.usefixtures("group_of_two")
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_twice_the_same_images_are_normalised_as_torch_does(momentum: float | None, affine: bool) -> None:
    own, shared = pair(momentum, affine=affine)
    torch.manual_seed(0)
    for _ in range(3):
        x = torch.randn(4, 5, 3, 2) * 3 + 100
        first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
        wanted = own(torch.cat((first, first)))[:4]
        found = shared(second)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        weights = torch.randn(4, 5, 3, 2)
        (wanted_grad,) = torch.autograd.grad((wanted * weights).sum() * 2, first)
        (found_grad,) = torch.autograd.grad((found * weights).sum() * 2, second)
        assert wanted_grad.abs().max() > 0.01
        torch.testing.assert_close(found_grad, wanted_grad, rtol=1e-2, atol=1e-3)
    for name, buffer in own.named_buffers():
        torch.testing.assert_close(dict(shared.named_buffers())[name], buffer, rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("group_of_two")
def test_in_evaluation_no_rank_waits_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    own, shared = pair(0.1)
    monkeypatch.setattr("services.trainer.shared_norm.all_reduce", lambda tensor: pytest.fail("a rank waited"))
    x = torch.randn(2, 5, 3, 3)
    assert torch.equal(shared.eval()(x), own.eval()(x))


def test_alone_it_is_torchs_own_bit_for_bit() -> None:
    own, shared = pair(0.1)
    x = torch.randn(4, 5, 3, 3)
    assert torch.equal(shared(x), own(x))
    assert torch.equal(shared.running_var, own.running_var)


@pytest.mark.usefixtures("group_of_two")
def test_half_precision_is_normalised_in_float32() -> None:
    _, shared = pair(0.1)
    x = torch.randn(64, 5, 8, 8) * 0.1 + 50
    found = shared(x.bfloat16())
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), shared(x.bfloat16().float()), rtol=1e-2, atol=1e-2)


def test_other_modules_and_their_names_stay() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm1d(4)))
    before = list(network.state_dict())
    share_statistics(network)
    assert [type(module).__name__ for module in network.modules()][1:] == [
        "Conv2d",
        "SharedBatchNorm2d",
        "Sequential",
        "BatchNorm1d",
    ]
    assert list(network.state_dict()) == before
