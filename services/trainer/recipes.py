"""Recipes: functions that return a complete configuration. The study's seven, and ours.

A recipe's values are changed one by one with ``--set key=value`` (:func:`with_overrides`); the result is validated
as a whole, so a recipe can't be brought into a state that nobody meant.
"""

import difflib
from collections.abc import Callable, Iterable

from lookalike.errors import InvalidRequest
from lookalike.types.models import ResizePolicy
from services.trainer.architectures import (
    RESNEXT_WSL_URL,
    Compact,
    ConvAe,
    Inverted,
    MiniDensenet,
    Pretrained,
    Resnet,
    VanillaAe,
)
from services.trainer.config import (
    DataConfig,
    ExportConfig,
    OptimiserConfig,
    ScheduleConfig,
    TeacherConfig,
    TrainConfig,
)
from services.trainer.objectives import (
    Blockwise,
    Classification,
    Distillation,
    MetricLearning,
    Reconstruction,
)
from services.trainer.overrides import with_overrides

_STUDY_ADAM = OptimiserConfig(name="adam", lr=0.001, betas=(0.9, 0.999), eps=1e-5, weight_decay=0.01)
_STUDY_CLASSES = DataConfig(balance="sampling", mirrored=True)
_HALF = (0.5, 0.5, 0.5)  # x / 127.5 - 1, as the pretrained MobileNetV2 takes images
_MOBILENET_V2_REPEATS = (1, 2, 3, 4, 3, 3, 1)  # Sandler et al., table 2, column n
_NONE = ScheduleConfig(epochs=0)


def vanilla_ae() -> TrainConfig:
    """The study's fully connected autoencoder: squared error of pixels."""
    return TrainConfig(
        recipe="vanilla_ae",
        name="vanilla_ae",
        architecture=VanillaAe(),
        objective=Reconstruction(),
        schedule=ScheduleConfig(epochs=50),
    )


def conv_ae() -> TrainConfig:
    """The study's convolutional autoencoder."""
    return TrainConfig(
        recipe="conv_ae",
        name="conv_ae",
        architecture=ConvAe(),
        objective=Reconstruction(),
        schedule=ScheduleConfig(epochs=50),
    )


def denoising_ae() -> TrainConfig:
    """``conv_ae`` whose inputs are set to zero at random, and which draws the clean image."""
    return TrainConfig(
        recipe="denoising_ae",
        name="denoising_ae",
        architecture=ConvAe(),
        objective=Reconstruction(noise=0.3),
        schedule=ScheduleConfig(epochs=50),
    )


def densenet() -> TrainConfig:
    """DenseNet-121 with ImageNet weights, its last layer removed: pooled, or flattened by architecture.pooling."""
    return TrainConfig(
        recipe="densenet",
        name="densenet",
        architecture=Pretrained(model="densenet121"),
        objective=None,
        schedule=_NONE,
        export=ExportConfig(
            description="torchvision's DenseNet-121 without its last layer", training_data="ImageNet-1k"
        ),
    )


def mini_densenet() -> TrainConfig:
    """The study's small DenseNet, trained from scratch as a classifier."""
    return TrainConfig(
        recipe="mini_densenet",
        name="mini_densenet",
        architecture=MiniDensenet(),
        objective=Classification(),
        data=_STUDY_CLASSES,
        optimiser=_STUDY_ADAM,
        schedule=ScheduleConfig(epochs=25),
    )


def resnext_wsl() -> TrainConfig:
    """ResNeXt-101 32x8d, trained weakly supervised on Instagram images."""
    return TrainConfig(
        recipe="resnext_wsl",
        name="resnext_wsl",
        architecture=Pretrained(model="resnext101_32x8d", weights_url=RESNEXT_WSL_URL),
        objective=None,
        schedule=_NONE,
        export=ExportConfig(
            description="ResNeXt-101 32x8d WSL without its last layer",
            training_data="940 million public Instagram images with hashtags",
            licence="CC BY-NC 4.0",
        ),
    )


def resnet18() -> TrainConfig:
    """ResNet-18 from scratch, Xavier-uniform, as a classifier."""
    return TrainConfig(
        recipe="resnet18",
        name="resnet18",
        architecture=Resnet(),
        objective=Classification(),
        data=_STUDY_CLASSES,
        optimiser=_STUDY_ADAM,
        schedule=ScheduleConfig(epochs=25),
    )


