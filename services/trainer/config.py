"""Everything that a training run is made from, as one validated value.

A recipe (:mod:`services.trainer.recipes`) is a function that returns a :class:`TrainConfig`; ``--set key=value``
changes single values of it. The whole of it stands in the run's folder and in the manifest of the model.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lookalike.embedding.batching import Batching
from lookalike.types.models import NAME_PATTERN, ResizePolicy
from services.trainer.architectures import ArchitectureConfig
from services.trainer.objectives import ObjectiveConfig
from services.trainer.views import ViewConfig

Share = Annotated[float, Field(ge=0, lt=1)]
Side = Annotated[int, Field(ge=32, multiple_of=32)]


class Frozen(BaseModel):
    """A part of the configuration: never changed, and without keys that nobody reads."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Frozen):
    """Which images, in which form.

    ``source`` is a folder, a COCO annotation file or a table, as ``lookalike ingest`` takes them. ``split``:
    ``source`` takes the source's own train/validation split where it has one, ``seeded`` divides each class by
    ``val_share`` in any case. ``max_images`` takes a seeded subset, stratified by class. ``held_out_classes`` is the
    share of classes that nothing is trained or validated on, so that they can be measured afterwards. ``balance``:
    ``none`` shows each image once an epoch;
    ``sampling`` draws every class as often as the others; ``loss`` weighs the classes; ``per_class`` fills batches
    with ``images_per_class`` of each of a few classes, as metric learning wants it.
    """

    source: str = ""
    images_root: Path | None = None
    resize_policy: ResizePolicy = ResizePolicy.LETTERBOX
    max_images: int | None = Field(default=None, ge=2)
    split: Literal["source", "seeded"] = "source"
    val_share: float = Field(default=0.2, gt=0, lt=1)
    held_out_classes: float = Field(default=0.0, ge=0, lt=1)
    balance: Literal["none", "sampling", "loss", "per_class"] = "none"
    images_per_class: int = Field(default=4, ge=2)
    mirrored: bool = False
    crop_area: float = Field(
        default=1.0, gt=0, le=1, description="the least share of an image's area that a crop keeps"
    )


class TeacherConfig(Frozen):
    """A teacher, and the views of the photographs on which its embeddings are learned.

    ``model`` is an archive (``FILE.mar``) or the name of a model in the store. ``map_channels`` is set for a
    teacher that was imported ``--flattened``: its embedding is then read as a map ``[C, H, W]`` with so many
    channels C, and the student learns it place by place. Embeddings are centred, reduced to ``dimension`` by
    principal components of the photographs, and each component divided by its deviation to the power ``whiten``.
    Every photograph is seen in ``views_per_image`` views, one an epoch, then again from the first.

    ``taps`` are steps of the teacher's program for an objective that learns it block by block: then views are drawn
    anew in every step, and the other values are not used.
    """

    model: str = ""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    taps: tuple[str, ...] = ()
    map_channels: int | None = Field(default=None, ge=1)
    dimension: int = Field(default=256, ge=1)
    whiten: float = Field(default=0.5, ge=0, le=1)
    views_per_image: int = Field(default=8, ge=1)
    views: ViewConfig = ViewConfig()


