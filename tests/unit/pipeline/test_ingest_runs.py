"""Ingesting: what is read again, what is removed, what failures do, and that nothing half done is ever seen."""

import io
import os
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lookalike.catalog import keys
from lookalike.catalog.galleries import Galleries
from lookalike.errors import (
    GalleryNotFound,
    InvalidSource,
    PreconditionFailed,
    UrlRefused,
    UrlUnreachable,
)
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import INGEST, Failure, Ledger
from lookalike.pipeline.ingest import IngestReport, ingest
from lookalike.pipeline.progress import Progress
from lookalike.storage.local import LocalStore
from lookalike.types.ids import image_id, sha256_hex
from lookalike.types.images import ImageRecord, Labels

GALLERY = "photos"


def png(grey: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 3), grey).save(buffer, "PNG")
    return buffer.getvalue()


class Shelf:
    """A source in memory that counts what is read from it. Values are bytes, or an error to raise or yield."""

    description = "a shelf"

    def __init__(self, **contents: "bytes | Exception | SourceProblem") -> None:
        self.contents: dict[str, Any] = dict(contents)
        self.labels: dict[str, Labels] = {}
        self.stamps: dict[str, str | None] = {}
        self.reads: list[str] = []

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for key, content in sorted(self.contents.items()):
            if isinstance(content, SourceProblem):
                yield content
            else:
                stamp = self.stamps.get(key, sha256_hex(content) if isinstance(content, bytes) else str(content))
                yield SourceImage(key, key, self.labels.get(key, Labels()), {}, stamp)

    def read(self, image: SourceImage) -> bytes:
        self.reads.append(image.key)
        content = self.contents[image.locator]
        if isinstance(content, Exception):
            raise content
        assert isinstance(content, bytes)
        return content

    def close(self) -> None:
        pass

    def read_since(self) -> list[str]:
        """What was read since the last call."""
        reads, self.reads = sorted(self.reads), []
        return reads


class Bench:
    """A store in a folder, with what ingesting needs."""

    def __init__(self, folder: Path) -> None:
        self.store = LocalStore(folder)
        self.galleries = Galleries(self.store)
        self.ledger = Ledger(self.store)

    def run(self, source: Any, **options: Any) -> IngestReport:
        options = {"limits": ImageLimits(), **options}
        return ingest(self.store, self.galleries, self.ledger, GALLERY, source, **options)

    def records(self) -> dict[str, ImageRecord]:
        return {record.key: record for record in self.galleries.records(self.galleries.version(GALLERY))}

    def failures(self) -> dict[str, Failure]:
        return self.ledger.read(GALLERY, INGEST)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "store")


def counts(report: IngestReport) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.removed, report.failed


def test_a_record_says_what_the_image_is(bench: Bench) -> None:
    shelf = Shelf(a=png(1))
    shelf.labels["a"] = Labels.single("cat", "animal")
    report = bench.run(shelf)
    assert counts(report) == (1, 0, 0, 0, 0)
    record = bench.records()["a"]
    digest = sha256_hex(png(1))
    assert record == ImageRecord(
        image_id=image_id(GALLERY, "a"),
        key="a",
        sha256=digest,
        size_bytes=len(png(1)),
        width=4,
        height=3,
        format="png",
        labels=Labels.single("cat", "animal"),
        stamp=digest,
        source=record.source,
    )
    assert bench.store.get(f"galleries/{GALLERY}/images/{digest[:2]}/{digest}") == png(1)
    assert report.version_id == bench.galleries.get(GALLERY).version_id
    assert bench.galleries.get(GALLERY).sources == {record.source: "a shelf"}


def test_what_is_unchanged_is_not_read_again(bench: Bench) -> None:
    shelf = Shelf(**{f"{number:02}": png(number) for number in range(50)})
    first = bench.run(shelf)
    assert len(shelf.read_since()) == 50
    second = bench.run(shelf)
    assert shelf.read_since() == []
    assert counts(second) == (0, 0, 50, 0, 0)
    assert second.version_id == first.version_id, "the same images are the same version"