def metric() -> TrainConfig:
    """Beyond the study: a small network with GeM pooling by supervised contrastive learning, classes in balance."""
    return TrainConfig(
        recipe="metric",
        name="metric",
        input_size=160,
        architecture=Compact(widths=(48, 96, 192, 256), pooling="gem", dimension=256),
        objective=MetricLearning(loss="supcon"),
        data=DataConfig(
            resize_policy=ResizePolicy.SQUASH, balance="per_class", images_per_class=4, mirrored=True, crop_area=0.4
        ),
        batch_size=128,
        optimiser=OptimiserConfig(name="adamw", lr=0.002, weight_decay=0.05, clip_norm=5.0),
        schedule=ScheduleConfig(epochs=60, warmup_steps=100, decay="cosine"),
    )


def distilled() -> TrainConfig:
    """A small network that learns, on views of photographs, the embeddings and maps of a teacher, end to end."""
    return TrainConfig(
        recipe="distilled",
        name="distilled",
        input_size=160,
        mean=_HALF,
        std=_HALF,
        architecture=Compact(widths=(48, 96, 192, 256), dimension=256),
        objective=Distillation(map_weight=0.5),
        teacher=TeacherConfig(
            model="mobilenet_v2-flat", precision="bfloat16", map_channels=1280, dimension=256, views_per_image=12
        ),
        data=DataConfig(resize_policy=ResizePolicy.SQUASH, val_share=0.1),
        batch_size=128,
        optimiser=OptimiserConfig(name="adamw", lr=0.002, weight_decay=0.05, clip_norm=5.0),
        schedule=ScheduleConfig(
            epochs=140, warmup_steps=200, decay="cosine", sides=((0, 96), (1 / 3, 128), (2 / 3, 160))
        ),
        export=ExportConfig(half=True),
    )


def house() -> TrainConfig:
    """The house model: MobileNetV2's network from scratch, taught by the pretrained one."""
    return TrainConfig(
        recipe="house",
        name="house",
        mean=_HALF,
        std=_HALF,
        architecture=Inverted(expansions=(1, 6, 6, 6, 8, 11, 12), exponent=2.0),
        objective=Blockwise(fixed_from=43 / 70, joint_from=52 / 70, places=4704, min_images=3),
        teacher=TeacherConfig(model="mobilenet_v2", precision="bfloat16", taps=mobilenet_v2_blocks()),
        data=DataConfig(resize_policy=ResizePolicy.SQUASH, held_out_classes=1 / 3, val_share=0.1),
        batch_size=64,
        optimiser=OptimiserConfig(name="adam", lr=0.02, betas=(0.9, 0.99)),
        schedule=ScheduleConfig(
            epochs=70,
            warmup_steps=100,
            decay="cosine",
            restart_at=0.8,
            restart_factor=0.075,
            sides=((0, 224), (52 / 70, 160), (62 / 70, 192), (66 / 70, 224)),
        ),
        max_val_images=500,
        select="last",
        export=ExportConfig(
            half=True,
            projection=256,
            whiten=0.0,
            description="Lookalike's own small embedder: MobileNetV2's network, trained from scratch block by block",
            training_data="two thirds of the classes of Caltech-101 (CC BY 4.0), without labels; "
            "teacher: MobileNetV2, ImageNet (Apache-2.0)",
            licence="MIT AND Apache-2.0",  # the last layer is near the teacher's: the model card
        ),
    )


def mobilenet_v2_blocks() -> tuple[str, ...]:
    """The last step of each of the 19 blocks of torchvision's MobileNetV2, as its imported archive calls them.

    A block with a shortcut ends in an addition (``add`` itself is the normalisation of the image), another in a batch
    norm; the first and the last block in a ReLU6.
    """
    names, num_convolutions, num_additions = ["hardtanh_"], 1, 0
    for number, repeats in enumerate(_MOBILENET_V2_REPEATS):
        for repeat in range(repeats):
            num_convolutions += 2 if number == 0 else 3
            num_additions += repeat > 0
            names.append(f"add_{num_additions}" if repeat else f"batch_norm_{num_convolutions - 1}")
    return (*names, f"hardtanh__{2 * sum(_MOBILENET_V2_REPEATS)}")


STUDY: tuple[Callable[[], TrainConfig], ...] = (
    vanilla_ae,
    conv_ae,
    denoising_ae,
    densenet,
    mini_densenet,
    resnext_wsl,
    resnet18,
)
RECIPES: dict[str, Callable[[], TrainConfig]] = {made.__name__: made for made in (*STUDY, metric, distilled, house)}


def recipe(name: str, overrides: Iterable[str] = ()) -> TrainConfig:
    """The configuration of recipe ``name`` with ``key=value`` overrides. Raises InvalidRequest."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InvalidRequest(f"no recipe {name!r:.50}: {hint}there are {', '.join(RECIPES)}", recipe=name)
    return with_overrides(RECIPES[name](), overrides)
