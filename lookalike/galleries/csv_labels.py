"""A table of images: one row a file, with labels and metadata."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from lookalike.errors import InvalidSource
from lookalike.galleries.listed import ListedFiles
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import Labels, MetadataValue

_ALIASES = {"single_label": "subcategory", "label": "subcategory"}
_INT64 = 2**63  # what JSON readers and databases take
_LABEL_COLUMNS = ("subcategory", "supercategory", "subcategories", "supercategories")


class CsvSource:
    """Images of a CSV file with the column ``file`` and any of ``subcategory`` (or ``label``, ``single_label``),
    ``supercategory``, ``subcategories`` and ``supercategories`` (separated by ``;``); others become metadata.

    ``taxonomy`` maps subcategories to supercategories for rows that don't say them; without one,
    ``taxonomy.json`` beside the file is taken where it exists. A row with another number of cells than the header
    is a problem with its line number. Raises InvalidSource for what is no table.
    """

    def __init__(
        self,
        table: Path,
        images_root: Path,
        *,
        taxonomy: Mapping[str, str] | None = None,
        max_bytes: int = 50 * 2**20,
    ) -> None:
        self._table = table
        self._files = ListedFiles(images_root, max_bytes)
        line = 1
        try:
            known = _taxonomy(table) if taxonomy is None else taxonomy
            with table.open(newline="", encoding="utf-8-sig") as file:
                rows = csv.reader(file, strict=True)
                columns = _columns(next(rows, []))
                for row in rows:
                    line = rows.line_num
                    self._add(line, columns, row, known)
        except (OSError, csv.Error, ValueError, RecursionError) as error:
            self._files.close()
            raise InvalidSource(f"{table} is not a table of images, after line {line}: {error}") from error
        except InvalidSource:
            self._files.close()
            raise

    @property
    def description(self) -> str:
        return f"table {self._table}"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        return self._files.images()

    def read(self, image: SourceImage) -> bytes:
        return self._files.read(image)

    def close(self) -> None:
        self._files.close()

    def _add(self, line: int, columns: list[str], cells: list[str], taxonomy: Mapping[str, str]) -> None:
        if not cells:  # an empty line
            return
        if len(cells) != len(columns):
            reason = f"line {line} has {len(cells)} cells, not {len(columns)}"
            self._files.refuse(SourceProblem(f"line {line:09}", "malformed_line", reason))
            return
        row = dict(zip(columns, cells, strict=True))
        name = row["file"].strip()
        if not name:
            self._files.refuse(SourceProblem(f"line {line:09}", "malformed_line", f"line {line} names no file"))
            return
        metadata = {
            column: _value(value)
            for column, value in row.items()
            if column not in (*_LABEL_COLUMNS, "file", "") and value != ""
        }
        self._files.add(SourceImage(name, name, _labels(row, taxonomy), metadata))


def _columns(header: list[str]) -> list[str]:
    columns = [_ALIASES.get(name.strip(), name.strip()) for name in header]
    if "file" not in columns:
        raise ValueError("it has no column 'file'")
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise ValueError(f"more than one column means {twice[0]!r}")
    return columns


def _labels(row: Mapping[str, str], taxonomy: Mapping[str, str]) -> Labels:
    one = row.get("subcategory", "").strip() or None
    subs = {part.strip() for part in row.get("subcategories", "").split(";") if part.strip()} | (
        {one} if one else set()
    )
    supers = {part.strip() for part in row.get("supercategories", "").split(";") if part.strip()}
    over = row.get("supercategory", "").strip() or (taxonomy.get(one) if one else None) or None
    supers |= {taxonomy[sub] for sub in subs if sub in taxonomy} | ({over} if over else set())
    return Labels(
        subcategory=one,
        supercategory=over,
        subcategories=tuple(sorted(subs)),
        supercategories=tuple(sorted(supers)),
    )


def _value(text: str) -> MetadataValue:
    """A number where writing it again gives ``text``: "007" and "1e999" are names of something."""
    if text.lstrip("-")[:1].isdecimal():  # "nan" and "inf" are words
        for kind in (int, float):
            try:
                number = kind(text)
            except ValueError:
                continue
            if str(number) == text and abs(number) < _INT64:
                return number
    return text


def _taxonomy(table: Path) -> dict[str, str]:
    path = table.with_name("taxonomy.json")
    if not path.is_file():
        return {}
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise InvalidSource(f"{path} does not map subcategories to supercategories")
    return {str(sub): str(over) for sub, over in content.items()}