def test_only_what_changed_is_read(bench: Bench) -> None:
    shelf = Shelf(a=png(1), b=png(2), d=png(4))
    bench.run(shelf)
    shelf.read_since()
    shelf.contents |= {"b": png(20), "c": png(3), "e": png(5)}
    del shelf.contents["d"]
    assert counts(bench.run(shelf)) == (2, 1, 1, 1, 0)
    assert shelf.read_since() == ["b", "c", "e"]
    assert {key: record.sha256 for key, record in bench.records().items()} == {
        key: sha256_hex(data) for key, data in shelf.contents.items()
    }


def test_labels_change_without_reading(bench: Bench) -> None:
    shelf = Shelf(a=png(1), b=png(2))
    bench.run(shelf)
    shelf.read_since()
    shelf.labels["a"] = Labels.single("dog")
    assert counts(bench.run(shelf)) == (0, 1, 1, 0, 0)
    assert shelf.read_since() == []
    assert bench.records()["a"].labels == Labels.single("dog")


def test_a_source_without_stamps_is_read_every_time(bench: Bench) -> None:
    shelf = Shelf(a=png(1))
    shelf.stamps["a"] = None
    bench.run(shelf)
    bench.run(shelf)
    assert shelf.reads == ["a", "a"]


def test_a_source_that_has_become_empty_empties_its_part(bench: Bench) -> None:
    bench.run(Shelf(a=png(1)))
    assert counts(bench.run(Shelf())) == (0, 0, 0, 1, 0)
    assert bench.records() == {}


def test_the_same_bytes_under_two_keys_are_stored_once(bench: Bench) -> None:
    bench.run(Shelf(a=png(1), b=png(1)))
    assert len(list(bench.store.list(f"galleries/{GALLERY}/images/"))) == 1
    assert bench.records()["a"].image_id != bench.records()["b"].image_id


# Failures


def test_one_bad_image_stops_no_other_and_each_has_its_code(bench: Bench) -> None:
    shelf = Shelf(
        a=png(1),
        b=b"not an image",
        c=png(3)[:-20],
        d=b"",
        e=UrlRefused("inside"),
        f=UrlUnreachable("gone"),
        g=SourceProblem("g", "missing_file", "not there"),
        h=png(8),
    )
    assert counts(bench.run(shelf)) == (2, 0, 0, 0, 6)
    assert list(bench.records()) == ["a", "h"]
    assert {key: failure.code for key, failure in bench.failures().items()} == {
        "b": "unsupported_image",
        "c": "invalid_image",
        "d": "invalid_image",
        "e": "url_refused",
        "f": "url_unreachable",
        "g": "missing_file",
    }
    assert all(failure.reason and failure.attempts == 1 for failure in bench.failures().values())
    assert all(failure.stage == INGEST and failure.source for failure in bench.failures().values())
    assert bench.ledger.all(GALLERY) == list(bench.failures().values())


def test_a_failure_is_tried_again_only_when_the_file_changed_or_when_asked(bench: Bench) -> None:
    shelf = Shelf(a=b"bad", b=png(2))
    bench.run(shelf)
    shelf.read_since()
    assert counts(bench.run(shelf)) == (0, 0, 1, 0, 1)
    assert shelf.read_since() == []
    assert bench.failures()["a"].attempts == 1, "it was not tried"

    bench.run(shelf, retry_failed=True)
    assert shelf.read_since() == ["a"]
    bench.run(shelf, retry_failed=True)
    assert bench.failures()["a"].attempts == 3

    shelf.contents["a"] = b"bad in another way"
    bench.run(shelf)
    assert bench.failures()["a"].attempts == 4
    shelf.contents["a"] = png(1)
    assert counts(bench.run(shelf)) == (1, 0, 1, 0, 0)
    assert bench.failures() == {}
    assert list(bench.store.list(f"galleries/{GALLERY}/failures/")) == []


def test_a_problem_of_the_source_counts_its_attempts_and_goes_when_it_is_mended(bench: Bench) -> None:
    shelf = Shelf(a=SourceProblem("a", "missing_file", "not there"))
    for attempts in (1, 2, 3):
        bench.run(shelf)
        assert bench.failures()["a"].attempts == attempts
    shelf.contents["a"] = png(1)
    bench.run(shelf)
    assert bench.failures() == {}
    del shelf.contents["a"]
    shelf.contents["b"] = b"bad"
    bench.run(shelf)
    del shelf.contents["b"]
    bench.run(shelf)
    assert bench.failures() == {}, "what the source no longer has is no failure"


