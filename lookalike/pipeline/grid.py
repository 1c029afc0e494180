"""A picture of a query and its hits."""

import io
from pathlib import Path

from PIL import Image, ImageDraw

from lookalike.images.thumbnails import thumbnail
from lookalike.pipeline.change import image_bytes, image_record
from lookalike.pipeline.workspace import Workspace
from lookalike.types.search import SearchResponse

_CELL = 176
_CAPTION = 18
_COLUMNS = 5


def draw_grid(
    workspace: Workspace,
    gallery: str,
    response: SearchResponse,
    path: Path,
    *,
    query: bytes | None,
    query_id: str | None,
) -> None:
    """Writes a PNG: the query first, then the hits in order, each with its similarity."""
    first = (
        query if query is not None else image_bytes(workspace, gallery, image_record(workspace, gallery, str(query_id)))
    )
    cells = [(first, "query")]
    for hit in response.hits:
        record = image_record(workspace, gallery, hit.image_id)
        label = hit.labels.subcategory or ""
        cells.append((image_bytes(workspace, gallery, record), f"{hit.similarity:.3f} {label}"))
    rows = -(-len(cells) // _COLUMNS)
    sheet = Image.new("RGB", (_CELL * min(_COLUMNS, len(cells)), (_CELL + _CAPTION) * rows), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (data, caption) in enumerate(cells):
        left, top = number % _COLUMNS * _CELL, number // _COLUMNS * (_CELL + _CAPTION)
        with Image.open(io.BytesIO(thumbnail(data, size=_CELL - 8, limits=workspace.limits))) as image:
            sheet.paste(image, (left + (_CELL - image.width) // 2, top + (_CELL - image.height) // 2))
        draw.text((left + 4, top + _CELL), caption[:28], fill="black")
    sheet.save(path, "PNG")
