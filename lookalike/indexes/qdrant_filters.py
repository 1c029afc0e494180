"""Filters as Qdrant's conditions on the payloads of ``qdrant_payload``, with the meaning of ``matches``.

One compiler; the engine in process and the server's client have classes of their own for the same conditions, and
each adapter names its own in a :class:`Vocabulary`.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol
from uuid import UUID

from lookalike.indexes.qdrant_numbers import digits, halves, plain, plain_bounds
from lookalike.indexes.qdrant_payload import as_text
from lookalike.types.filters import All, AnyClause, AnyOf, Bounds, Equals, Filter, Not, Range
from lookalike.types.images import MetadataValue


class Vocabulary(Protocol):
    """The conditions of one of Qdrant's libraries. A filter is a condition, too."""

    def filter(self, *, must: Sequence[Any] = (), should: Sequence[Any] = (), must_not: Sequence[Any] = ()) -> Any:
        """All of ``must``, at least one of ``should`` unless it is empty, none of ``must_not``."""
        ...

    def texts(self, path: str, values: Sequence[str]) -> Any:
        """The path has one of these values."""
        ...

    def between(self, path: str, bounds: dict[str, float]) -> Any:
        """The path has a number within ``bounds``: gt, gte, lt, lte."""
        ...

    def ids(self, identifiers: Sequence[UUID]) -> Any:
        """The point is one of these."""
        ...


def compile_filter(condition: Filter, vocabulary: Vocabulary, inexact: frozenset[str] = frozenset()) -> Any:
    """``condition`` as a filter of the library.

    ``inexact`` names the metadata fields of the index with numbers that JSON does not keep; ``PayloadFields`` says
    which. Conditions on other fields are smaller.
    """
    return vocabulary.filter(must=[_Compiler(vocabulary, inexact).condition(condition)])


class _Compiler:
    def __init__(self, vocabulary: Vocabulary, inexact: frozenset[str]) -> None:
        self._say = vocabulary
        self._inexact = inexact

    def condition(self, condition: Filter) -> Any:
        match condition:
            case Equals(field=field, equals=wanted):
                return self._any(self._equal(field, [wanted]))
            case AnyOf(field=field, any_of=wanted_list):
                return self._any(self._equal(field, wanted_list))
            case Range(field=field, range=bounds):
                return self._range(field, bounds)
            case Not(not_=inner):
                return self._say.filter(must_not=[self.condition(inner)])
            case All(all=clauses):
                return self._say.filter(must=[self.condition(clause) for clause in clauses])
            case AnyClause(any=clauses):
                return self._say.filter(should=[self.condition(clause) for clause in clauses])

    def _any(self, conditions: list[Any]) -> Any:
        return self._say.filter(should=conditions) if conditions else self._say.ids([])

    def _equal(self, field: str, wanted: Sequence[MetadataValue]) -> list[Any]:
        texts = [value for value in wanted if isinstance(value, str)]
        if not field.startswith("metadata."):
            paths = ("subcategories", "supercategories") if field == "label" else (field,)
            return [self._say.texts(path, texts) for path in paths if texts]
        name = field.removeprefix("metadata.")
        found = [self._say.texts(f"text.{name}", texts)] if texts else []
        for value in wanted:
            if isinstance(value, bool):
                found.append(self._say.texts(f"flag.{name}", [as_text(value)]))
            elif not isinstance(value, str):
                found.extend(self._equal_number(name, value))
        return found

    def _equal_number(self, name: str, wanted: float) -> list[Any]:
        kept = plain(wanted)
        if kept is not None:
            return [self._say.between(f"number.{name}", {"gte": float(kept), "lte": float(kept)})]
        return [self._say.texts(f"digits.{name}", [digits(wanted)])] if name in self._inexact else []

    def _range(self, field: str, bounds: Bounds) -> Any:
        given = {side: getattr(bounds, side) for side in ("gt", "gte", "lt", "lte")}
        said = {side: float(bound) for side, bound in given.items() if bound is not None}
        if not field.startswith("metadata.") or any(math.isnan(bound) for bound in said.values()):
            return self._say.ids([])  # labels and keys are text
        name = field.removeprefix("metadata.")
        among_plain = plain_bounds(said)
        found = []
        if among_plain is not None:
            # A condition needs a bound, and all plain numbers are within this one.
            found.append(self._say.between(f"number.{name}", among_plain or {"gte": -1e300}))
        if name in self._inexact:
            found.append(self._say.filter(must=[self._beyond(name, side, bound) for side, bound in said.items()]))
        return self._any(found)

    def _beyond(self, name: str, side: str, bound: float) -> Any:
        """A number that JSON does not keep is on the right side of ``bound``, a double.

        It is compared by the double that it equals or, a wide one, lies next above: a wide one there is more.
        """
        upper, lower = halves(bound)
        sign = "gt" if side in ("gt", "gte") else "lt"
        here = [
            self._say.between(f"upper.{name}", {"gte": upper, "lte": upper}),
            self._say.between(f"lower.{name}", {"gte": lower, "lte": lower}),
        ]
        strictly = [
            self._say.between(f"upper.{name}", {sign: upper}),
            self._say.filter(must=[here[0], self._say.between(f"lower.{name}", {sign: lower})]),
        ]
        wide = self._say.texts(f"wide.{name}", [as_text(True)])
        match side:
            case "gte":
                also = [self._say.filter(must=here)]
            case "gt":
                also = [self._say.filter(must=[*here, wide])]
            case "lte":
                also = [self._say.filter(must=here, must_not=[wide])]
            case _:
                also = []
        return self._say.filter(should=[*strictly, *also])
