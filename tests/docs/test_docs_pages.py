"""Links lead somewhere; no page names a machine."""

import re
from pathlib import Path

import pytest
from pages import DOCS, REPOSITORY, pages

LINK = re.compile(r"\]\(([^)\s]+)\)")
WORDS = ("gallery", "image", "model", "model archive", "embedding", "embedding set", "index", "backend", "live")
WORDS += ("query, hit", "label, supercategory, subcategory", "precision@k, recall@k", "knn recall@k")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(REPOSITORY), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_page_names_a_machine(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"/(home|root|work|tmp|Users|opt)/\w", text)
    assert str(REPOSITORY) not in text


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [REPOSITORY / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        for link in LINK.findall(page.read_text(encoding="utf-8")):
            if not link.startswith(("http://", "https://", "#")):
                target = (page.parent / link.partition("#")[0]).resolve()
                waiting += sorted(target.glob("*.md")) if target.is_dir() else [target]
    assert [page.name for page in pages() if page not in reached] == []


def test_the_glossary_has_the_words_of_the_design() -> None:
    glossary = (DOCS / "glossary.md").read_text(encoding="utf-8")
    for word in WORDS:
        assert f"\n**{word}**" in glossary
