"""Pixels in the body of a request, as its header says. Shape suffixes: N images, S the model's input size."""

from lookalike.embedding.remote_protocol import SHAPE_HEADER
from lookalike.errors import InvalidRequest


def shape_of(said: str, size: int) -> tuple[int, int, int, int]:
    """``N, S, S, 3`` of the header, where S is ``size``. Raises InvalidRequest for anything else."""
    sides = [int(side) if side.isascii() and side.isdigit() and len(side) < 10 else -1 for side in said.split(",")]
    if len(sides) != 4 or sides[0] < 0 or sides[1:] != [size, size, 3]:
        raise InvalidRequest(f"{SHAPE_HEADER} must be N,{size},{size},3, not {said!r:.100}", shape=said[:100])
    return sides[0], size, size, 3
