"""Recipes: the study's values, and what may be changed of them and how."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.errors import InvalidRequest
from services.trainer.architectures import RESNEXT_WSL_URL, Inverted
from services.trainer.config import TrainConfig
from services.trainer.objectives import Classification, Distillation, MetricLearning, Reconstruction
from services.trainer.older import renewed
from services.trainer.overrides import with_overrides
from services.trainer.recipes import RECIPES, STUDY, recipe
from services.trainer.run_folder import RunFolder, digest_of

AUTOENCODERS = ("vanilla_ae", "conv_ae", "denoising_ae")
CLASSIFIERS = ("mini_densenet", "resnet18")
TRANSFERRED = ("densenet", "resnext_wsl")


def test_the_studys_seven_and_ours_are_there() -> None:
    assert [made.__name__ for made in STUDY] == [
        "vanilla_ae",
        "conv_ae",
        "denoising_ae",
        "densenet",
        "mini_densenet",
        "resnext_wsl",
        "resnet18",
    ]
    assert list(RECIPES) == [*(made.__name__ for made in STUDY), "metric", "distilled", "house"]


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_valid_and_named(name: str) -> None:
    config = recipe(name)
    assert (config.recipe, config.name) == (name, name)
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize("name", [*AUTOENCODERS, *CLASSIFIERS, *TRANSFERRED])
def test_the_studys_images(name: str) -> None:
    config = recipe(name)
    assert (config.input_size, config.data.resize_policy) == (224, "letterbox")
    assert (config.mean, config.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert config.batch_size == 64
    assert config.schedule.decay == "constant"


@pytest.mark.parametrize("name", AUTOENCODERS)
def test_the_studys_autoencoders(name: str) -> None:
    config = recipe(name)
    assert config.architecture.name == ("vanilla_ae" if name == "vanilla_ae" else "conv_ae")
    assert (config.optimiser.name, config.optimiser.lr, config.schedule.epochs) == ("adam", 0.001, 50)
    assert isinstance(config.objective, Reconstruction)
    assert (config.objective.noise > 0) == (name == "denoising_ae")
    assert config.data.balance == "none"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_studys_classifiers(name: str) -> None:
    config = recipe(name)
    assert config.architecture.name == ("resnet" if name == "resnet18" else name)
    assert isinstance(config.objective, Classification)
    assert config.optimiser.model_dump() == {
        "name": "adam",
        "lr": 0.001,
        "betas": (0.9, 0.999),
        "eps": 1e-5,
        "weight_decay": 0.01,
        "clip_norm": None,
    }
    assert config.schedule.epochs == 25
    assert config.data.balance == "sampling"


@pytest.mark.parametrize(
    ("name", "model", "url"),
    [("densenet", "densenet121", None), ("resnext_wsl", "resnext101_32x8d", RESNEXT_WSL_URL)],
)
def test_the_studys_transferred_networks(name: str, model: str, url: str | None) -> None:
    config = recipe(name)
    assert config.architecture.name == "pretrained"
    assert (config.architecture.model, config.architecture.weights_url) == (model, url)
    assert (config.objective, config.schedule.epochs) == (None, 0)


def test_ours() -> None:
    assert isinstance(recipe("metric").objective, MetricLearning)
    assert recipe("metric").data.balance == "per_class"
    assert isinstance(recipe("distilled").objective, Distillation)
    house = recipe("house")
    assert house.export.half
    assert house.data.held_out_classes == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("overrides", "path", "value"),
    [
        (["schedule.epochs=3"], "schedule.epochs", 3),
        (["optimiser.lr=1e-4"], "optimiser.lr", 1e-4),
        (["optimiser.betas=[0.5, 0.9]"], "optimiser.betas", [0.5, 0.9]),
        (["data.mirrored=true"], "data.mirrored", True),
        (["data.max_images=10", "data.max_images=null"], "data.max_images", None),
        (["name=mine"], "name", "mine"),
        (["data.source=2024=a"], "data.source", "2024=a"),
        (["schedule.epochs=3", "schedule.epochs=4"], "schedule.epochs", 4),
        # Another choice starts from its own defaults, which can be changed in turn.
        (["architecture.name=vanilla_ae"], "architecture.dimension", 128),
        (["architecture.name=vanilla_ae", "architecture.dimension=9"], "architecture.dimension", 9),
        (["architecture.name=conv_ae", "architecture.widths=[3]"], "architecture.widths", [3]),
        (["architecture.widths=[3]", "architecture.name=conv_ae"], "architecture.widths", [3]),  # it is that already
        (
            ["architecture.name=compact", "objective.name=distillation", "teacher.model=x.mar", "teacher.dimension=5"],
            "teacher",
            {"model": "x.mar", "dimension": 5, "whiten": 0.5},
        ),
        (
            ["architecture.name=compact", "objective.name=distillation", "teacher.views.colour=0"],
            "teacher.views",
            {"colour": 0.0, "mosaic_share": 0.2},
        ),
        (
            ["architecture.name=resnet", "objective.name=metric_learning", "objective.loss=arcface"],
            "objective",
            {"loss": "arcface", "scale": 64.0},
        ),
    ],
)
def test_overrides(overrides: list[str], path: str, value: object) -> None:
    found = recipe("conv_ae", overrides).model_dump(mode="json")
    for name in path.split("."):
        found = found[name]
    if isinstance(value, dict):
        found = {name: found[name] for name in value}
    assert found == value


def test_an_untrained_recipe_becomes_a_trained_one() -> None:
    config = recipe("densenet", ["objective.name=classification", "objective.label_smoothing=0.1", "schedule.epochs=2"])
    assert config.objective == Classification(label_smoothing=0.1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["schedule.epoch=3"], "no 'schedule.epoch' in a configuration; did you mean epochs?"),
        (["shedule.epochs=3"], "no 'shedule.epochs' in a configuration; did you mean schedule?"),
        (["architecture.width=[4]"], "no 'architecture.width' in a configuration; did you mean widths?"),
        (["teacher.modle=x"], "no 'teacher.modle' in a configuration; did you mean model?"),
        (["batch_size.x=3"], "no 'batch_size.x' in a configuration"),
        (["data.images_root.x=3"], "no 'data.images_root.x' in a configuration"),
        (["zzz=1"], "there are recipe, name, input_size"),
        (["schedule.epochs"], "takes key=value, not 'schedule.epochs'"),
        (["schedule.epochs=many"], "not valid at schedule.epochs: Input should be a valid integer"),
        (["schedule.epochs=-1"], "not valid at schedule.epochs"),
        (["optimiser.lr=0"], "not valid at optimiser.lr"),
        (["optimiser.lr=NaN"], "not valid at optimiser.lr"),
        (["optimiser.lr=Infinity"], "not valid at optimiser.lr"),
        (["optimiser.betas=[0.9, 1]"], "betas are at least 0 and below 1"),
        (["architecture.widths=[0]"], "not valid at architecture.widths.0"),
        (["architecture.name=convae"], "not valid at architecture: Input tag 'convae'.*'conv_ae'"),
        (["objective.name=none"], "not valid at objective: Input tag 'none'"),
        (["name=../x"], "not valid at name"),
        (["input_size=8"], "not valid at input_size"),
        (["std=[0,1,1]"], "std is above 0"),
        # What contradicts itself.
        (["objective=null"], "without an objective there is nothing to train: schedule.epochs is 0"),
        (["objective.name=distillation"], "a teacher goes with objective.name=distillation"),
        (["teacher.model=x.mar"], "a teacher goes with objective.name=distillation"),
        (["batch_size=9", "accumulate=2"], "batch_size is a multiple of accumulate"),
        (["schedule.sides=[[0,96]]"], "for compact and inverted"),
        (["architecture.name=resnet"], "reconstruction needs an architecture that draws"),
        (["data.balance=loss"], "weighs a classifier's loss"),
    ],
)
def test_what_is_wrong_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        recipe("conv_ae", overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.mirrored=true"], "draws views"),
        (["data.crop_area=0.5"], "draws views"),
        (["teacher=null"], "and they with a teacher"),
        (["schedule.sides=[[0,192]]"], "at most input_size"),
        (["schedule.sides=[[0,50]]"], "multiple of 32"),
        (["schedule.sides=[[0.5,96]]"], "begin at share 0"),
        (["schedule.sides=[[0,96],[0.5,64],[0.5,96]]"], "ever larger shares"),
        (["teacher.views.crop_area=[0.9,0.1]"], "the smaller first"),
        (["teacher.views.mosaic_share=0.9"], "together at most 1"),
        (["architecture.pooling=gem"], "compact with average pooling"),
        (["architecture.name=resnet", "schedule.sides=[]"], "compact with average pooling"),
    ],
)
def test_contradictions_of_a_distillation_are_named(overrides: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        recipe("distilled", overrides)


def test_a_recipe_that_is_not_there() -> None:
    with pytest.raises(InvalidRequest, match="no recipe 'convae': did you mean conv_ae"):
        recipe("convae")
    with pytest.raises(InvalidRequest, match="there are vanilla_ae, conv_ae"):
        recipe("zzz")


_keys = st.lists(
    st.sampled_from(["architecture", "schedule", "teacher", "epochs", "name", "views", "lr", "x"]), max_size=4
)


@given(st.sampled_from(sorted(RECIPES)), _keys, st.one_of(st.text(max_size=8), st.integers().map(str), st.just("null")))
def test_any_override_gives_a_configuration_or_one_error(name: str, keys: list[str], value: str) -> None:
    try:
        config = with_overrides(recipe(name), [f"{'.'.join(keys)}={value}"])
    except InvalidRequest:
        return
    assert TrainConfig.model_validate_json(config.model_dump_json()) == config


def test_the_digest_is_of_what_decides_about_the_weights() -> None:
    config = recipe("conv_ae")
    digest = digest_of(config)
    for same in ("name=mine", "device=cpu", "threads=1", "checkpoint_s=0", "export.half=true", "data.split=source"):
        assert digest_of(with_overrides(config, [same])) == digest
    others = {
        digest_of(with_overrides(config, [other]))
        for other in ("seed=1", "optimiser.lr=0.1", "data.split=seeded", "data.max_images=9", "architecture.widths=[4]")
    }
    assert len({digest, *others}) == 6


def test_how_maps_are_pooled_counts_where_it_decides_about_the_weights() -> None:
    """It has no weights of its own, and blocks learn maps: then it only chooses the epoch, unless that is the last."""
    house = recipe("house", ["architecture.exponent=1"])
    assert digest_of(recipe("house", ["architecture.exponent=3"])) == digest_of(house)
    by_precision = ["select=best", "architecture.exponent=1"]
    assert digest_of(recipe("house", [*by_precision, "architecture.exponent=3"])) != digest_of(
        recipe("house", by_precision)
    )


@pytest.mark.parametrize("name", ["conv_ae", "distilled", "house"])
def test_a_run_from_before_a_choice_was_there_goes_on(name: str) -> None:
    """Its checkpoints have the digest of a configuration without that choice, or with its older name."""
    changes = {
        "conv_ae": [],
        "distilled": ["objective.name=distillation", "teacher.taps=[]"],
        "house": [
            "schedule.sides=[]",
            "schedule.restart_at=1",
            "schedule.restart_factor=1",
            "objective.fixed_from=1",
            "select=best",
        ],
    }
    config = recipe(name, changes[name])
    if name == "house":
        config = config.model_copy(update={"architecture": Inverted()})
    older = config.model_dump(mode="json", exclude={"device", "threads", "checkpoint_s", "export", "name"})
    del older["data"]["split"]
    if name == "distilled":
        del older["teacher"]["taps"]
    older["architecture"].pop("expansions", None)
    older["architecture"].pop("exponent", None)
    older["objective"].pop("fixed_from", None)
    del older["select"]
    for key in ("sides", "restart_at", "restart_factor"):
        del older["schedule"][key]
    older["schedule"] |= {"first_size": 96 if name == "distilled" else None, "drop_at": 1.0, "drop_factor": 1.0}
    assert hashlib.sha256(json.dumps(older, sort_keys=True).encode()).hexdigest() == digest_of(config)
    # And the file that it has is read as the same configuration.
    written = config.model_dump(mode="json")
    written["schedule"] = older["schedule"]
    assert TrainConfig.model_validate(renewed(written)) == config


def test_a_drop_of_the_rate_that_is_no_longer_there_is_not_read_as_another(tmp_path: Path) -> None:
    written = recipe("house").model_dump(mode="json")
    written["schedule"] = {"epochs": 40, "first_size": 128, "drop_at": 0.2, "drop_factor": 0.3}
    (tmp_path / "config.json").write_text(json.dumps(written))
    with pytest.raises(InvalidRequest, match="drop_at"):
        RunFolder(tmp_path).read_config()
