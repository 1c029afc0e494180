"""Model archives from torchvision's classifiers: the features before their last layer."""

import pickle
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lookalike.embedding.archive import digest_of
from lookalike.embedding.export import IMAGENET_MEAN, IMAGENET_STD, export_program
from lookalike.embedding.torchvision_stub import import_torchvision_package
from lookalike.errors import DependencyUnavailable, InvalidRequest, MissingExtra, ModelNotFound
from lookalike.types.models import ModelManifest, ResizePolicy

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

_HEADS = ("fc", "classifier", "heads", "head")
# Their published weights were trained with these constants; torchvision converts inside the model.
_HALF = (0.5, 0.5, 0.5)
_TRAINED_ON_HALF = ("googlenet", "inception_v3")
# Keys of the DenseNet checkpoints of 2017 that torchvision still publishes.
_OLD_DENSENET_KEY = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")


def import_torchvision(
    name: str,
    *,
    weights: Path | None,
    pooled: bool = True,
    resize_policy: ResizePolicy = ResizePolicy.LETTERBOX,
    input_size: int = 224,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> tuple[bytes, ModelManifest]:
    """The program and manifest of torchvision's classifier ``name`` without its last layer.

    Args:
        name: as torchvision calls it: ``resnet18``, ``densenet121``, ``mobilenet_v2``, …
        weights: a state dict (``torch.save`` or safetensors) with exactly the model's tensors, or None for
            torchvision's own, downloaded.
        pooled: the input of the last layer; otherwise the last feature map, flattened, as ``NAME-flat``.
        resize_policy, input_size: how images are prepared for it.
        mean, std: of ``(x / 255 - mean) / std``, per channel R, G, B; None for those of torchvision's weights
            (ImageNet's for most). ``x / 127.5 - 1`` is 0.5 and 0.5.

    Raises ModelNotFound, InvalidRequest for weights that don't fit or a model without a feature map to
    flatten, DependencyUnavailable where weights can't be downloaded.
    """
    features = torchvision_features(name, pooled=pooled, state=load_weights(name, weights), input_size=input_size)
    default_mean, default_std = _normalisation(name)
    mean, std = tuple(mean or default_mean), tuple(std or default_std)
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise InvalidRequest(f"mean and std have one number per channel, std above 0, not {mean} and {std}")
    try:
        program, dimension = export_program(features, input_size, mean=mean, std=std)
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).partition("\n")[0][:300]
        raise InvalidRequest(f"{name} cannot be exported at input size {input_size}: {reason}", model=name) from error
    manifest = ModelManifest(
        name=name if pooled else f"{name}-flat",
        dimension=dimension,
        input_size=input_size,
        resize_policy=resize_policy,
        digest=digest_of(program),
        description=f"torchvision's {name}, {'pooled' if pooled else 'flattened'} features before its last layer",
        recipe={
            "source": f"torchvision:{name}",
            "weights": "torchvision's default" if weights is None else weights.name,
            "pooled": pooled,
            "mean": list(mean),
            "std": list(std),
        },
        training_data="ImageNet-1k" if weights is None else "",
    )
    return program, manifest


def torchvision_features(
    name: str, *, pooled: bool = True, state: dict[str, torch.Tensor] | None = None, input_size: int = 224
) -> nn.Module:
    """The classifier ``name`` up to its last layer: ``[N, 3, S, S]`` -> ``[N, …]``; random weights without ``state``.

    Raises as import_torchvision.
    """
    models = _models(name)
    arguments: dict[str, Any] = {"weights": None}
    if name.startswith("vit_"):
        arguments["image_size"] = input_size
    if name in _TRAINED_ON_HALF:
        arguments["init_weights"] = False
    try:
        model: nn.Module = models.get_model(name, **arguments)
    except ValueError as error:
        raise InvalidRequest(f"{name} takes no images of {input_size} x {input_size}: {error}", model=name) from error
    if state is not None:
        state = {_OLD_DENSENET_KEY.sub(r"\1\2.", key): tensor for key, tensor in state.items()}
        try:
            model.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise InvalidRequest(f"the weights are not those of {name}: {str(error)[:400]}", model=name) from error
    return (_without_last_layer if pooled else _feature_map)(model, name)


