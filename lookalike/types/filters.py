"""Filters on labels and metadata: one meaning for every backend.

A field has zero, one or several values on an image. ``equals``, ``any_of`` and ``range`` hold when at least
one value does; an image without the field never matches them, and therefore always matches their ``not``.
Booleans, numbers and strings never equal each other (``1`` is not ``true``, nor ``"1"``); ``1`` equals
``1.0``. :func:`matches` is the reference; each compiled form is tested against it.
"""

from typing import Annotated, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from lookalike.errors import InvalidFilter
from lookalike.types.images import ImageRecord, MetadataValue

FieldName: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^(key|label|subcategory|supercategory|subcategories|supercategories|metadata\.[A-Za-z0-9_\-]{1,64})$"
    ),
]
MAX_CLAUSES = 64
MAX_DEPTH = 16  # clauses within clauses
MAX_VALUES = 4096  # values that are compared with, in the whole filter


class _Clause(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Equals(_Clause):
    """``{"field": "subcategory", "equals": "dog"}``"""

    field: FieldName
    equals: MetadataValue


class AnyOf(_Clause):
    """``{"field": "metadata.camera", "any_of": ["a", "b"]}``"""

    field: FieldName
    any_of: list[MetadataValue] = Field(min_length=1, max_length=256)


class Bounds(_Clause):
    """At least one bound; numbers only."""

    gt: float | None = None
    gte: float | None = None
    lt: float | None = None
    lte: float | None = None

    @model_validator(mode="after")
    def _has_a_bound(self) -> "Bounds":
        if (self.gt, self.gte, self.lt, self.lte) == (None,) * 4:
            raise ValueError("a range needs gt, gte, lt or lte")
        return self


class Range(_Clause):
    """``{"field": "metadata.year", "range": {"gte": 2000, "lt": 2020}}``"""

    field: FieldName
    range: Bounds


class Not(_Clause):
    """``{"not": {…}}``"""

    not_: "Filter" = Field(alias="not")


class All(_Clause):
    """``{"all": [{…}, {…}]}``: every one holds."""

    all: list["Filter"] = Field(min_length=1, max_length=MAX_CLAUSES)


class AnyClause(_Clause):
    """``{"any": [{…}, {…}]}``: at least one holds."""

    any: list["Filter"] = Field(min_length=1, max_length=MAX_CLAUSES)


Filter: TypeAlias = Equals | AnyOf | Range | Not | All | AnyClause
for _model in (Not, All, AnyClause):
    _model.model_rebuild()
_ADAPTER: TypeAdapter[Filter] = TypeAdapter(Filter)


def bounded(condition: Filter) -> Filter:
    """``condition`` itself. Raises InvalidFilter for one that is so deep or so large that no backend answers it."""
    if _num_values(condition, 1) > MAX_VALUES:
        raise InvalidFilter(f"a filter compares with at most {MAX_VALUES} values", maximum=MAX_VALUES)
    return condition


BoundedFilter: TypeAlias = Annotated[Filter, AfterValidator(bounded)]


def _num_values(condition: Filter, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"a filter is at most {MAX_DEPTH} clauses deep", maximum=MAX_DEPTH)
    match condition:
        case AnyOf(any_of=wanted):
            return len(wanted)
        case Not(not_=inner):
            return _num_values(inner, depth + 1)
        case All(all=clauses) | AnyClause(any=clauses):
            return sum(_num_values(clause, depth + 1) for clause in clauses)
        case _:
            return 1


def parse_filter(value: object) -> Filter:
    """JSON value -> filter. Raises InvalidFilter, naming what is wrong."""
    try:
        return bounded(_ADAPTER.validate_python(value))
    except (ValidationError, RecursionError) as error:
        raise InvalidFilter(f"not a filter: {value!r:.200}", reason=str(error)[:500]) from error


def field_values(record: ImageRecord, field: str) -> tuple[MetadataValue, ...]:
    """All values of ``field`` on ``record``; ``label`` means both levels' labels."""
    labels = record.labels
    match field:
        case "key":
            return (record.key,)
        case "label":
            return labels.subcategories + labels.supercategories
        case "subcategory":
            return () if labels.subcategory is None else (labels.subcategory,)
        case "supercategory":
            return () if labels.supercategory is None else (labels.supercategory,)
        case "subcategories":
            return labels.subcategories
        case "supercategories":
            return labels.supercategories
        case _:
            name = field.removeprefix("metadata.")
            return (record.metadata[name],) if name in record.metadata else ()


def _equal(left: MetadataValue, right: MetadataValue) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, str) or isinstance(right, str):
        return type(left) is type(right) and left == right
    return left == right


def _within(value: MetadataValue, bounds: Bounds) -> bool:
    if isinstance(value, bool | str):
        return False
    return (
        (bounds.gt is None or value > bounds.gt)
        and (bounds.gte is None or value >= bounds.gte)
        and (bounds.lt is None or value < bounds.lt)
        and (bounds.lte is None or value <= bounds.lte)
    )


def matches(condition: Filter, record: ImageRecord) -> bool:
    """Whether ``record`` satisfies ``condition``: the meaning that every compiled form must have."""
    match condition:
        case Equals(field=field, equals=wanted):
            return any(_equal(value, wanted) for value in field_values(record, field))
        case AnyOf(field=field, any_of=wanted_list):
            return any(_equal(value, wanted) for value in field_values(record, field) for wanted in wanted_list)
        case Range(field=field, range=bounds):
            return any(_within(value, bounds) for value in field_values(record, field))
        case Not(not_=inner):
            return not matches(inner, record)
        case All(all=clauses):
            return all(matches(clause, record) for clause in clauses)
        case AnyClause(any=clauses):
            return any(matches(clause, record) for clause in clauses)
