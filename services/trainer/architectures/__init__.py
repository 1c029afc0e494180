"""The networks that can be trained: a frozen configuration of each, told apart by ``name``, and ``build``."""

from typing import Annotated

from pydantic import Field

from services.trainer.architectures.autoencoders import ConvAe, VanillaAe, conv_autoencoder, vanilla_autoencoder
from services.trainer.architectures.backbone import Autoencoder, Backbone, Encoder
from services.trainer.architectures.compact import Compact, CompactBackbone
from services.trainer.architectures.inverted import Inverted, InvertedBackbone
from services.trainer.architectures.mini_densenet import MiniDensenet, MiniDensenetBackbone
from services.trainer.architectures.pooling import GeM, Pooling, pool
from services.trainer.architectures.pretrained import RESNEXT_WSL_URL, Pretrained, PretrainedBackbone
from services.trainer.architectures.resnet import Resnet, ResnetBackbone

__all__ = [
    "RESNEXT_WSL_URL",
    "ArchitectureConfig",
    "Autoencoder",
    "Backbone",
    "Compact",
    "CompactBackbone",
    "ConvAe",
    "Encoder",
    "GeM",
    "Inverted",
    "InvertedBackbone",
    "MiniDensenet",
    "MiniDensenetBackbone",
    "Pooling",
    "Pretrained",
    "PretrainedBackbone",
    "Resnet",
    "ResnetBackbone",
    "VanillaAe",
    "build",
    "pool",
]

ArchitectureConfig = Annotated[
    VanillaAe | ConvAe | MiniDensenet | Resnet | Compact | Inverted | Pretrained, Field(discriminator="name")
]


def build(config: ArchitectureConfig, input_size: int, *, with_weights: bool = True) -> Backbone | Autoencoder:
    """The network of this configuration for images of ``input_size`` x ``input_size``, in training mode.

    Weights are drawn from torch's global generator, which the caller seeds: same seed, same weights.

    Args:
        with_weights: whether ``pretrained`` loads (and downloads) its weights; not needed by who loads a checkpoint
            of the same architecture afterwards.

    Raises InvalidRequest for an input size that the architecture doesn't take; for ``pretrained`` see there.
    """
    match config:
        case VanillaAe():
            return vanilla_autoencoder(config, input_size)
        case ConvAe():
            return conv_autoencoder(config, input_size)
        case MiniDensenet():
            return MiniDensenetBackbone(config, input_size)
        case Resnet():
            return ResnetBackbone(config, input_size)
        case Compact():
            return CompactBackbone(config, input_size)
        case Inverted():
            return InvertedBackbone(config)
        case Pretrained():
            return PretrainedBackbone(config, input_size, with_weights=with_weights)