def test_an_image_that_became_bad_leaves_the_gallery(bench: Bench) -> None:
    shelf = Shelf(a=png(1), b=png(2), c=png(3))
    bench.run(shelf)
    shelf.contents |= {"a": b"bad", "b": SourceProblem("b", "missing_file", "not there")}
    assert counts(bench.run(shelf)) == (0, 0, 1, 2, 2)
    assert list(bench.records()) == ["c"]


def test_an_image_whose_server_is_silent_stays_and_one_that_is_gone_goes(bench: Bench) -> None:
    """An outage of a server once emptied the gallery of its images."""
    shelf = Shelf(a=png(1), b=png(2), c=png(3))
    shelf.stamps = dict.fromkeys("abc")
    bench.run(shelf)
    shelf.contents |= {
        "a": UrlUnreachable("timed out"),
        "b": UrlUnreachable("the server answered 503", status=503),
        "c": UrlUnreachable("the server answered 404", status=404),
    }
    assert counts(bench.run(shelf)) == (0, 0, 2, 1, 3)
    assert list(bench.records()) == ["a", "b"]
    assert set(bench.failures()) == {"a", "b", "c"}


# Several sources in one gallery


def test_two_sources_keep_their_own(bench: Bench) -> None:
    first, second = Shelf(a=png(1), c=png(3), x=b"bad"), Shelf(b=png(2), d=png(4), y=b"bad")
    bench.run(first, source_id="first")
    bench.run(second, source_id="second")
    assert {key: record.source for key, record in bench.records().items()} == {
        "a": "first",
        "b": "second",
        "c": "first",
        "d": "second",
    }
    assert set(bench.failures()) == {"x", "y"}
    del first.contents["c"], first.contents["x"]
    first.read_since(), second.read_since()
    assert counts(bench.run(first, source_id="first")) == (0, 0, 1, 1, 0)
    assert list(bench.records()) == ["a", "b", "d"]
    assert set(bench.failures()) == {"y"}
    assert (first.read_since(), second.read_since()) == ([], [])
    assert set(bench.galleries.get(GALLERY).sources) == {"first", "second"}


def test_a_key_of_both_belongs_to_the_last_and_a_bad_one_takes_nothing_away(bench: Bench) -> None:
    first = Shelf(a=png(1), b=png(2), c=png(3))
    bench.run(first, source_id="first")
    second = Shelf(a=png(10), b=b"bad", c=SourceProblem("c", "missing_file", "not there"))
    for _ in range(2):  # the second time the failures are known
        report = bench.run(second, source_id="second")
        assert {key: record.source for key, record in bench.records().items()} == {
            "a": "second",
            "b": "first",
            "c": "first",
        }
        assert (report.removed, report.failed, report.num_images) == (0, 2, 3)


def test_two_sources_that_fail_under_one_key_have_an_entry_each(bench: Bench) -> None:
    first, second = Shelf(a=b"bad"), Shelf(a=b"bad too")
    for _ in range(2):
        bench.run(first, source_id="first")
        bench.run(second, source_id="second")
    assert (first.reads, second.reads) == (["a"], ["a"]), "each is known and not tried again"
    assert [(entry.key, entry.source) for entry in bench.ledger.all(GALLERY)] == [("a", "first"), ("a", "second")]


# Nothing half done


class Failing(Shelf):
    """Its listing, or reading of one image, ends with an error that is nobody's bad image."""

    def __init__(self, where: str, **contents: Any) -> None:
        super().__init__(**contents)
        self.where = where

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for item in super().images():
            if self.where == "listing" and item.key == "c":
                raise InvalidSource("the list ends here")
            yield item

    def read(self, image: SourceImage) -> bytes:
        if self.where == "reading" and image.key == "c":
            raise RuntimeError("a bug")
        return super().read(image)


@pytest.mark.parametrize(("where", "error"), [("listing", InvalidSource), ("reading", RuntimeError)])
def test_a_source_that_fails_in_the_middle_leaves_the_gallery_as_it_was(
    where: str, error: type[Exception], bench: Bench
) -> None:
    bench.run(Shelf(a=png(1), b=b"bad"), source_id="s")
    before = bench.galleries.get(GALLERY), bench.records(), bench.failures()
    broken = Failing(where, a=png(10), c=png(3), d=b"bad")
    with pytest.raises(error):
        bench.run(broken, source_id="s")
    assert (bench.galleries.get(GALLERY), bench.records(), bench.failures()) == before
    broken.where = "nowhere"
    assert counts(bench.run(broken, source_id="s")) == (1, 1, 0, 0, 1)


