"""A table of images as a gallery."""

from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import InvalidSource
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import ImageRecord, Labels


def items(tmp_path: Path, text: str | bytes, **options: Any) -> dict[str, SourceImage | SourceProblem]:
    root = tmp_path / "images"
    root.mkdir(exist_ok=True)
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (root / name).write_bytes(b"x")
    table = tmp_path / "labels.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    source = CsvSource(table, root, **options)
    try:
        return {item.key: item for item in source.images()}
    finally:
        source.close()


def image(tmp_path: Path, text: str, **options: Any) -> SourceImage:
    found = items(tmp_path, text, **options)["a.jpg"]
    assert isinstance(found, SourceImage)
    return found


def test_all_labels_and_the_one_with_the_taxonomy_beside_the_table(tmp_path: Path) -> None:
    """The shape of the labels.csv that the figures on real photographs are made with."""
    (tmp_path / "taxonomy.json").write_text('{"broccoli": "food", "orange": "food", "giraffe": "animal"}')
    found = items(
        tmp_path,
        "file,label_source,split2017,subcategories,supercategories,single_label\n"
        "a.jpg,instances,train,broccoli;orange,food,\n"
        "b.jpg,captions,val,giraffe,animal,giraffe\n",
    )
    first, second = found["a.jpg"], found["b.jpg"]
    assert isinstance(first, SourceImage)
    assert isinstance(second, SourceImage)
    assert first.labels == Labels(subcategories=("broccoli", "orange"), supercategories=("food",))
    assert first.metadata == {"label_source": "instances", "split2017": "train"}
    assert second.labels == Labels.single("giraffe", "animal")


@pytest.mark.parametrize("column", ["subcategory", "label", "single_label", " label "])
def test_the_names_of_the_label_column(column: str, tmp_path: Path) -> None:
    assert image(tmp_path, f"file,{column}\na.jpg,cat\n").labels == Labels.single("cat")


def test_a_table_may_say_both_levels_itself_and_contradict_the_taxonomy(tmp_path: Path) -> None:
    found = image(tmp_path, "file,subcategory,supercategory\na.jpg,cat,pet\n", taxonomy={"cat": "animal"})
    assert (found.labels.subcategory, found.labels.supercategory) == ("cat", "pet")
    assert found.labels.supercategories == ("animal", "pet")
    only = image(tmp_path, "file,supercategory\na.jpg,animal\n")
    assert only.labels == Labels.single(None, "animal")


def test_an_explicit_taxonomy_goes_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "taxonomy.json").write_text('{"cat": "animal"}')
    assert image(tmp_path, "file,label\na.jpg,cat\n", taxonomy={"cat": "pet"}).labels == Labels.single("cat", "pet")
    assert image(tmp_path, "file,label\na.jpg,cat\n", taxonomy={}).labels == Labels.single("cat")


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("0.0", 0.0),
        ("007", "007"),
        ("1e999", "1e999"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("-inf", "-inf"),
        ("1_000", "1_000"),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("9" * 400, "9" * 400),
        ("9" * 5000, "9" * 5000),
        ("\u0663", "\u0663"),
        (" x ", " x "),
        ("true", "true"),
    ],
)
def test_metadata_are_numbers_only_where_nothing_is_lost(cell: str, value: object, tmp_path: Path) -> None:
    """ "nan" as a number once made a record that could be written and never read again."""
    found = image(tmp_path, f"file,note\na.jpg,{cell}\n").metadata
    assert found == {"note": value}
    assert type(found["note"]) is type(value)
    record = ImageRecord(
        image_id="", key="a", sha256="", size_bytes=1, width=1, height=1, format="png", metadata=dict(found)
    )
    assert ImageRecord.model_validate_json(record.model_dump_json()) == record


def test_quotes_commas_line_ends_a_byte_order_mark_and_empty_lines(tmp_path: Path) -> None:
    text = '\ufefffile,note\r\n"a.jpg","one, ""two""\r\nthree"\r\n\r\nb.jpg,\r\n'
    found = items(tmp_path, text)
    assert list(found) == ["a.jpg", "b.jpg"]
    assert isinstance(found["a.jpg"], SourceImage)
    assert found["a.jpg"].metadata == {"note": 'one, "two"\r\nthree'}


def test_rows_that_are_not_right_are_problems_with_their_line_and_stop_nothing(tmp_path: Path) -> None:
    found = items(
        tmp_path,
        "file,label\n"
        "a.jpg,cat\n"
        "b.jpg\n"
        "c.jpg,dog,extra\n"
        ",cat\n"
        "../out.jpg,cat\n"
        "/etc/passwd,cat\n"
        "gone.jpg,cat\n"
        "a.jpg,dog\n"
        "c.jpg,dog\n",
    )
    assert {key: item.code for key, item in found.items() if isinstance(item, SourceProblem)} == {
        "line 000000003": "malformed_line",
        "line 000000004": "malformed_line",
        "line 000000005": "malformed_line",
        "../out.jpg": "unsafe_name",
        "/etc/passwd": "unsafe_name",
        "gone.jpg": "missing_file",
        "a.jpg#duplicate": "duplicate",
    }
    first, last = found["a.jpg"], found["c.jpg"]
    assert isinstance(first, SourceImage)
    assert first.labels.subcategory == "cat"
    assert isinstance(last, SourceImage)
    problem = found["line 000000004"]
    assert isinstance(problem, SourceProblem)
    assert problem.reason == "line 4 has 3 cells, not 2"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no column 'file'"),
        ("\n", "no column 'file'"),
        ("name,label\na.jpg,cat\n", "no column 'file'"),
        ("file,label,label\na.jpg,cat,dog\n", "more than one column means 'subcategory'"),
        ("file,label,single_label\na.jpg,cat,dog\n", "more than one column means 'subcategory'"),
        ("file,file\na.jpg,b.jpg\n", "more than one column means 'file'"),
        ('file,label\nb.jpg,cat\n"a.jpg,cat\n', "after line 2"),
        ('file,label\na.jpg,"ca"t\n', "after line 1"),
        ("file,label\na.jpg," + "x" * 200_000 + "\n", "field larger"),
        (b"file,label\na.jpg,caf\xe9\n", "utf-8"),
        (b"\xff\xd8\xff\xe0" * 100, "utf-8"),
    ],
)
def test_what_is_no_table_is_refused_and_said_where(text: str | bytes, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidSource, match=says) as caught:
        items(tmp_path, text)
    assert "labels.csv" in caught.value.message


@pytest.mark.parametrize("content", ["[]", "not json", "[" * 100_000, '"cat"', "\udcff"])
def test_a_taxonomy_that_is_none_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "taxonomy.json").write_text(content, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(InvalidSource):
        items(tmp_path, "file\na.jpg\n")


def test_the_real_table_has_the_counts_that_are_stated_beside_it(shared_data: Path) -> None:
    data = shared_data / "data" / "coco-asf"
    source = CsvSource(data / "labels.csv", data / "images")
    found = [item for item in source.images() if isinstance(item, SourceImage)]
    assert len(found) == len(list(source.images())) == 1589, "no problems"
    source.close()
    assert sum(item.labels.subcategory is not None for item in found) == 1395
    assert len({sub for item in found for sub in item.labels.subcategories}) == 29
    assert {over for item in found for over in item.labels.supercategories} == {"animal", "sports", "food"}
    assert all(item.labels.supercategory for item in found if item.labels.subcategory)
