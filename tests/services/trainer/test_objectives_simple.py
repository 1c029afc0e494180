"""Reconstruction and classification: hand-computed losses, noise, and what is refused."""

import math

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from lookalike.errors import InvalidRequest
from services.trainer.architectures import Autoencoder, Encoder
from services.trainer.objectives import (
    Batch,
    Classification,
    Distillation,
    MetricLearning,
    ObjectiveConfig,
    Reconstruction,
    build_objective,
    needs_labels,
)

torch.set_num_threads(1)


def same(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


def batch_of(labels: list[int]) -> Batch:
    images = torch.zeros(len(labels), 1, 1, 3, dtype=torch.uint8)
    return Batch(images, torch.tensor(labels), torch.arange(len(labels)), None)


class Copying(Encoder):
    """The code is the input, so that what is drawn is what the network was given."""

    def code(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return x_NCHW.flatten(1)


def copying() -> Autoencoder:
    return Autoencoder(Copying(), nn.Identity())


def test_reconstruction_is_the_mean_of_squared_errors() -> None:
    drawn = torch.tensor([0.5, 0.0, 1.0, 0.25]).view(2, 2, 1, 1)
    wanted = torch.tensor([0.5, 1.0, 0.5, 0.25]).view(2, 2, 1, 1)
    losses = build_objective(Reconstruction(), 2, 0)(copying(), drawn, wanted, batch_of([-1, -1]), same)
    assert losses["loss"].item() == pytest.approx((0 + 1 + 0.25 + 0) / 4)


def test_noise_takes_its_share_of_the_input_and_leaves_the_target() -> None:
    """Of ones, a share of ``noise`` is drawn as zero, and each of them is an error of 1."""
    ones = torch.ones(4, 3, 64, 64)
    objective = build_objective(Reconstruction(noise=0.3), 2, 0)
    torch.manual_seed(0)
    first = float(objective(copying(), ones, ones, batch_of([0] * 4), same)["loss"])
    assert first == pytest.approx(0.3, abs=0.01)  # 49,152 draws: 4.8 standard deviations
    second = float(objective(copying(), ones, ones, batch_of([0] * 4), same)["loss"])
    torch.manual_seed(0)
    again = float(objective(copying(), ones, ones, batch_of([0] * 4), same)["loss"])
    assert first == again != second
    assert float(objective.eval()(copying(), ones, ones, batch_of([0] * 4), same)["loss"]) == 0
    assert torch.equal(ones, torch.ones(4, 3, 64, 64))


def test_reconstruction_needs_a_decoder() -> None:
    pixels = torch.zeros(1, 3, 2, 2)
    with pytest.raises(InvalidRequest, match="decoder"):
        build_objective(Reconstruction(), 12, 0)(nn.Flatten(), pixels, pixels, batch_of([0]), same)


def classifier(config: Classification, weights: list[float] | None = None) -> nn.Module:
    """Logits are the embedding itself."""
    objective = build_objective(config, 2, 2, class_weights_C=None if weights is None else torch.tensor(weights))
    objective.head.weight.data = torch.eye(2)
    return objective


LOGITS = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]])  # probabilities 3/4, 1/4; 1/2, 1/2


def test_cross_entropy_on_two_by_two() -> None:
    losses = classifier(Classification())(nn.Identity(), LOGITS, LOGITS, batch_of([0, 1]), same)
    assert losses["loss"].item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    assert float(losses["accuracy"]) == 0.5  # of the second both are alike, and the first class is said
    assert not losses["accuracy"].requires_grad


def test_class_weights_multiply_and_the_number_of_images_divides() -> None:
    losses = classifier(Classification(), [0.5, 3.0])(nn.Identity(), LOGITS, LOGITS, batch_of([0, 1]), same)
    assert losses["loss"].item() == pytest.approx((0.5 * math.log(4 / 3) + 3 * math.log(2)) / 2)


def test_label_smoothing_shares_out_the_target() -> None:
    losses = classifier(Classification(label_smoothing=0.2))(nn.Identity(), LOGITS, LOGITS, batch_of([0, 1]), same)
    first = 0.9 * math.log(4 / 3) + 0.1 * math.log(4)
    assert losses["loss"].item() == pytest.approx((first + math.log(2)) / 2)


def test_class_weights_are_part_of_what_a_checkpoint_holds() -> None:
    assert set(classifier(Classification(), [1, 1]).state_dict()) == {"head.weight", "head.bias", "class_weights_C"}
    assert set(classifier(Classification()).state_dict()) == {"head.weight", "head.bias"}


def test_the_head_comes_from_the_seed() -> None:
    def built() -> nn.Module:
        torch.manual_seed(1)
        return build_objective(Classification(), 7, 3)

    first = built()
    assert torch.equal(first.head.weight, built().head.weight)
    assert first.head.weight.shape == (3, 7)
    assert first.head.weight.abs().max().item() <= math.sqrt(6 / 10)  # Glorot and Bengio 2010, equation 16
    assert not first.head.bias.any()


def test_an_image_without_a_label_is_an_error() -> None:
    with pytest.raises(InvalidRequest, match="1 images of a batch have no label"):
        classifier(Classification())(nn.Identity(), LOGITS, LOGITS, batch_of([0, -1]), same)
    with pytest.raises(InvalidRequest, match="label 2 is not one of the 2"):
        classifier(Classification())(nn.Identity(), LOGITS, LOGITS, batch_of([0, 2]), same)


def test_what_cannot_be_built_says_why() -> None:
    with pytest.raises(InvalidRequest, match="two classes"):
        build_objective(Classification(), 4, 1)
    with pytest.raises(InvalidRequest, match="class weights for 3"):
        build_objective(Classification(), 4, 3, class_weights_C=torch.ones(2))
    with pytest.raises(InvalidRequest, match="objective is metric_learning"):
        build_objective(MetricLearning(), 4, 3, class_weights_C=torch.ones(3))
    with pytest.raises(InvalidRequest, match="teacher"):
        build_objective(Distillation(), 4, 3)


def test_a_configuration_is_told_by_its_name_and_survives_json() -> None:
    adapter: TypeAdapter[ObjectiveConfig] = TypeAdapter(ObjectiveConfig)
    for config in (
        Reconstruction(noise=0.3),
        Classification(label_smoothing=0.1),
        MetricLearning(loss="arcface"),
        Distillation(),
    ):
        assert adapter.validate_json(adapter.dump_json(config)) == config
    for wrong in (
        {"name": "reconstruction", "noise": 1.0},
        {"name": "classification", "label_smoothing": -0.1},
        {"name": "classification", "noise": 0.1},
        {"name": "nothing"},
    ):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_which_objectives_need_labels() -> None:
    needing = [config.name for config in (Reconstruction(), Classification(), MetricLearning(), Distillation())
               if needs_labels(config)]  # fmt: skip
    assert needing == ["classification", "metric_learning"]
