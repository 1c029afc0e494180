"""What every gallery source promises (lookalike/galleries/port.py)."""

import io
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import pytest
from PIL import Image

from lookalike.errors import ImageTooLarge, InvalidImage, InvalidSource, LookalikeError, UrlRefused, UrlUnreachable
from lookalike.galleries.coco import CocoSource
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.demo.generate import generate
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.open import open_source
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from lookalike.galleries.s3_prefix import S3PrefixSource
from lookalike.galleries.url_list import UrlListSource
from lookalike.storage.local import LocalStore
from lookalike.storage.s3_bucket import Found
from lookalike.types.images import MAX_KEY_CHARS

# Names whose order by code point differs from that of the file system, of folders before files, of case, and of
# the locale; one in both Unicode forms of é.
NAMES = [
    "Z.png",
    "a.png",
    "a/b.png",
    "a-b.png",
    "a0.png",
    "animal/cat/1.png",
    "animal/cat/10.png",
    "animal/cat/2.png",
    "animal.png",
    "caf\u00e9.png",
    "cafe\u0301.png",
    "\u65e5\u672c/\u5199\u771f.png",
    "\U0001f41f/\U0001f41f.png",
    "\ufb01.png",
]
UNKNOWN = SourceImage("gone.png", "gone.png")


def _png(text: str) -> bytes:
    buffer = io.BytesIO()
    colour = tuple(text.encode()[-3:])
    Image.new("RGB", (3, 2), colour).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Case:
    """``truth`` are the bytes of every image by key; ``problems`` the keys of what can't be read."""

    open: Callable[[], GallerySource]
    truth: dict[str, bytes]
    problems: set[str]
    max_bytes: int | None = None


def _files(root: Path) -> dict[str, bytes]:
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_png(name))
    return {name: _png(name) for name in NAMES}


def folder(tmp_path: Path) -> Case:
    truth = _files(tmp_path / "images")
    (tmp_path / "images" / "broken.png").symlink_to(tmp_path / "nothing")
    (tmp_path / "outside.png").write_bytes(_png("outside"))
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "outside.png")
    (tmp_path / "images" / "notes.txt").write_text("no image")
    return Case(lambda: FolderSource(tmp_path / "images"), truth, {"broken.png", "link.png"})


def coco(tmp_path: Path) -> Case:
    truth = _files(tmp_path / "images")
    listed = [*reversed(NAMES), "missing.png", "../outside.png"]
    document = {
        "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
        "images": [{"id": number, "file_name": name} for number, name in enumerate(listed)],
        "annotations": [{"image_id": number, "category_id": 1, "area": 1} for number in range(len(listed))],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document))
    return Case(lambda: CocoSource(path, tmp_path / "images"), truth, {"missing.png", "../outside.png"})


def table(tmp_path: Path) -> Case:
    truth = _files(tmp_path / "images")
    path = tmp_path / "labels.csv"
    rows = [*reversed(NAMES), "missing.png", NAMES[0], "x,y"]
    path.write_text("file\n" + "\n".join(rows) + "\n", encoding="utf-8")
    problems = {"missing.png", f"{NAMES[0]}#duplicate", f"line {len(rows) + 1:09}"}
    return Case(lambda: CsvSource(path, tmp_path / "images"), truth, problems)


def _fetch(url: str) -> bytes:
    if url == "gone.png":
        raise UrlUnreachable("gone")
    return _png(urlsplit(url).path)


def urls(tmp_path: Path) -> Case:
    path = tmp_path / "urls.txt"
    lines = ["https://images.example/b.png", "http://images.example/a.png?x=1", "# note", "", "ftp://no.example/"]
    path.write_text("\n".join(lines) + "\n")
    truth = {"images.example/b.png": _png("/b.png"), "images.example/a.png?x=1": _png("/a.png")}
    return Case(lambda: UrlListSource(path, _fetch), truth, {"line 000000005"})


def json_lines(tmp_path: Path) -> Case:
    path = tmp_path / "urls.jsonl"
    lines = [
        json.dumps({"url": f"https://images.example/{number}.png", "key": key}) for number, key in enumerate(NAMES)
    ]
    path.write_text("\n".join([*reversed(lines), '{"key": "no url"}', lines[0]]) + "\n")
    truth = {key: _png(f"/{number}.png") for number, key in enumerate(NAMES)}
    problems = {f"line {len(lines) + 1:09}", f"line {len(lines) + 2:09}"}
    return Case(lambda: UrlListSource(path, _fetch), truth, problems)


def demo(tmp_path: Path) -> Case:
    gallery = generate(tmp_path, num_images=4, workers=1)
    truth = {path.name: path.read_bytes() for path in gallery.images.iterdir()}
    return Case(lambda: CocoSource(gallery.annotations, gallery.images), truth, set())


class Shelf:
    """A test double for a bucket that is kept in a folder, so that this suite needs no server.

    tests/unit/galleries/test_galleries_s3_prefix.py reads a real one.
    """

    def __init__(self, root: Path) -> None:
        self._store = LocalStore(root)

    def list(self, prefix: str) -> Iterator[Found]:
        for info in self._store.list(prefix):
            yield Found(info.key, info.size_bytes, info.etag)

    def download(self, key: str, sink: BinaryIO) -> None:
        sink.write(self._store.get(key))

    def close(self) -> None:
        """Nothing is open."""


