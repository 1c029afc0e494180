"""The pieces of an HTML page that needs nothing else: tables and pictures, everything escaped."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:84rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600;padding:.3rem 0}
th,td{padding:.3rem .6rem;text-align:right;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}
th.text,td.text{text-align:left}small,.missing{color:#777}img{max-width:100%;height:auto}figure{margin:1rem 0}
figcaption{color:#555}h2{margin-top:2.5rem}
"""


@dataclass(frozen=True)
class Picture:
    """A file that stands beside the page, and in it. ``name`` ends with ``.png`` or ``.jpg``."""

    name: str
    data: bytes

    @property
    def source(self) -> str:
        """A data URI."""
        kind = "image/png" if self.name.endswith(".png") else "image/jpeg"
        return f"data:{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, num_text: int = 1) -> str:
    """A ``<table>``; its first ``num_text`` columns are text, the others figures."""
    marks = [' class="text"' if place < num_text else "" for place in range(len(columns))]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for name, mark in zip(columns, marks, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{mark}>{escape(cell)}</td>' for cell, mark in zip(row, marks, strict=True))}</tr>"
        for row in rows
    )
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def figure(picture: Picture, caption: str) -> str:
    """A ``<figure>`` with the picture in it."""
    text = escape(caption)
    return f'<figure><img alt="{text}" src="{picture.source}"><figcaption>{text}</figcaption></figure>'


def paragraphs(sentences: Iterable[str]) -> str:
    """A list of sentences."""
    return f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """The whole page: a heading and what is below it, already HTML, for each section; no scripts."""
    body = "".join(f"<h2>{escape(heading)}</h2>{content}" for heading, content in sections)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    )
