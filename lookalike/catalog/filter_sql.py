"""Filters as SQL conditions over the record table."""

from collections.abc import Sequence

from lookalike.types.filters import All, AnyClause, AnyOf, Equals, Filter, Not, Range
from lookalike.types.images import MetadataValue


def where(condition: Filter) -> tuple[str, list[object]]:
    """An SQL condition on ``image`` and the values to bind, with the meaning of ``matches``."""
    match condition:
        case Equals(field=field, equals=wanted):
            return _any_equal(field, [wanted])
        case AnyOf(field=field, any_of=wanted_list):
            return _any_equal(field, wanted_list)
        case Range(field="key"):
            return "0", []  # keys are text, and a range is of numbers
        case Range(field=field, range=bounds):
            said = {">": bounds.gt, ">=": bounds.gte, "<": bounds.lt, "<=": bounds.lte}
            given = {operator: bound for operator, bound in said.items() if bound is not None}
            tests = " AND ".join(f"value {operator} ?" for operator in given)
            return _has_value(field, f"kind = 'number' AND {tests}", list(given.values()))
        case Not(not_=inner):
            sql, values = where(inner)
            return f"NOT ({sql})", values
        case All(all=clauses):
            return _joined(clauses, " AND ")
        case AnyClause(any=clauses):
            return _joined(clauses, " OR ")


def _joined(clauses: Sequence[Filter], operator: str) -> tuple[str, list[object]]:
    compiled = [where(clause) for clause in clauses]
    return operator.join(f"({sql})" for sql, _ in compiled), [value for _, values in compiled for value in values]


def _any_equal(field: str, wanted: Sequence[MetadataValue]) -> tuple[str, list[object]]:
    if field == "key":
        texts: list[object] = [value for value in wanted if isinstance(value, str)]
        return f"key IN ({','.join('?' * len(texts))})", texts
    tests, values = [], list[object]()
    bound: MetadataValue
    for value in wanted:
        match value:
            case bool():
                kind, bound = "bool", int(value)
            case int() | float():
                kind, bound = "number", value
            case _:
                kind, bound = "text", value
        tests.append("(kind = ? AND value = ?)")
        values.extend((kind, bound))
    return _has_value(field, " OR ".join(tests), values)


def _has_value(field: str, test: str, values: list[object]) -> tuple[str, list[object]]:
    fields = ("subcategories", "supercategories") if field == "label" else (field,)
    marks = ",".join("?" * len(fields))
    inner = f"SELECT image_id FROM value WHERE field IN ({marks}) AND ({test})"  # noqa: S608 -- values are bound
    return f"image_id IN ({inner})", [*fields, *values]