def _without_last_layer(model: nn.Module, name: str) -> nn.Module:
    head_name = next(head for head in _HEADS if hasattr(model, head))
    head = getattr(model, head_name)
    if name.startswith("squeezenet"):  # classifies by a convolution before it pools
        head = nn.AdaptiveAvgPool2d(1)
    elif isinstance(head, nn.Linear):
        head = nn.Identity()
    else:
        last = max(index for index, layer in enumerate(head) if isinstance(layer, nn.Linear))
        head = head[:last]
    setattr(model, head_name, head)
    return model


def _feature_map(model: nn.Module, name: str) -> nn.Module:
    features = getattr(model, "features", None)
    if name.startswith("densenet") and isinstance(features, nn.Module):
        return nn.Sequential(features, nn.ReLU())
    if hasattr(model, "avgpool") and hasattr(model, "fc"):
        model.avgpool, model.fc = nn.Identity(), nn.Identity()
        return model
    if hasattr(model, "avgpool") and hasattr(model, "head"):  # Swin normalises after its features
        model.avgpool, model.head = nn.Identity(), nn.Identity()
        return model
    if isinstance(features, nn.Module):
        return features
    raise InvalidRequest(f"{name} has no feature map before its pooling; import it pooled", model=name)


def load_weights(name: str, weights: Path | None) -> dict[str, torch.Tensor]:
    """The state dict in the file ``weights``, or with None torchvision's own of the classifier ``name``, downloaded.

    Raises ModelNotFound, InvalidRequest for a file that holds anything but tensors, DependencyUnavailable where
    nothing can be downloaded.
    """
    if weights is None:
        return _downloaded(name)
    if not weights.is_file():
        raise InvalidRequest(f"no weights at {str(weights)!r}", path=str(weights))
    state = _read_safetensors(weights) if weights.suffix == ".safetensors" else _read_torch(weights)
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise InvalidRequest(f"{weights.name} is no state dict: tensors by name", path=weights.name)
    return state


def _read_torch(weights: Path) -> Any:  # whatever the file holds
    try:
        return torch.load(weights, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidRequest(
            f"{weights.name} holds more than tensors, or is damaged: save it with torch.save(model.state_dict(), …) "
            "or as safetensors",
            path=weights.name,
        ) from error


def _read_safetensors(weights: Path) -> dict[str, torch.Tensor]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra("safetensors", "torch") from error
    try:
        return load_file(weights)
    except (SafetensorError, OSError) as error:
        raise InvalidRequest(f"{weights.name} is not a safetensors file: {error}", path=weights.name) from error


def _downloaded(name: str) -> dict[str, torch.Tensor]:
    published = _models(name).get_model_weights(name).DEFAULT
    try:
        state: dict[str, torch.Tensor] = published.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash a RuntimeError
        raise DependencyUnavailable(
            f"the weights of {name} cannot be downloaded ({error}): fetch {published.url} elsewhere and pass its path "
            "with --weights FILE",
            url=published.url,
        ) from error
    return state


def _normalisation(name: str) -> tuple[Sequence[float], Sequence[float]]:
    if name in _TRAINED_ON_HALF:
        return _HALF, _HALF
    transforms = _models(name).get_model_weights(name).DEFAULT.transforms()
    return getattr(transforms, "mean", IMAGENET_MEAN), getattr(transforms, "std", IMAGENET_STD)


def _models(name: str) -> Any:  # torchvision.models, which has no type hints
    models = import_torchvision_package().models
    known = models.list_models(module=models)
    if name not in known:
        raise ModelNotFound(f"torchvision has no classifier {name!r:.100}; it has {', '.join(known)}", known=known)
    return models
