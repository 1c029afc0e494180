"""Networks that somebody else has trained: torchvision's classifiers without their last layer.

Shape suffixes: N images, C channels, H and W height and width, D dimension.
"""

import contextlib
import re
import sys
from pathlib import Path, PurePosixPath
from typing import Literal, Self
from urllib.parse import urlsplit

import torch
from pydantic import model_validator
from torch import nn

from lookalike.embedding.torchvision_import import load_weights, torchvision_features
from lookalike.errors import DependencyUnavailable, InvalidRequest
from services.trainer.architectures.backbone import ArchitectureModel, Backbone
from services.trainer.architectures.pooling import Pooling, pool

# resnext101_32x8d, trained on 940 million public Instagram images with their hashtags as labels and fine-tuned on
# ImageNet (Mahajan et al., Exploring the limits of weakly supervised pretraining, ECCV 2018): the file that torch
# hub's facebookresearch/WSL-Images names. CC BY-NC 4.0: for measuring, not for shipping.
RESNEXT_WSL_URL = "https://download.pytorch.org/models/ig_resnext101_32x8-c38310e5.pth"
# torch hub's convention: the file's name ends in the first digits of its SHA-256.
_HASHED_NAME = re.compile(r"[\w.-]+-([0-9a-f]{8,64})\.(?:pth|pt)")
_SETTING = "--set architecture.weights=FILE"


class Pretrained(ArchitectureModel):
    """A classifier of torchvision up to its last layer.

    The run's ``mean`` and ``std`` have to be those that the weights were trained with: ImageNet's for most.

    Attributes:
        model: its name there, such as ``densenet121`` (1,024 components; 50,176 flattened at 224 x 224) or
            ``resnext101_32x8d`` (2,048).
        pooling: ``avg`` is what the classifier's last layer sees; the others are of the last feature map, which
            not every classifier has.
        weights: a file with the state dict. None: from ``weights_url``, or if that is None too torchvision's own.
        weights_url: an http(s) address of a state dict, whose file name ends in its SHA-256 as torch hub's do. It
            is downloaded once, into torch hub's folder.
    """

    name: Literal["pretrained"] = "pretrained"
    model: str = "densenet121"
    pooling: Pooling = "avg"
    weights: Path | None = None
    weights_url: str | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.weights_url is not None:
            _hash_of(self.weights_url)
        return self


class PretrainedBackbone(Backbone):
    """See :class:`Pretrained`.

    Args:
        with_weights: False leaves random weights, for whoever fills in a checkpoint's next.

    Raises ModelNotFound, InvalidRequest for weights that don't fit, a model without a feature map or an input size
    that it doesn't take, DependencyUnavailable where weights can't be downloaded.
    """

    def __init__(self, config: Pretrained, input_size: int, *, with_weights: bool = True) -> None:
        super().__init__()
        state = _state(config) if with_weights else None
        pooled = config.pooling == "avg"
        features = torchvision_features(config.model, pooled=pooled, state=state, input_size=input_size)
        if config.pooling == "gem":
            features = _with_pool(features, pool("gem"))
        self.features = features
        self.dimension = self._measured_dimension(config.model, input_size)

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.features(x_NCHW)
        return embeddings.flatten(1)

    def _measured_dimension(self, model: str, input_size: int) -> int:
        self.eval()  # batch norms must not learn from the image of zeros
        try:
            with torch.no_grad():
                embeddings: torch.Tensor = self(torch.zeros(1, 3, input_size, input_size))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).partition("\n")[0][:300]
            raise InvalidRequest(
                f"{model} takes no images of {input_size} x {input_size}: {reason}", model=model
            ) from error
        self.train()
        return embeddings.shape[1]


def _with_pool(features: nn.Module, pool_map: nn.Module) -> nn.Module:
    """``features``, which end in a map, with ``pool_map`` after it; a ResNet flattens after its own pooling."""
    if hasattr(features, "avgpool"):
        features.avgpool = pool_map
        return features
    return nn.Sequential(features, pool_map)


def _state(config: Pretrained) -> dict[str, torch.Tensor]:
    if config.weights is not None:
        return load_weights(config.model, config.weights)
    if config.weights_url is not None:
        return load_weights(config.model, _downloaded(config.model, config.weights_url))
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch says there what it downloads; stdout is for JSON lines
            return load_weights(config.model, None)
    except DependencyUnavailable as error:
        url = str(error.details["url"])
        raise _unavailable(config.model, url, error.__cause__ or error) from error


def _downloaded(model: str, url: str) -> Path:
    """The file behind ``url`` in torch hub's folder, fetched if it isn't there and checked against its name."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(urlsplit(url).path).name
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=_hash_of(url), progress=False)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash a RuntimeError
        raise _unavailable(model, url, error) from error
    return path


def _unavailable(model: str, url: str, cause: BaseException) -> DependencyUnavailable:
    return DependencyUnavailable(
        f"the weights of {model} cannot be downloaded ({cause}): fetch {url} elsewhere and pass the file with "
        f"{_SETTING}",
        url=url,
    )


def _hash_of(url: str) -> str:
    """The first digits of the SHA-256 of the file behind ``url``. Raises ValueError for one that doesn't say."""
    parts = urlsplit(url)
    found = _HASHED_NAME.fullmatch(PurePosixPath(parts.path).name)
    if parts.scheme not in ("http", "https") or not parts.netloc or found is None:
        raise ValueError(
            "weights_url is an http(s) address whose file name ends in -SHA256.pth (8 digits of it or more), not "
            f"{url!r:.200}"
        )
    return found.group(1)
