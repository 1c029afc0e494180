"""From maps to vectors: the average, the generalised mean, the whole map."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.trainer.architectures.pooling import GeM, pool, pooled_dimension


def test_gem_by_hand():
    # (1^3 + 2^3 + 3^3 + 4^3) / 4 = 25, and its cube root.
    found = GeM()(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]]))
    assert found.shape == (1, 1)
    assert found.item() == pytest.approx(25 ** (1 / 3), rel=1e-6)


@given(seed=st.integers(0, 10**6))
def test_gem_is_the_average_at_p_1_and_grows_to_the_maximum(seed):
    x = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)) + 0.01
    means = [GeM(p)(x) for p in (1.0, 3.0, 10.0, 1000.0)]
    assert torch.allclose(means[0], x.mean((2, 3)), rtol=1e-5)
    for lower, higher in pairwise(means):
        assert (higher >= lower * (1 - 1e-5)).all()
    # With 20 places, at least the maximum / 20^(1/1000).
    assert torch.allclose(means[-1], x.amax((2, 3)), rtol=3.1e-3)


def test_gem_has_the_gradient_of_its_formula():
    torch.manual_seed(0)
    x = (torch.rand(2, 3, 4, 4, dtype=torch.float32) + 0.1).requires_grad_()
    gem = GeM(3.0)
    weights = torch.randn(2, 3)
    (gem(x) * weights).sum().backward()
    x_again, p = x.detach().clone().requires_grad_(), torch.tensor([3.0], requires_grad=True)
    (x_again.pow(p).mean((2, 3)).pow(1 / p) * weights).sum().backward()
    assert torch.allclose(x.grad, x_again.grad, atol=1e-6)
    assert torch.allclose(gem.p.grad, p.grad, atol=1e-6)


@pytest.mark.parametrize("p", [1.0, 3.0, 8.0, 100.0])
def test_gem_of_a_dead_channel_is_eps_with_a_finite_gradient(p):
    x = torch.zeros(1, 2, 3, 3)
    x[0, 1] = 2
    x.requires_grad_()
    gem = GeM(p)
    found = gem(x)
    found.sum().backward()
    assert found[0].tolist() == pytest.approx([1e-6, 2.0], rel=1e-4)
    assert torch.isfinite(x.grad).all()
    assert torch.isfinite(gem.p.grad).all()


def test_gem_computes_in_float32_whatever_the_map_is():
    x = torch.rand(1, 2, 3, 3).to(torch.bfloat16)
    assert GeM()(x).dtype == torch.float32


def test_a_fixed_exponent_is_kept_but_not_trained():
    gem = pool("gem", learnable=False)
    assert list(gem.parameters()) == []
    assert gem.state_dict()["p"].tolist() == [3.0]
    assert [name for name, _ in pool("gem").named_parameters()] == ["p"]


@pytest.mark.parametrize("wrong", [{"p": 0.0}, {"p": -1.0}, {"eps": 0.0}])
def test_exponents_and_bounds_are_above_zero(wrong):
    with pytest.raises(ValueError, match="above 0"):
        GeM(**wrong)


@pytest.mark.parametrize(("name", "dimension"), [("avg", 3), ("gem", 3), ("flatten", 48)])
def test_pooled_dimensions(name, dimension):
    assert pooled_dimension(name, 3, 4) == dimension
    assert pool(name)(torch.rand(2, 3, 4, 4)).shape == (2, dimension)


def test_the_average_and_the_flattened_map_by_hand():
    x = torch.arange(8.0).reshape(1, 2, 2, 2)
    assert pool("avg")(x).tolist() == [[1.5, 5.5]]
    assert pool("flatten")(x).tolist() == [list(range(8))]
