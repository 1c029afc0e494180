"""A list of URLs as a gallery."""

import json
import re
from pathlib import Path

import pytest

from lookalike.errors import InvalidSource, UrlRefused
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.url_list import UrlListSource
from lookalike.types.images import Labels


def never(url: str) -> bytes:
    raise AssertionError(f"{url} was fetched")


def items(tmp_path: Path, text: str | bytes) -> dict[str, SourceImage | SourceProblem]:
    path = tmp_path / "list.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = UrlListSource(path, never)
    try:
        return {item.key: item for item in source.images()}
    finally:
        source.close()


def test_a_key_is_host_path_and_query_unquoted(tmp_path: Path) -> None:
    found = items(
        tmp_path,
        "https://Images.Example/a%20b/caf%C3%A9.jpg?size=2#part\nhttp://images.example:8080\nhttps://images.example/%ff\n",
    )
    assert list(found) == ["images.example", "images.example/a b/caf\u00e9.jpg?size=2", "images.example/\ufffd"]


def test_listing_fetches_nothing_and_reading_fetches_the_url(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("https://images.example/a.jpg\n")
    asked = []

    def fetch(url: str) -> bytes:
        asked.append(url)
        return b"bytes"

    source = UrlListSource(path, fetch)
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    assert asked == []
    assert image.stamp is None, "a URL says nothing of its version: it is fetched every time"
    assert source.read(image) == b"bytes"
    assert asked == ["https://images.example/a.jpg"]
    source.close()


def test_what_the_fetcher_refuses_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("http://127.0.0.1/a.jpg\n")

    def fetch(url: str) -> bytes:
        raise UrlRefused("not a public address")

    source = UrlListSource(path, fetch)
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    with pytest.raises(UrlRefused):
        source.read(image)
    source.close()


def test_a_json_line_has_labels_metadata_and_its_own_key(tmp_path: Path) -> None:
    line = {
        "url": "https://images.example/1",
        "key": "cats/one",
        "labels": {"subcategory": "cat", "subcategories": ["cat", "dog"]},
        "metadata": {"year": 2020, "score": 0.5, "open": True, "by": "me"},
    }
    found = items(tmp_path, json.dumps(line) + "\n")["cats/one"]
    assert isinstance(found, SourceImage)
    assert found.locator == "https://images.example/1"
    assert found.labels == Labels(subcategory="cat", subcategories=("cat", "dog"))
    assert found.metadata == line["metadata"]
    assert [type(value) for value in found.metadata.values()] == [int, float, bool, str]


def test_an_integer_that_no_database_holds_becomes_a_float(tmp_path: Path) -> None:
    found = items(tmp_path, '{"url": "http://a.example/", "metadata": {"x": 1' + "0" * 30 + "}}")["a.example/"]
    assert isinstance(found, SourceImage)
    assert found.metadata == {"x": 1e30}
    assert isinstance(found.metadata["x"], float)


def test_comments_empty_lines_blanks_and_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff# a list\r\n\r\n   \n  https://images.example/a.jpg  \r\n#https://images.example/b.jpg\nhttps://images.example/c.jpg"
    assert list(items(tmp_path, text)) == ["images.example/a.jpg", "images.example/c.jpg"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("images.example/a.jpg", "not an http or https URL"),
        ("ftp://images.example/a.jpg", "not an http or https URL"),
        ("file:///etc/passwd", "not an http or https URL"),
        ("http://", "not an http or https URL"),
        ("http://[::1", "Invalid IPv6 URL"),
        ("http://images.example/" + "x" * 2000, "give a key"),
        ("{", "Expecting property name"),
        ("{}", "url: Field required"),
        ('{"url": 5}', "url: Input should be a valid string"),
        ('{"url": "http://a.example/", "key": ""}', "key: String should have at least 1 character"),
        ('{"url": "http://a.example/", "lables": {}}', "lables: Extra inputs are not permitted"),
        ('{"url": "http://a.example/", "labels": {"subcategory": "cat"}}', "subcategory must be one of subcategories"),
        ('{"url": "http://a.example/", "metadata": {"x": NaN}}', "metadata.x"),
        ('{"url": "http://a.example/", "metadata": {"x": 1e999}}', "metadata.x"),
        ('{"url": "http://a.example/", "metadata": {"x": [1]}}', "metadata.x"),
        ('{"url": "http://a.example/", "key": "\\ud800"}', "key"),
        ('{"url": ' + "[" * 100_000, "recursion|nested"),
    ],
)
def test_a_line_that_is_neither_is_a_problem_with_its_number(line: str, says: str, tmp_path: Path) -> None:
    found = items(tmp_path, f"https://images.example/a.jpg\n{line}\nhttps://images.example/b.jpg\n")
    problem = found["line 000000002"]
    assert isinstance(problem, SourceProblem)
    assert problem.code == "malformed_line"
    assert problem.reason.startswith("line 2: ")
    assert re.search(says, problem.reason), problem.reason
    assert len(problem.reason) < 400
    assert [item.key for item in found.values() if isinstance(item, SourceImage)] == [
        "images.example/a.jpg",
        "images.example/b.jpg",
    ]


def test_a_url_that_came_before_is_a_problem(tmp_path: Path) -> None:
    found = items(tmp_path, "https://images.example/a.jpg\nhttp://images.example/a.jpg\n")
    assert [(item.key, getattr(item, "code", None)) for item in found.values()] == [
        ("images.example/a.jpg", None),
        ("line 000000002", "duplicate"),
    ]


def test_bytes_that_are_no_text_are_no_list(tmp_path: Path) -> None:
    with pytest.raises(InvalidSource):
        items(tmp_path, b"\x89PNG\r\n\x1a\n\xff\xff")
    with pytest.raises(InvalidSource):
        UrlListSource(tmp_path / "nothing.txt", never)


def test_an_empty_list_is_a_gallery_of_nothing(tmp_path: Path) -> None:
    assert items(tmp_path, "") == {}
