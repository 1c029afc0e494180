"""From a torch module to the program of a model archive.

Shape suffixes: N images, H and W their height and width, C channels, D dimension.
"""

import io
from collections.abc import Sequence

from lookalike.embedding.program import canonical_program
from lookalike.errors import MissingExtra

try:
    import torch
    from torch import nn
except ImportError as error:
    raise MissingExtra("torch", "torch") from error

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# Below this length float32 features have no direction worth the name.
_MIN_LENGTH = 1e-12


class EmbeddingProgram(nn.Module):
    """``features`` with what an embedder needs around it.

    uint8 ``[N, S, S, 3]`` RGB -> ``(x / 255 - mean) / std`` as float32 ``[N, 3, S, S]``, channels last ->
    ``features`` -> flattened -> float32 ``[N, D]`` of length 1. Features that are all zero become the vector
    with every component ``1 / sqrt(D)``: a direction like any other, so that no NaN reaches an index.
    """

    scale_C: torch.Tensor
    shift_C: torch.Tensor

    def __init__(self, features: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("scale_C", 1 / (255 * torch.tensor(std, dtype=torch.float32)))
        self.register_buffer("shift_C", -torch.tensor(mean, dtype=torch.float32) / torch.tensor(std))

    def forward(self, images_NHWC: torch.Tensor) -> torch.Tensor:
        pixels_NHWC = images_NHWC.to(torch.float32) * self.scale_C + self.shift_C
        # A view: the memory stays in the order N, H, W, C, which is what channels_last means.
        features_ND = self.features(pixels_NHWC.permute(0, 3, 1, 2)).flatten(1).to(torch.float32)
        length_N1 = torch.linalg.vector_norm(features_ND, dim=1, keepdim=True)
        constant_D = torch.full_like(features_ND, features_ND.shape[1] ** -0.5)
        return torch.where(length_N1 < _MIN_LENGTH, constant_D, features_ND / length_N1.clamp_min(_MIN_LENGTH))


def export_program(
    features: nn.Module,
    input_size: int,
    *,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> tuple[bytes, int]:
    """The program around ``features``, for any number of images from 1, and its dimension D.

    ``features`` takes float32 ``[N, 3, S, S]``, S being ``input_size``, and returns a float tensor whose first
    dimension is N. It is put into evaluation mode. The same module gives the same bytes under one torch.
    """
    module = EmbeddingProgram(features, mean, std).eval().requires_grad_(False)
    # Two images: torch would take a dimension of one as fixed.
    example_NHWC = torch.zeros(2, input_size, input_size, 3, dtype=torch.uint8)
    with torch.no_grad():
        dimension = module(example_NHWC).shape[1]
        program = torch.export.export(
            module, (example_NHWC,), dynamic_shapes=({0: torch.export.Dim("num_images", min=1)},)
        )
    file = io.BytesIO()
    torch.export.save(program, file)
    return canonical_program(file.getvalue()), dimension