def test_a_source_out_of_order_is_refused_and_changes_nothing(bench: Bench) -> None:
    class Unordered(Shelf):
        def images(self) -> Iterator[SourceImage | SourceProblem]:
            yield from reversed(list(super().images()))

    bench.run(Shelf(a=png(1)))
    before = bench.records()
    with pytest.raises(InvalidSource, match="order"):
        bench.run(Unordered(a=png(1), b=png(2)))
    assert bench.records() == before


class Meddling(Shelf):
    """While it is read, somebody else changes the gallery."""

    meddle: Callable[[], object]

    def read(self, image: SourceImage) -> bytes:
        self.meddle()
        return super().read(image)


def test_a_gallery_that_changed_meanwhile_is_not_overwritten(bench: Bench) -> None:
    bench.run(Shelf(a=png(1)), source_id="first")
    shelf = Meddling(b=png(2))
    shelf.meddle = lambda: bench.galleries.apply(GALLERY, {"a": None})
    with pytest.raises(PreconditionFailed):
        bench.run(shelf, source_id="second")
    assert bench.records() == {}
    shelf.meddle = lambda: None
    bench.run(shelf, source_id="second")
    assert list(bench.records()) == ["b"]


def test_a_gallery_that_is_deleted_meanwhile_does_not_come_back(bench: Bench) -> None:
    bench.run(Shelf(a=png(1)))
    shelf = Meddling(b=png(2))
    shelf.meddle = lambda: bench.galleries.delete(GALLERY)
    with pytest.raises(GalleryNotFound):
        bench.run(shelf)
    with pytest.raises(GalleryNotFound):
        bench.galleries.get(GALLERY)


_KILLED = """
import os, signal, sys
from pathlib import Path
from lookalike.catalog.galleries import Galleries
from lookalike.galleries.folder import FolderSource
from lookalike.images.limits import ImageLimits
from lookalike.jobs.ledger import Ledger
from lookalike.pipeline.ingest import ingest
from lookalike.storage.local import LocalStore

class Deadly(FolderSource):
    def read(self, image):
        if image.key == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(image)

store = LocalStore(Path(sys.argv[1]))
ingest(store, Galleries(store), Ledger(store), "photos", Deadly(Path(sys.argv[2])), limits=ImageLimits(), threads=2)
"""


def test_a_process_killed_in_the_middle_has_changed_nothing_and_the_next_run_completes(
    bench: Bench, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(60):
        (images / f"{number:02}.png").write_bytes(png(number))
    (images / "05.png").write_bytes(b"bad")
    for victim in ("20.png", "50.png"):
        done = subprocess.run(
            [sys.executable, "-c", _KILLED, str(tmp_path / "store"), str(images), victim], timeout=60, check=False
        )
        assert done.returncode == -signal.SIGKILL
        assert bench.records() == {}
        assert bench.failures() == {}
        stored = list(bench.store.list(f"galleries/{GALLERY}/images/"))
        assert len(stored) > int(victim[:2]) / 2, "bytes that were read before are there already"
    report = bench.run(FolderSource(images))
    assert counts(report) == (59, 0, 0, 0, 1)
    for record in bench.records().values():
        data = bench.store.get(f"galleries/{GALLERY}/images/{record.sha256[:2]}/{record.sha256}")
        assert sha256_hex(data) == record.sha256


def test_every_kind_of_bad_file_in_a_folder_lands_in_the_ledger_with_its_code(bench: Bench, tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    jpeg = io.BytesIO()
    Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)).save(jpeg, "JPEG")
    files = {
        "cut.jpg": jpeg.getvalue()[: len(jpeg.getvalue()) // 2],
        "cut.png": png(7)[:-12],
        **{f"cut.{name}": _cut(name) for name in ("webp", "gif", "bmp", "tif")},
        "empty.jpg": b"",
        "large.png": bytes(3001),
        "one-pixel.png": _sized(1, 1),
        "pixels.png": _sized(101, 100),
        "text.jpg": b"this is text",
        "vector.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        "wrong-extension.bmp": jpeg.getvalue(),
        "\u00fcn\u00efcode \U0001f408.png": png(9),
    }
    for name, data in files.items():
        (root / name).write_bytes(data)
    (tmp_path / "secret.png").write_bytes(png(1))
    (root / "outside.png").symlink_to(tmp_path / "secret.png")
    (root / "nowhere.png").symlink_to(tmp_path / "nothing.png")
    os.mkfifo(root / "pipe.png")
    report = bench.run(FolderSource(root, max_bytes=3000), limits=ImageLimits(max_bytes=3000, max_pixels=10_000))
    assert {key: failure.code for key, failure in bench.failures().items()} == {
        "cut.jpg": "invalid_image",
        "cut.png": "invalid_image",
        **{f"cut.{name}": "invalid_image" for name in ("webp", "gif", "bmp", "tif")},
        "empty.jpg": "invalid_image",
        "large.png": "image_too_large",
        "nowhere.png": "unreadable",
        "outside.png": "symlink_outside",
        "pipe.png": "unreadable",
        "pixels.png": "image_too_large",
        "text.jpg": "unsupported_image",
        "vector.png": "unsupported_image",
    }
    formats = {key: record.format for key, record in bench.records().items()}
    assert formats == {"one-pixel.png": "png", "wrong-extension.bmp": "jpeg", "\u00fcn\u00efcode \U0001f408.png": "png"}
    assert (report.added, report.failed) == (3, 14)


def _cut(suffix: str) -> bytes:
    """A file without its last quarter."""
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    Image.fromarray(noise).save(
        buffer, {"tif": "TIFF"}.get(suffix, suffix), **({"compression": "tiff_lzw"} if suffix == "tif" else {})
    )
    return buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4]


