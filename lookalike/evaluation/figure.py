"""The first metric of each (model, backend) pair as bars with their intervals: an SVG drawn by hand."""

from collections.abc import Sequence
from html import escape

from lookalike.evaluation.document import Result

_LEFT, _WIDTH, _ROW, _BAR = 240, 480, 22, 12  # pixels
_NUMBER = 60


def precision_figure(results: Sequence[Result]) -> str:
    """An ``<svg>`` with one bar a result, 0 to 1, and a line from the low to the high end of its interval."""
    name = next(iter(results[0].metrics))
    height = _ROW * (len(results) + 1)
    rows = "".join(_bar(result, name, place) for place, result in enumerate(results))
    axis = "".join(
        f'<line x1="{_x(mark)}" x2="{_x(mark)}" y1="0" y2="{height - _ROW}" stroke="#ddd"/>'
        f'<text x="{_x(mark)}" y="{height - 6}" font-size="11" text-anchor="middle" fill="#777">{mark}</text>'
        for mark in (0, 0.25, 0.5, 0.75, 1)
    )
    return (
        f'<svg role="img" width="{_LEFT + _WIDTH + _NUMBER}" height="{height}">'
        f"<title>{escape(name)}, with 95 % intervals</title>{axis}{rows}</svg>"
    )


def _bar(result: Result, name: str, place: int) -> str:
    top, middle = place * _ROW + (_ROW - _BAR) / 2, place * _ROW + _ROW / 2
    label = (
        f'<text x="{_LEFT - 8}" y="{middle + 4}" font-size="12" text-anchor="end">'
        f"{escape(result.model)}, {escape(result.backend)}</text>"
    )
    value = result.metrics[name]
    if value.mean is None or value.low is None or value.high is None:
        return label
    return (
        f'{label}<rect x="{_LEFT}" y="{top}" width="{_x(value.mean) - _LEFT:.1f}" height="{_BAR}" fill="#47a"/>'
        f'<line x1="{_x(value.low):.1f}" x2="{_x(value.high):.1f}" y1="{middle}" y2="{middle}" stroke="#222"/>'
        f'<text x="{_LEFT + _WIDTH + 8}" y="{middle + 4}" font-size="12">{value.mean:.3f}</text>'
    )


def _x(value: float) -> float:
    return _LEFT + value * _WIDTH
