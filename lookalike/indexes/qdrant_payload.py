"""Image records as Qdrant payloads: every field of a filter under a path whose values have one type.

| field of a filter | path | type |
|---|---|---|
| key, subcategory, supercategory | the same | text |
| subcategories, supercategories | the same | list of text |
| metadata.x, text | text.x | text |
| metadata.x, boolean | flag.x | text, `true` or `false` |
| metadata.x, number | number.x | integer or double |
| metadata.x, number that JSON does not keep | digits.x, wide.x; upper.x, lower.x | text; integers |

So no comparison of Qdrant's ever meets a value of another type than it asks for, and every path can have the
index of its type. Booleans are text because qdrant-edge 0.9 takes ``True`` in a condition for the integer 1. The
last row's numbers are those that are not plain (see ``qdrant_numbers``); ``wide.x`` says that no double equals them.
NaN, which equals nothing, is left out.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lookalike.indexes.qdrant_numbers import digits, halves, is_double, plain
from lookalike.types.images import ImageRecord

_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")  # of metadata that a filter can name
_LABELS = ("key", "subcategory", "supercategory", "subcategories", "supercategories")
INDEXED_FROM = 2000  # images: of fewer, payloads are as quickly read as looked up, and each index costs 0.1 s
_MAX_INDEXED = 32  # paths of metadata; filters on others are as exact and slower


@dataclass
class PayloadFields:
    """Which paths the payloads of one index have, and of how many images; filled while they are made."""

    used: Counter[str] = field(default_factory=Counter)
    num_images: int = 0

    @property
    def indexed(self) -> dict[str, str]:
        """Path -> ``keyword`` or ``float``: the paths worth an index, the most used metadata first."""
        if self.num_images < INDEXED_FROM:
            return {}
        floats = ("number", "upper", "lower")
        labels = [path for path in _LABELS if path in self.used]
        metadata = [path for path, _ in self.used.most_common() if "." in path][:_MAX_INDEXED]
        return {path: "float" if path.partition(".")[0] in floats else "keyword" for path in labels + metadata}

    @property
    def inexact(self) -> frozenset[str]:
        """Names of the metadata fields with numbers that JSON does not keep."""
        return frozenset(path.partition(".")[2] for path in self.used if path.startswith("digits."))


def payloads(records: Iterable[ImageRecord], fields: PayloadFields) -> Iterator[dict[str, object]]:
    """The payload of each record, in order; ``fields`` learns its paths."""
    for record in records:
        yield _payload(record, fields)


def as_text(flag: bool) -> str:
    """A boolean in a payload."""
    return "true" if flag else "false"


def _payload(record: ImageRecord, fields: PayloadFields) -> dict[str, object]:
    fields.num_images += 1
    labels = record.labels
    said: dict[str, object] = {
        "key": record.key,
        "subcategory": labels.subcategory,
        "supercategory": labels.supercategory,
        "subcategories": list(labels.subcategories),
        "supercategories": list(labels.supercategories),
    }
    payload = {path: value for path, value in said.items() if value is not None and value != []}
    fields.used.update(payload.keys())
    for name, value in record.metadata.items():
        if _NAME.fullmatch(name):
            for kind, kept in _typed(value):
                group = payload.setdefault(kind, {})
                assert isinstance(group, dict)  # noqa: S101 -- made in the line above
                group[name] = kept
                fields.used[f"{kind}.{name}"] += 1
    return payload


def _typed(value: str | float | bool) -> Iterator[tuple[str, str | float]]:
    """The paths' first names and what they hold of one metadata value."""
    match value:
        case bool():
            yield "flag", as_text(value)
        case str():
            yield "text", value
        case _ if (kept := plain(value)) is not None:
            yield "number", kept
        case _ if not math.isnan(value):
            yield "digits", digits(value)
            upper, lower = halves(value)
            yield "upper", upper
            yield "lower", lower
            if not is_double(value):
                yield "wide", as_text(True)
