"""Numbers that survive JSON in Qdrant, and how the others are compared.

Qdrant keeps payloads as JSON and reads doubles from it faster than exactly: one of 16 or 17 significant digits may
come back as its neighbour (serde_json without ``float_roundtrip``; measured on qdrant-edge 0.9). A number of at most
15 digits with a moderate exponent, which is what people write, comes back as it was: it is *plain*. Every other one is
kept as integers and text, from which every comparison follows exactly, also for integers of any size, which
no double equals.
"""

import math
import struct
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_DIGITS = 15
_MAX_EXPONENT = 22  # 10**22 is the largest power of ten that is a double
_INTEGERS = 10**_DIGITS  # up to here each is a double, and has no more digits


def plain(value: int | float) -> int | float | None:
    """``value`` (an integer or a double) as JSON keeps it exactly, or None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if abs(value) <= _INTEGERS and value == int(value):
        return int(value)
    if not is_double(value):
        return None
    near = float(value)
    _, digits, exponent = Decimal(repr(near)).normalize(Context(prec=20)).as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 -- a letter only for infinities and NaN
    return near if len(digits) <= _DIGITS and abs(exponent) <= _MAX_EXPONENT else None


def plain_bounds(bounds: dict[str, float]) -> dict[str, float] | None:
    """Bounds (gt, gte, lt, lte; not NaN) that admit the same plain numbers and are kept by JSON; None: no number."""
    kept: dict[str, float] = {}
    for side, bound in bounds.items():
        upwards = side in ("gt", "gte")
        if plain(bound) is None:
            # Between this bound and the nearest number of so few digits beyond it there is no plain number.
            side = "gte" if upwards else "lte"
            if math.isfinite(bound):
                context = Context(prec=_DIGITS, rounding=ROUND_CEILING if upwards else ROUND_FLOOR)
                bound = float(context.plus(Decimal(bound)))
            if math.isinf(bound):
                if (bound > 0) == upwards:
                    return None
                continue
        bound += 0.0  # no negative zero
        kept[side] = (max if upwards else min)(bound, kept.get(side, bound))
    return kept


def is_double(value: int | float) -> bool:
    """Whether a double equals ``value``."""
    return isinstance(value, float) or _below(value) == value


def halves(value: int | float) -> tuple[int, int]:
    """The largest double that is at most ``value`` as two integers of 32 bits that are ordered as the doubles are."""
    packed = struct.unpack(">Q", struct.pack(">d", _below(value) + 0.0))[0]
    ordered = packed ^ (2**64 - 1 if packed >> 63 else 2**63)
    return ordered >> 32, ordered & (2**32 - 1)


def digits(value: int | float) -> str:
    """One text for all equal numbers."""
    if isinstance(value, float) and not (math.isfinite(value) and value == int(value)):
        return repr(value)
    return str(int(value))


def _below(value: int | float) -> float:
    """The largest double that is at most ``value``."""
    try:
        near = float(value)
    except OverflowError:
        return math.nextafter(math.inf, 0) if value > 0 else -math.inf
    return near if near <= value else math.nextafter(near, -math.inf)
