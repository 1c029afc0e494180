"""An interrupted ingest goes on behind what it had settled; what it noted is believed only while that is safe."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_ingest_runs import GALLERY, Bench, Shelf, counts, png

from lookalike.catalog import keys
from lookalike.catalog.orphans import Kind, find_garbage, references
from lookalike.errors import GalleryNotFound, UrlUnreachable
from lookalike.pipeline import ingest_notes
from lookalike.pipeline.ingest_notes import Note, Notes
from lookalike.types.images import Labels


class Interrupted(BaseException):
    """As the end of a process, nobody handles it."""


class Fragile(Shelf):
    """Ends whoever reads one of its images."""

    def __init__(self, deadly: str, **contents: "bytes | Exception") -> None:
        super().__init__(**contents)
        self.deadly: str | None = deadly

    def read(self, image: "object") -> bytes:
        if getattr(image, "key", None) == self.deadly:
            raise Interrupted
        return super().read(image)  # type: ignore[arg-type]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Notes are written one by one, not every few seconds."""
    monkeypatch.setattr(ingest_notes, "WRITE_EVERY_S", 0.0)
    return Bench(tmp_path / "store")


def interrupt(bench: Bench, shelf: Fragile, **options: object) -> list[str]:
    """What was read until the end, one after the other."""
    with pytest.raises(Interrupted):
        bench.run(shelf, threads=1, **options)
    return shelf.read_since()


def noted(bench: Bench) -> list[str]:
    return [info.key for info in bench.store.list(f"galleries/{GALLERY}/ingesting/")]


def shelf_of(number: int, deadly: str) -> Fragile:
    return Fragile(deadly, **{f"{index:02}": png(index) for index in range(number)})


def test_what_was_settled_is_not_read_again(bench: Bench, tmp_path: Path) -> None:
    shelf = shelf_of(20, deadly="12")
    read = interrupt(bench, shelf)
    assert {"00", "05", "11"} <= set(read)
    assert len(noted(bench)) >= 8
    shelf.deadly = None
    shelf.labels["03"] = Labels.single("cat", "animal")
    report = bench.run(shelf)
    assert counts(report) == (20, 0, 0, 0, 0)
    again = shelf.read_since()
    assert not set(again) & {f"{index:02}" for index in range(8)}
    assert {f"{index:02}" for index in range(12, 20)} <= set(again)
    assert noted(bench) == []
    records = bench.records()
    assert records["03"].labels == Labels.single("cat", "animal")
    undisturbed = Bench(tmp_path / "other")
    assert undisturbed.run(shelf).version_id == report.version_id


def test_one_that_changed_meanwhile_is_read_again(bench: Bench) -> None:
    shelf = shelf_of(20, deadly="15")
    interrupt(bench, shelf)
    shelf.deadly = None
    shelf.contents["02"] = png(99)
    shelf.contents["025"] = png(98)
    bench.run(shelf)
    again = shelf.read_since()
    assert {"02", "025"} <= set(again)
    assert "01" not in again
    assert bench.records()["02"].sha256 != bench.records()["01"].sha256


def test_interrupted_again_and_again_it_comes_to_its_end(bench: Bench) -> None:
    """Also where each run manages only a little: none begins at the beginning."""
    shelf = shelf_of(60, deadly="10")
    total = 0
    for deadly in ("10", "20", "30", "40", "50"):
        shelf.deadly = deadly
        total += len(interrupt(bench, shelf))
    shelf.deadly = None
    assert counts(bench.run(shelf)) == (60, 0, 0, 0, 0)
    total += len(shelf.read_since())
    assert total < 60 + 6 * 8  # each run reads a few ahead of what is noted


def test_failures_are_noted_too_and_tried_again_where_that_is_wanted(bench: Bench) -> None:
    contents: dict[str, bytes | Exception] = {f"{index:02}": png(index) for index in range(20)}
    contents["01"], contents["02"] = b"no image", UrlUnreachable("it does not answer")
    shelf = Fragile("15", **contents)
    interrupt(bench, shelf)
    shelf.deadly = None
    report = bench.run(shelf)
    assert counts(report) == (18, 0, 0, 0, 2)
    assert not {"01", "02"} & set(shelf.read_since())
    assert {key: failure.attempts for key, failure in bench.failures().items()} == {"01": 1, "02": 1}

    shelf.deadly, shelf.contents["16"] = "18", png(77)
    shelf.contents["18"] = png(78)
    interrupt(bench, shelf, retry_failed=True)
    shelf.deadly = None
    bench.run(shelf, retry_failed=True)
    assert {"01", "02"} <= set(shelf.read_since())


