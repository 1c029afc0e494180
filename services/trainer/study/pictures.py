"""The pictures of a study: subcategories as a histogram, loss curves, sheets of retrieved images.

Shape suffixes: Q queries, K hits.
"""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from lookalike.catalog import keys
from lookalike.errors import InvalidRequest, MissingExtra
from lookalike.images.limits import ImageLimits
from lookalike.images.thumbnails import thumbnail
from lookalike.storage.port import ObjectStore
from lookalike.types.images import ImageRecord

try:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise MissingExtra("matplotlib", "evaluation") from error

_CELL, _GAP, _TEXT = 112, 6, 14  # pixels
_SAME, _NEAR, _OTHER, _QUERY = (46, 125, 50), (239, 152, 0), (198, 40, 40), (90, 90, 90)
_BLUE = "#4477aa"


def histogram(counts: Mapping[str, int]) -> bytes:
    """A PNG with a bar for each name, in the order given, its count beside it."""
    figure = Figure(figsize=(7, max(1.5, 0.24 * len(counts) + 0.8)), layout="constrained")
    axes = figure.subplots()
    names = list(counts)
    bars = axes.barh(range(len(names)), [counts[name] for name in names], color=_BLUE)
    axes.bar_label(bars, padding=3, fontsize=8)
    axes.set_yticks(range(len(names)), [_plain(name) for name in names], fontsize=8)
    axes.margins(x=0.08)  # room for the counts
    axes.set_ylim(len(names) - 0.4, -0.6)  # the first on top
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("images")
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def loss_curve(events: Path) -> bytes:
    """A PNG of the losses in a file of JSON lines: every object with a number ``loss``, by its ``step``.

    Raises InvalidRequest for a file that cannot be read or has no loss.
    """
    steps: list[float] = []
    losses: list[float] = []
    try:
        for line in events.read_text(encoding="utf-8").splitlines():
            said = json.loads(line) if line.strip() else {}
            loss = said.get("loss") if isinstance(said, dict) else None
            if isinstance(loss, int | float):
                steps.append(said.get("step", len(losses)))
                losses.append(loss)
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"no events can be read from {events.name!r}: {error}") from error
    if not losses:
        raise InvalidRequest(f"{events.name!r} names no loss")
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color=_BLUE, linewidth=1.2)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.spines[["top", "right"]].set_visible(False)
    return _png(figure)


def sheet(
    store: ObjectStore,
    gallery: str,
    records: Sequence[ImageRecord],
    query_rows_Q: NDArray[np.int64],
    hits_QK: NDArray[np.int64],
    limits: ImageLimits,
) -> bytes:
    """A JPEG with a row for each query: the query, then its hits, best first.

    A green frame says that subcategories are the same, an orange one that supercategories are, a red one that
    neither is; queries are framed grey. Below each image stands its subcategory.
    """
    columns = hits_QK.shape[1] + 1
    width, height = columns * (_CELL + _GAP) + _GAP, len(query_rows_Q) * (_CELL + _TEXT + _GAP) + _GAP
    page = Image.new("RGB", (width, max(height, 1)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(10)
    for line, (query, hits) in enumerate(zip(query_rows_Q, hits_QK, strict=True)):
        top = _GAP + line * (_CELL + _TEXT + _GAP)
        for column, row in enumerate([query, *hits]):
            if row < 0:
                continue
            left = _GAP + column * (_CELL + _GAP) + (_GAP // 2 if column else 0)
            record = records[row]
            colour = _QUERY if column == 0 else _frame(records[query], record)
            draw.rectangle((left, top, left + _CELL - 1, top + _CELL - 1), outline=colour, width=3)
            data = store.get(keys.image(gallery, record.sha256))
            with Image.open(io.BytesIO(thumbnail(data, size=_CELL - 8, limits=limits))) as small:
                page.paste(small, (left + (_CELL - small.width) // 2, top + (_CELL - small.height) // 2))
            draw.text((left + 1, top + _CELL + 1), record.labels.subcategory or "no single label", "black", font=font)
    buffer = io.BytesIO()
    page.save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def _frame(query: ImageRecord, hit: ImageRecord) -> tuple[int, int, int]:
    if query.labels.subcategory is not None and query.labels.subcategory == hit.labels.subcategory:
        return _SAME
    if query.labels.supercategory is not None and query.labels.supercategory == hit.labels.supercategory:
        return _NEAR
    return _OTHER


def _plain(text: str) -> str:
    """Matplotlib reads dollar signs as mathematics."""
    return text.replace("$", r"\$")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    return buffer.getvalue()