def _sized(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


# How it runs


def test_progress_counts_up_to_all_and_names_failures(bench: Bench) -> None:
    seen: list[Progress] = []
    shelf = Shelf(**{f"{number:03}": png(number % 250) for number in range(200)}, zzz=b"bad")
    bench.run(shelf, report=seen.append)
    assert [progress.done for progress in seen] == [64, 128, 192, 200]
    assert all(progress.stage == "ingest" for progress in seen)
    assert (seen[-1].total, seen[-1].failed) == (200, 1)


@pytest.mark.parametrize("threads", [1, 2, 16])
def test_the_number_of_threads_changes_nothing(threads: int, tmp_path: Path) -> None:
    shelf = Shelf(**{f"{number:03}": png(number % 250) for number in range(100)}, zzz=b"bad")
    versions = {Bench(tmp_path / str(n)).run(shelf, threads=n).version_id for n in (threads, 4)}
    assert len(versions) == 1


class Endless(Shelf):
    """Many small images that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for number in range(self._count):
            yield SourceImage(f"{number:08}", "", stamp="1")

    def read(self, image: SourceImage) -> bytes:
        return _TINY


_TINY = png(1)


def test_the_records_of_a_gallery_do_not_sit_in_memory(bench: Bench) -> None:
    """20,000 images: Python's peak is that of one part of records (at most 4,096) to read and one to write."""

    def peak_bytes(work: Callable[[], object]) -> int:
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    first = peak_bytes(lambda: bench.run(Endless(20_000), source_id="endless"))
    again = peak_bytes(lambda: bench.run(Endless(20_000), source_id="endless"))
    everything = peak_bytes(lambda: sorted(bench.records()))
    print(f"peaks: {first} first, {again} unchanged, {everything} with all records")  # noqa: T201 -- with -s
    assert bench.galleries.version(GALLERY).num_images == 20_000
    assert first < everything / 2
    assert again < everything / 2


def test_a_gallery_deleted_and_made_again_meanwhile_is_not_filled_with_what_went_with_the_first(bench: Bench) -> None:
    class Replacing(Shelf):
        def read(self, image: SourceImage) -> bytes:
            if image.key == "15" and not self.reads.count("15"):
                bench.galleries.delete(GALLERY)
                bench.galleries.create(GALLERY)
            return super().read(image)

    shelf = Replacing(**{f"{index:02}": png(index) for index in range(20)})
    with pytest.raises(PreconditionFailed):
        bench.run(shelf, threads=1)
    assert bench.records() == {}
    assert counts(bench.run(shelf)) == (20, 0, 0, 0, 0)
    digests = {record.sha256 for record in bench.records().values()}
    assert all(bench.store.head(keys.image(GALLERY, digest)) for digest in digests)