def bucket(tmp_path: Path) -> Case:
    truth = _files(tmp_path / "bucket" / "of" / "images")
    store = LocalStore(tmp_path / "bucket")
    for passed_over in ("of/images/.hidden.png", "of/images/.folder/1.png", "of/images/notes.txt", "of/imagesX.png"):
        store.put(passed_over, b"")
    return Case(lambda: S3PrefixSource(Shelf(tmp_path / "bucket"), "bucket", "of/images/"), truth, set())


@pytest.fixture(params=[folder, coco, table, urls, json_lines, demo, bucket], ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    made: Case = request.param(tmp_path)
    return made


@pytest.fixture
def source(case: Case) -> Iterator[GallerySource]:
    opened = case.open()
    yield opened
    opened.close()


def images_of(source: GallerySource) -> list[SourceImage]:
    return [item for item in source.images() if isinstance(item, SourceImage)]


def test_every_image_once_and_every_problem(case: Case, source: GallerySource) -> None:
    items = list(source.images())
    assert {item.key for item in items if isinstance(item, SourceImage)} == set(case.truth)
    problems = [item for item in items if isinstance(item, SourceProblem)]
    assert {problem.key for problem in problems} == case.problems
    assert all(problem.code and problem.reason for problem in problems)


def test_keys_ascend_strictly_by_code_point(source: GallerySource) -> None:
    keys = [item.key for item in source.images()]
    assert all(before < after for before, after in itertools.pairwise(keys)), keys
    assert all(1 <= len(key) <= MAX_KEY_CHARS for key in keys)
    assert all(key.encode() for key in keys), "a key is text"


def test_the_same_every_time_and_for_two_readers_at_once(case: Case, source: GallerySource) -> None:
    once = list(source.images())
    assert list(source.images()) == once
    assert list(zip(source.images(), source.images(), strict=True)) == list(zip(once, once, strict=True))
    again = case.open()
    try:
        assert list(again.images()) == once
        assert again.description == source.description
    finally:
        again.close()


def test_an_iteration_may_be_left_half_way(source: GallerySource) -> None:
    iterator = iter(source.images())
    next(iterator)
    del iterator
    assert list(source.images())


def test_the_bytes_of_every_image_from_several_threads(case: Case, source: GallerySource) -> None:
    images = images_of(source) * 5
    with ThreadPoolExecutor(8) as executor:
        for image, data in zip(images, executor.map(source.read, images), strict=True):
            assert data == case.truth[image.key]


def test_bytes_are_read_while_the_iteration_goes_on(case: Case, source: GallerySource) -> None:
    found = {item.key: source.read(item) for item in source.images() if isinstance(item, SourceImage)}
    assert found == case.truth


def test_what_has_gone_is_an_error_of_ours(source: GallerySource) -> None:
    with pytest.raises((InvalidImage, UrlRefused, UrlUnreachable)):
        source.read(UNKNOWN)


def test_the_description_is_one_line(source: GallerySource) -> None:
    assert source.description
    assert "\n" not in source.description


def test_nothing_is_left_behind(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    opened = case.open()
    for _ in opened.images():
        pass
    opened.close()
    assert list(temporary.iterdir()) == []
    opened.close()  # twice does no harm


@pytest.mark.parametrize("make", [folder, coco, table])
def test_a_stamp_changes_with_the_bytes_and_only_with_them(make: Callable[[Path], Case], tmp_path: Path) -> None:
    source = make(tmp_path).open()
    before = {image.key: image.stamp for image in images_of(source)}
    assert all(before.values())
    changed = tmp_path / "images" / "a.png"
    changed.write_bytes(_png("other"))
    os.utime(changed, ns=(0, 1))  # as a copy that keeps an old time would
    after = {image.key: image.stamp for image in images_of(source)}
    source.close()
    assert {key for key in before if before[key] != after[key]} == {"a.png"}


@pytest.mark.parametrize("kind", ["folder", "coco", "csv"])
def test_a_file_over_the_limit_is_not_read(kind: str, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    with (root / "big.png").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing, on no disk
    (tmp_path / "t.csv").write_text("file\nbig.png\n")
    (tmp_path / "c.json").write_text(
        json.dumps(
            {
                "categories": [{"id": 1, "name": "cat", "supercategory": "animal"}],
                "images": [{"id": 1, "file_name": "big.png"}],
                "annotations": [{"image_id": 1, "category_id": 1}],
            }
        )
    )
    source = {
        "folder": lambda: FolderSource(root, max_bytes=1000),
        "coco": lambda: CocoSource(tmp_path / "c.json", root, max_bytes=1000),
        "csv": lambda: CsvSource(tmp_path / "t.csv", root, max_bytes=1000),
    }[kind]()
    (image,) = images_of(source)
    with pytest.raises(ImageTooLarge):
        source.read(image)
    source.close()


@pytest.mark.parametrize(
    "name", ["nothing", "nothing.json", "nothing.csv", "nothing.txt", "x" * 5000, "a\0b", "~nobody/x"]
)
def test_what_does_not_exist_is_said_at_once(name: str, tmp_path: Path) -> None:
    text = name if name.startswith("~") else f"{tmp_path}/{name}"
    with pytest.raises(InvalidSource) as caught:
        open_source(text, images_root=tmp_path, fetcher=_fetch)
    assert isinstance(caught.value, LookalikeError)
    assert len(caught.value.message) < 1000