def test_old_notes_are_not_believed_and_those_without_a_stamp_not_for_long(bench: Bench) -> None:
    shelf = shelf_of(12, deadly="10")
    shelf.stamps = {"01": None}
    interrupt(bench, shelf)

    def believed(after: timedelta) -> list[str]:
        source = next(iter(bench.store.list(f"galleries/{GALLERY}/ingesting/"))).key.split("/")[3]
        notes = Notes(bench.store, GALLERY, "", 7200, now=lambda: datetime.now(UTC) + after)
        folder = keys.ingest_notes(GALLERY, "")
        for info in list(bench.store.list(f"galleries/{GALLERY}/ingesting/{source}/")):
            bench.store.put(folder + info.key.rpartition("/")[2], bench.store.get(info.key))
        return [note.key for note in notes.before()]

    assert believed(timedelta(0))[:3] == ["00", "01", "02"]
    assert believed(timedelta(minutes=61))[:3] == ["00", "02", "03"]
    assert believed(timedelta(minutes=121)) == []


def test_notes_that_cannot_be_read_cost_only_work(bench: Bench) -> None:
    shelf = shelf_of(12, deadly="10")
    interrupt(bench, shelf)
    for key in noted(bench):
        bench.store.put(key, b"{")
    shelf.deadly = None
    assert counts(bench.run(shelf)) == (12, 0, 0, 0, 0)
    assert len(shelf.read_since()) == 12


def test_notes_that_nobody_comes_back_for_are_garbage_one_day(bench: Bench) -> None:
    interrupt(bench, shelf_of(12, deadly="10"))

    def garbage(cutoff: datetime) -> Iterator[Kind]:
        kept = references(bench.store, GALLERY, cutoff)
        return (one.kind for one in find_garbage(bench.store, GALLERY, kept, cutoff))

    assert Kind.NOTES not in set(garbage(datetime.now(UTC) - timedelta(hours=1)))
    found = list(garbage(datetime.now(UTC) + timedelta(hours=1)))
    assert found.index(Kind.IMAGE) == found.count(Kind.NOTES) > 0  # they refer to images, so they go before them


def test_many_notes_are_written_together(tmp_path: Path) -> None:
    bench, now = Bench(tmp_path / "store"), 0.0
    bench.galleries.create(GALLERY)
    notes = Notes(bench.store, GALLERY, "s", 3600, clock=lambda: now)
    for index in range(10):
        notes.add(Note(key=f"{index}", stamp="x"))
    assert noted(bench) == []
    now = ingest_notes.WRITE_EVERY_S
    notes.add(Note(key="9a", stamp="x"))
    assert len(noted(bench)) == 1
    assert [note.key for note in Notes(bench.store, GALLERY, "s", 3600).before()] == [*map(str, range(10)), "9a"]


class Dropping(Shelf):
    """Somebody deletes the gallery while one of its images is read."""

    def __init__(self, bench: Bench, at: str, **contents: bytes) -> None:
        super().__init__(**contents)
        self.bench, self.at = bench, at

    def read(self, image: "object") -> bytes:
        if getattr(image, "key", None) == self.at:
            self.at = ""
            self.bench.galleries.delete(GALLERY)
        return super().read(image)  # type: ignore[arg-type]


def test_what_was_noted_and_deleted_with_its_gallery_is_read_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notes are written after the deletion, and the bytes that they speak of were there before it."""
    monkeypatch.setattr(ingest_notes, "WRITE_EVERY_S", 3600.0)
    monkeypatch.setattr(ingest_notes, "_MOST", 10)
    shelf = Dropping(bench, "05", **{f"{index:02}": png(index) for index in range(20)})
    with pytest.raises(GalleryNotFound):
        bench.run(shelf, threads=1)
    assert noted(bench)
    assert counts(bench.run(shelf)) == (20, 0, 0, 0, 0)
    lacking = [
        key for key, record in bench.records().items() if bench.store.head(keys.image(GALLERY, record.sha256)) is None
    ]
    assert lacking == []


def test_notes_of_a_run_that_goes_on_replace_none_that_it_has_not_read_yet(bench: Bench) -> None:
    shelf = shelf_of(30, deadly="25")
    interrupt(bench, shelf)
    shelf.deadly = "27"
    shelf.contents["00"] = png(99)
    interrupt(bench, shelf)
    shelf.deadly = None
    bench.run(shelf)
    assert not set(shelf.read_since()) & {f"{index:02}" for index in range(1, 20)}