class OptimiserConfig(Frozen):
    """``lr`` is the peak; biases and normalisation layers are never decayed by ``adamw``."""

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = Field(default=0.001, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("betas are at least 0 and below 1")
        return self


class ScheduleConfig(Frozen):
    """``epochs`` passes; a linear ``warmup_steps``, then ``constant``, or ``cosine`` towards 0 at the end. At the share
    ``restart_at`` of the epochs the course ends and begins anew, without warm-up and ``restart_factor`` times as high
    (Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, ICLR 2017).

    ``sides`` are pairs of a share of the epochs and the side of the images from there on, in pixels: images that are
    smaller for a while take much less time (Tan and Le, EfficientNetV2, ICML 2021, section 4). The first begins at
    share 0. For networks that take images of any side. Without, all images are ``input_size``.
    """

    epochs: int = Field(default=50, ge=0)
    warmup_steps: int = Field(default=0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    restart_at: float = Field(default=1.0, ge=0, le=1)
    restart_factor: float = Field(default=1.0, gt=0, le=1)
    sides: tuple[tuple[Share, Side], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        shares = [share for share, _ in self.sides]
        if shares != sorted(set(shares)) or (shares and shares[0] != 0):
            raise ValueError("sides begin at share 0 and go on at ever larger shares")
        return self


class ExportConfig(Frozen):
    """How the archive is made: ``half`` keeps weights as float16; ``projection`` bakes in principal components of
    the training images' embeddings, each divided by its deviation to the power ``whiten``. ``batching`` is how
    TorchServe merges requests for it; without, the one who serves it decides.
    """

    half: bool = False
    projection: int | None = Field(default=None, ge=1)
    whiten: float = Field(default=0.0, ge=0, le=1)
    batching: Batching | None = None
    description: str = ""
    training_data: str = ""
    licence: str = ""


class TrainConfig(Frozen):
    """One training run.

    ``batch_size`` is that of a step over all ranks, computed ``accumulate`` parts after one another. Every random
    choice follows from ``seed`` and the step's number, so a resumed run needs no state of a generator.
    ``precision``: ``auto`` is bfloat16 where processor or GPU multiplies it natively. ``select`` says which epoch is
    the model: the ``best`` by precision@4 of the validation, or the ``last``, for a schedule that ends near 0 and a
    student whose epochs differ by less than that measure's noise.
    """

    recipe: str
    name: str = Field(pattern=NAME_PATTERN)
    input_size: int = Field(default=224, ge=16, le=1024)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    architecture: ArchitectureConfig
    objective: ObjectiveConfig | None
    teacher: TeacherConfig | None = None
    data: DataConfig = DataConfig()
    batch_size: int = Field(default=64, ge=1)
    accumulate: int = Field(default=1, ge=1)
    optimiser: OptimiserConfig = OptimiserConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(default=None, ge=1, description="cores of the CPU; none: all that this process may use")
    seed: int = Field(default=0, ge=0, lt=2**63)
    checkpoint_s: float = Field(
        default=60.0, ge=0, description="seconds between two checkpoints; each epoch ends with one"
    )
    max_val_images: int = Field(default=2000, ge=2)
    select: Literal["best", "last"] = "best"
    export: ExportConfig = ExportConfig()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.data.balance == "loss" and (self.objective is None or self.objective.name != "classification"):
            raise ValueError("data.balance=loss weighs a classifier's loss: objective.name=classification")
        if self.batch_size % self.accumulate:
            raise ValueError("batch_size is a multiple of accumulate")
        if min(self.std) <= 0:
            raise ValueError("std is above 0")
        if self.objective is None and self.schedule.epochs:
            raise ValueError("without an objective there is nothing to train: schedule.epochs is 0")
        if self.schedule.sides:
            if max(side for _, side in self.schedule.sides) > self.input_size:
                raise ValueError("schedule.sides are at most input_size")
            if self.architecture.name not in ("compact", "inverted"):
                raise ValueError("schedule.sides are for compact and inverted, which take images of any side")
        learned = None if self.objective is None else self.objective.name
        if (learned in ("distillation", "blockwise")) != (self.teacher is not None):
            raise ValueError("a teacher goes with objective.name=distillation or blockwise, and they with a teacher")
        if self.teacher is not None and bool(self.teacher.taps) != (learned == "blockwise"):
            raise ValueError("teacher.taps go with objective.name=blockwise")
        draws = self.architecture.name in ("vanilla_ae", "conv_ae")
        if self.objective is not None and self.objective.name == "reconstruction" and not draws:
            raise ValueError("objective.name=reconstruction needs an architecture that draws: vanilla_ae, conv_ae")
        # Only there is the embedding the mean of the map.
        has_map = self.architecture.name == "compact" and self.architecture.pooling == "avg"
        if self.teacher is not None and self.teacher.map_channels is not None and not has_map:
            raise ValueError("teacher.map_channels is for the architecture compact with average pooling")
        if self.teacher is not None and (self.data.mirrored or self.data.crop_area < 1):
            raise ValueError("a distillation draws views (teacher.views), not data.mirrored and data.crop_area")
        return self
