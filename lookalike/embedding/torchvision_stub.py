"""Makes ``import torchvision`` work beside a torch for which its C++ operators were not built.

A CPU torch with torchvision's CUDA build, for instance: the extension can't load, and torchvision then fails
on import because it registers Python parts of two operators that nobody declared. All of its models and
transforms work without them; only detection needs them.
"""

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from lookalike.errors import MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

_OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # an operator lives as long as the library that declared it


@cache
def import_torchvision_package() -> ModuleType:
    """The package ``torchvision``, with the missing operators declared where its extension can't load.

    Does nothing but import where it can, and where it is imported already. Raises MissingExtra.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise MissingExtra("torchvision", "torch")
    if not _extension_loads(Path(spec.origin).parent):
        library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in _OPERATORS:
            library.define(operator)  # type: ignore[no-untyped-call]
        _declared.append(library)
    return importlib.import_module("torchvision")


def _extension_loads(package: Path) -> bool:
    """Whether torchvision's operators are there, loading them if they can be."""
    if hasattr(torch.ops.torchvision, "nms"):
        return True
    for extension in sorted((*package.glob("_C*.so"), *package.glob("_C*.pyd"))):
        try:
            torch.ops.load_library(str(extension))  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return hasattr(torch.ops.torchvision, "nms")
    return False
