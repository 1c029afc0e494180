"""The entries of a COCO annotation file, one by one."""

from collections.abc import Iterator
from typing import Any, BinaryIO

from lookalike.errors import MissingExtra

try:
    import ijson
except ImportError as error:
    raise MissingExtra("ijson", "galleries") from error

_MAX_DEPTH = 64  # COCO's own is 6
_ENTRY_DEPTH = 3  # document, section, entry


def read_items(file: BinaryIO) -> Iterator[tuple[str | None, Any]]:
    """(section, entry) for each entry of the document's arrays, an entry without what is nested in it.

    So an annotation has its numbers and no outline, and a large file costs no memory. Raises ValueError for
    JSON that is damaged, cut off, or nested deeper than any annotations are.
    """
    depth, section, key = 0, None, ""
    entry: dict[str, Any] | None = None
    try:
        for event, value in ijson.basic_parse(file, use_float=True):
            if event in ("start_map", "start_array"):
                depth += 1
                if depth > _MAX_DEPTH:
                    raise ValueError("nested too deeply")
                if depth == _ENTRY_DEPTH:
                    entry = {} if event == "start_map" else None
            elif event in ("end_map", "end_array"):
                if depth == _ENTRY_DEPTH:
                    yield section, entry
                depth -= 1
            elif event == "map_key":
                if depth == 1:
                    section = value
                elif depth == _ENTRY_DEPTH:
                    key = value
            elif depth == _ENTRY_DEPTH and entry is not None:
                entry[key] = value
            elif depth == _ENTRY_DEPTH - 1:
                yield section, value
    except ijson.JSONError as error:
        raise ValueError(str(error)) from error
