"""From a torch module to the program of a model archive.

Shape suffixes: N images, H and W their height and width, C channels, D dimension, O output channels.
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
_WEIGHTED = frozenset({torch.ops.aten.conv2d.default, torch.ops.aten.linear.default})
# Rounding to float16 costs at most 2^-11 of each number, unless it leaves float16's range of 6e-5 to 65504.
_MAX_ROUNDING = 2**-10
# Weights of fewer numbers stay float32: early and depthwise layers, whose rounding every later layer sees, and which
# are a fiftieth of a network's bytes.
MIN_HALVED = 4096


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
    half: bool = False,
    min_halved: int = MIN_HALVED,
    fold_batch_norm: bool = False,
) -> tuple[bytes, int]:
    """The program around ``features``, for any number of images from 1, and its dimension D.

    ``features`` takes float32 ``[N, 3, S, S]``, S being ``input_size``, and returns a float tensor whose first
    dimension is N. It is put into evaluation mode. The same module gives the same bytes under one torch.

    Args:
        features, input_size, mean, std: as above, and as :class:`EmbeddingProgram` uses them.
        half: store the weights of convolutions and linear layers as float16, half as many bytes; the program
            converts them and computes in float32 as before. A weight that float16 cannot hold stays float32, and so
            does one of fewer than ``min_halved`` numbers.
        fold_batch_norm: multiply each batch normalisation that directly follows a convolution into its weights:
            the same function but for rounding, with fewer operators.
    """
    module = EmbeddingProgram(features, mean, std).eval().requires_grad_(False)
    # Two images: torch would take a dimension of one as fixed.
    example_NHWC = torch.zeros(2, input_size, input_size, 3, dtype=torch.uint8)
    with torch.no_grad():
        dimension = module(example_NHWC).shape[1]
        program = _exported(module, example_NHWC)
        if half or fold_batch_norm:
            # The graph's own modules: new ones, so that what they hold can be replaced without touching ``features``.
            rewritten = program.module(check_guards=False)
            if fold_batch_norm:
                _fold_batch_norms(rewritten)
            if half:
                _halve_weights(rewritten, min_halved)
            program = _exported(_with_short_names(rewritten), example_NHWC)
            _erase_assertions(program.graph)
    file = io.BytesIO()
    torch.export.save(program, file)
    return canonical_program(file.getvalue()), dimension


def _exported(module: nn.Module, example_NHWC: torch.Tensor) -> torch.export.ExportedProgram:
    shapes = ({0: torch.export.Dim("num_images", min=1)},)
    return torch.export.export(module, (example_NHWC,), dynamic_shapes=shapes)


def _fold_batch_norms(module: torch.fx.GraphModule) -> None:
    """``((w x + b) - mean) / sqrt(var + eps) * gamma + beta`` as one convolution, in float64 until it is stored."""
    graph = module.graph
    for norm in graph.find_nodes(op="call_function", target=torch.ops.aten.batch_norm.default):
        convolution = norm.args[0]
        if convolution.target is not torch.ops.aten.conv2d.default or len(convolution.users) > 1:
            continue
        inputs, weight, bias, *others = (*convolution.args, None)[: max(3, len(convolution.args))]
        constants = (weight, *norm.args[1:5])
        if any(node is None or node.op != "get_attr" for node in constants) or len(weight.users) > 1:
            continue
        weight_O, gamma_O, beta_O, mean_O, variance_O = (_constant(module, node.target).double() for node in constants)
        scale_O = gamma_O / torch.sqrt(variance_O + norm.args[7])
        bias_O = 0 if bias is None else _constant(module, bias.target).double()
        name = f"{weight.target}_bias".replace(".", "_")
        _set_constant(module, weight.target, (weight_O * scale_O.view(-1, 1, 1, 1)).float())
        _set_constant(module, name, ((bias_O - mean_O) * scale_O + beta_O).float())
        with graph.inserting_before(convolution):
            convolution.args = (inputs, weight, graph.get_attr(name), *others)
        norm.replace_all_uses_with(convolution)
        graph.erase_node(norm)


def _halve_weights(module: torch.fx.GraphModule, min_halved: int) -> None:
    for node in module.graph.find_nodes(op="get_attr"):
        readers = [user for user in node.users if user.target in _WEIGHTED and user.args[1] is node]
        if not readers or len(readers) < len(node.users):
            continue
        weight = _constant(module, node.target)
        if weight.numel() < min_halved:
            continue
        halved = weight.half()
        if (weight - halved).norm() > _MAX_ROUNDING * weight.norm():
            continue
        _set_constant(module, node.target, halved)
        with module.graph.inserting_before(readers[0]):
            converted = module.graph.call_function(torch.ops.aten.to.dtype, (node, torch.float32))
        for reader in readers:
            reader.replace_input_with(node, converted)


def _with_short_names(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """``module`` with the tensors that are read, and no others, as ``t0``, ``t1`` … in the order of the graph.

    Unread ones would be stored nevertheless, and the graph repeats each name six times: 20 kB in a MobileNet.
    """
    short: dict[str, str] = {}
    root = nn.Module()
    for node in module.graph.find_nodes(op="get_attr"):
        if not node.users:
            module.graph.erase_node(node)
            continue
        if node.target not in short:
            short[node.target] = f"t{len(short)}"
            _set_constant(root, short[node.target], _constant(module, node.target))
        node.target = short[node.target]
    _erase_assertions(module.graph)
    renamed = torch.fx.GraphModule(root, module.graph)
    renamed.graph.lint()
    return renamed


def _erase_assertions(graph: torch.fx.Graph) -> None:
    """That every tensor has the type that it had on export: one more operator for each conversion."""
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten._assert_tensor_metadata.default):
        graph.erase_node(node)


def _constant(module: torch.fx.GraphModule, name: str) -> torch.Tensor:
    owner, _, leaf = name.rpartition(".")
    tensor: torch.Tensor = getattr(module.get_submodule(owner), leaf)
    return tensor


def _set_constant(module: nn.Module, name: str, tensor: torch.Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(module.get_submodule(owner), leaf, nn.Parameter(tensor, requires_grad=False))
