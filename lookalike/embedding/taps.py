"""What an archive's program computes on its way: the values of named steps, for a student to learn from.

Shape suffixes: N images, S input size, C channels, H and W height and width.
"""

from collections.abc import Sequence

from lookalike.errors import InvalidRequest, MissingExtra

try:
    import torch
except ImportError as error:
    raise MissingExtra("torch", "torch") from error


class Taps:
    """uint8 ``[N, S, S, 3]`` -> the values ``[N, C, H, W]`` of the steps ``names``, in their order, without gradients.

    Not a module on purpose: whoever learns from it has none of its weights. Steps after the last one are not computed.
    A step is called as the exported program calls it: its operator with a number, such as ``batch_norm_2``. Raises
    InvalidRequest for a step that there is not.
    """

    def __init__(self, program: torch.fx.GraphModule, names: Sequence[str], *, bfloat16: bool) -> None:
        self._program, self._bfloat16 = _until(program, names), bfloat16

    def __call__(self, images_NSSC: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with torch.no_grad(), torch.autocast(images_NSSC.device.type, torch.bfloat16, enabled=self._bfloat16):
            values: tuple[torch.Tensor, ...] = self._program(images_NSSC)
        return values


def _until(program: torch.fx.GraphModule, names: Sequence[str]) -> torch.fx.GraphModule:
    nodes = {node.name: node for node in program.graph.nodes}
    missing = [name for name in names if name not in nodes]
    if missing or not names:
        known = [name for name, node in nodes.items() if node.op == "call_function"]
        wanted = missing[0] if missing else ""
        raise InvalidRequest(f"the program has no step {wanted!r:.60}; it has {', '.join(known)}"[:2000], steps=known)
    graph = torch.fx.Graph()
    copied: dict[torch.fx.Node, torch.fx.Node] = {}
    graph.graph_copy(program.graph, copied)
    graph.output(tuple(copied[nodes[name]] for name in names))
    graph.eliminate_dead_code()
    return torch.fx.GraphModule(program, graph)
