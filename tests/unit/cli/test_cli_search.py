"""search: by file, image_id and URL, with filters, options and a picture of the answer."""

import json
from pathlib import Path

import pytest
from cli_outcome import EACH_BACKEND, Cli
from PIL import Image


@pytest.mark.parametrize("backend", EACH_BACKEND)
def test_a_file_finds_its_like_on_every_backend(ready: Cli, pictures: Path, backend: str) -> None:
    said = ready("search", "colors", pictures / "warm" / "red" / "3.png", "-k", "4", "-b", backend, "--json")
    found = said.document
    assert (found["backend"], len(found["hits"]), said.status) == (backend, 4, 0)
    assert found["hits"][0]["key"] == "warm/red/3.png"
    assert found["hits"][0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert {hit["labels"]["subcategory"] for hit in found["hits"]} == {"red"}


def test_people_get_a_table(ready: Cli, pictures: Path) -> None:
    said = ready("search", "colors", pictures / "cold" / "blue" / "1.png", "-k", "2")
    assert "cold/blue/1.png" in said.out
    assert "1.0000" in said.out
    assert "color_edges@1 through faiss" in said.err


def test_an_image_id_finds_the_others_when_it_is_excluded(ready: Cli, pictures: Path) -> None:
    first = ready("search", "colors", pictures / "warm" / "red" / "3.png", "-k", "1", "--json").document["hits"][0]
    found = ready("search", "colors", first["image_id"], "-k", "3", "--exclude-self", "--json").document
    assert first["image_id"] not in [hit["image_id"] for hit in found["hits"]]
    assert len(found["hits"]) == 3


def test_filter_offset_least_similarity_and_params_are_passed_on(ready: Cli, pictures: Path) -> None:
    query = pictures / "warm" / "red" / "3.png"
    blue = json.dumps({"field": "subcategory", "equals": "blue"})
    found = ready("search", "colors", query, "-k", "24", "--filter", blue, "--json").document["hits"]
    assert [hit["labels"]["subcategory"] for hit in found] == ["blue"] * 8
    later = ready("search", "colors", query, "-k", "2", "--offset", "3", "--json").document["hits"]
    assert [hit["rank"] for hit in later] == [4, 5]
    near = ready("search", "colors", query, "-k", "24", "--min-similarity", "0.9", "--json").document["hits"]
    assert near
    assert all(hit["similarity"] >= 0.9 for hit in near)
    assert ready("search", "colors", query, "-b", "qdrant", "--params", '{"ef_search": 90}').status == 0


def test_the_grid_is_a_picture_of_query_and_hits(ready: Cli, pictures: Path, tmp_path: Path) -> None:
    query = pictures / "warm" / "red" / "3.png"
    said = ready("search", "colors", query, "-k", "7", "--grid", tmp_path / "hits.png")
    assert "wrote" in said.err
    with Image.open(tmp_path / "hits.png") as grid:
        grid.load()
        assert grid.format == "PNG"
        assert grid.width == 5 * 176  # the query and seven hits, five a row
        assert grid.height == 2 * (176 + 18)
        red, green, blue = grid.convert("RGB").getpixel((88, 88))  # type: ignore[misc]
        assert red > 150 > max(green, blue)
    by_id = ready("search", "colors", query, "-k", "1", "--json").document["hits"][0]["image_id"]
    assert ready("search", "colors", by_id, "-k", "2", "--grid", tmp_path / "by_id.png").status == 0
    assert (tmp_path / "by_id.png").stat().st_size > 1000


def test_a_grid_that_cannot_be_written_is_one_line(ready: Cli, pictures: Path, tmp_path: Path) -> None:
    said = ready("search", "colors", pictures / "warm" / "red" / "3.png", "--grid", tmp_path / "absent" / "hits.png")
    assert said.status == 2
    assert said.err.splitlines()[-1] == f"lookalike: {tmp_path / 'absent' / 'hits.png'}: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png"], "'nowhere.png' is no file, no image_id and no URL"),
        (["."], "'.' is no file, no image_id and no URL"),
        (["00000000-0000-0000-0000-000000000000"], "'colors' has no image 00000000-0000-0000-0000-000000000000"),
        (["http://127.0.0.1/x.png"], "'127.0.0.1' is not a public address"),
        (["HTTP://169.254.169.254/latest"], "'169.254.169.254' is not a public address"),
        (["QUERY", "-b", "faust"], "color_edges@1 has no faust index live in 'colors'"),
        (["QUERY", "-m", "absent"], "'absent' is not live in 'colors'; live: color_edges@1"),
        (["QUERY", "--filter", "{bad"], "--filter takes a JSON object: Expecting property name"),
        (["QUERY", "--filter", "[1]"], "--filter takes a JSON object, not '[1]'"),
        (["QUERY", "--filter", '{"field": "size"}'], "filter"),
        (["QUERY", "--params", "7"], "--params takes a JSON object, not '7'"),
        (["QUERY", "-b", "exact", "--params", '{"ef": 1}'], "unknown parameter 'ef'"),
        (["QUERY", "-b", "qdrant", "--params", '{"ef_search": -5}'], "ef_search must be in"),
        (["QUERY", "--params", '{"deep": {"er": 1}}'], "params.deep"),
        (["QUERY", "-k", "0"], "Invalid value for '-k'"),
        (["QUERY", "-k", "1001"], "Invalid value for '-k'"),
        (["QUERY", "--min-similarity", "2"], "Invalid value for '--min-similarity'"),
        (["QUERY", "second.png"], "Got unexpected extra argument(s) (second.png)"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(
    ready: Cli, pictures: Path, arguments: list[str], message: str
) -> None:
    query = str(pictures / "warm" / "red" / "3.png")
    outcome = ready("search", "colors", *(query if part == "QUERY" else part for part in arguments))
    assert outcome.status == 2
    assert outcome.error.startswith(message)


def test_a_file_that_is_no_image_is_refused(ready: Cli, pictures: Path) -> None:
    outcome = ready("search", "colors", pictures / "warm" / "red" / "broken.jpg")
    assert (outcome.status, bool(outcome.error)) == (2, True)
