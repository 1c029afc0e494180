"""What is in a backup, whatever happens meanwhile: a whole moment, no garbage, and each byte once."""

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from backed_up import GALLERY, NEW, OLD, Tiles, answers, backed_up, content, restored, tiles_in

from lookalike.catalog import keys
from lookalike.catalog.indexes import TunedParams
from lookalike.catalog.orphans import find_garbage, references
from lookalike.catalog.snapshot import NEVER_YOUNG
from lookalike.errors import BackupRunning, DamagedArtifact, InvalidRequest
from lookalike.pipeline import backup_copy
from lookalike.pipeline.backup_format import (
    BACKUPS,
    ENTRIES,
    OBJECTS,
    find_backup,
    list_backups,
    manifest_key,
    read_entries,
)
from lookalike.pipeline.backup_lock import Held
from lookalike.pipeline.backup_prune import prune
from lookalike.pipeline.backup_verify import Verification, verify
from lookalike.pipeline.change import embed_and_follow
from lookalike.pipeline.collect import collect
from lookalike.pipeline.index_gallery import roll_back_gallery
from lookalike.pipeline.retention import Retention
from lookalike.storage.digests import file_sha256
from lookalike.storage.local import LocalStore
from lookalike.storage.port import ObjectInfo, ObjectStore
from lookalike.storage.tar import TarReader, TarWriter

AT_ONCE = Retention(keep_s=0, keep_former=5)


@pytest.fixture
def tiles(tmp_path: Path) -> Iterator[Tiles]:
    made = tiles_in(tmp_path / "one")
    yield made
    made.close()


@pytest.fixture
def place(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "backups")


class HookedStore(LocalStore):
    """A store in which something happens once, before an object is read whose key has ``text`` in it."""

    def __init__(self, root: Path, text: str, happens: Callable[[], object]) -> None:
        super().__init__(root)
        self.text, self.happens, self.happened = text, happens, 0

    def get(self, key: str) -> bytes:
        if self.text in key and not self.happened:
            self.happened += 1
            self.happens()
        return super().get(key)


def garbage_in(store: ObjectStore) -> set[str]:
    """The keys of what nothing refers to, however young."""
    kept = references(store, GALLERY, NEVER_YOUNG)
    return {info.key for one in find_garbage(store, GALLERY, kept, NEVER_YOUNG) for info in one.objects}


def verified(place: LocalStore, tmp_path: Path, backup_id: str | None = None) -> Verification:
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return verify(place, find_backup(place, backup_id), scratch)


def test_what_comes_back_answers_as_what_was_backed_up(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    before, live = answers(tiles), tiles.at.store.get(keys.live(GALLERY))
    made = backed_up(tiles, place)
    assert made.galleries[GALLERY].num_images == 30
    assert made.galleries[GALLERY].live == {OLD: ["exact", "faiss"], NEW: ["exact", "faiss"]}
    with restored(tmp_path / "two", place) as (back, report):
        assert back.at.store.get(keys.live(GALLERY)) == live
        assert answers(back) == before
        assert (report.written, report.there, report.built) == (made.num_objects, 0, ())
        assert back.keys() == tiles.keys()
        # It goes on from there: images come and go, and what was promoted can be rolled back.
        back.put(40)
        embed_and_follow(back.at, GALLERY)
        assert 40 in back.keys_of()
        roll_back_gallery(back.at, GALLERY)
        assert back.find(5)[0] == OLD
        assert collect(back.at, GALLERY, Retention()).deleted == {}


def test_there_is_no_garbage_in_it_and_everything_else(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    tiles.at.store.put("something/new.json", b"of a later version")
    backed_up(tiles, place)
    ours = {entry.key: entry for entry in read_entries(place, find_backup(place, None))}
    assert list(ours) == sorted(ours)
    with restored(tmp_path / "two", place) as (back, _):
        assert content(back.at.store).keys() == ours.keys()
        assert garbage_in(back.at.store) == set()
    garbage = garbage_in(tiles.at.store)
    assert garbage
    assert content(tiles.at.store).keys() - garbage == ours.keys()


def test_what_is_there_is_not_copied_again(tiles: Tiles, place: LocalStore) -> None:
    first = backed_up(tiles, place)
    assert (first.new_objects > 30, first.new_bytes) == (True, first.size_bytes)
    second = backed_up(tiles, place)
    assert (second.new_objects, second.new_bytes, second.num_objects) == (0, 0, first.num_objects)
    assert second.parts == first.parts
    tiles.put(50)
    third = backed_up(tiles, place)
    assert 0 < third.new_objects < 8
    assert [one.backup_id for one in list_backups(place)] == [
        third.backup_id,
        second.backup_id,
        first.backup_id,
    ]


def test_an_unchanged_store_is_not_even_read(tiles: Tiles, place: LocalStore) -> None:
    backed_up(tiles, place)

    def read() -> None:
        raise AssertionError("an image was read again")

    backed_up(tiles, place, store=HookedStore(tiles.folder / "store", "/images/", read))


def test_changes_meanwhile_are_in_the_next_one(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    before = answers(tiles)

    def change() -> None:
        tiles.put(60)
        embed_and_follow(tiles.at, GALLERY)
        tiles.take(7)
        roll_back_gallery(tiles.at, GALLERY)

    store = HookedStore(tiles.folder / "store", "/images/", change)
    backed_up(tiles, place, store=store)
    assert store.happened == 1
    assert verified(place, tmp_path).num_damaged == 0
    with restored(tmp_path / "two", place) as (back, _):
        assert answers(back) == before
        assert back.find(0)[0] == NEW
    backed_up(tiles, place)
    with restored(tmp_path / "three", place) as (back, _):
        assert back.keys() == tiles.keys()
        assert back.find(0)[0] == OLD


def test_what_became_garbage_and_was_collected_meanwhile_makes_it_take_another_moment(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    def collected() -> None:
        tiles.take(*range(10, 20))
        collect(tiles.at, GALLERY, AT_ONCE)

    store = HookedStore(tiles.folder / "store", "/images/", collected)
    backed_up(tiles, place, store=store)
    assert store.happened == 1
    assert verified(place, tmp_path).num_damaged == 0
    with restored(tmp_path / "two", place) as (back, _):
        assert back.keys() == tiles.keys()
        assert back.keys_of(NEW, "faiss") == tiles.keys_of(NEW, "faiss") == tiles.keys()


def test_a_gallery_that_is_deleted_meanwhile_is_not_in_it(tiles: Tiles, place: LocalStore) -> None:
    tiles.at.galleries.create("other")
    store = HookedStore(tiles.folder / "store", "/images/", lambda: tiles.at.galleries.delete(GALLERY))
    made = backed_up(tiles, place, store=store)
    assert list(made.galleries) == ["other"]
    assert [entry.key for entry in read_entries(place, made) if GALLERY in entry.key] == []


def test_what_is_damaged_in_the_store_is_named_and_all_else_is_saved(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    images = [info.key for info in tiles.at.store.list(f"galleries/{GALLERY}/images/")]
    damaged = bytearray(tiles.at.store.get(images[0]))
    damaged[-1] ^= 1
    tiles.at.store.put(images[0], bytes(damaged))
    tiles.at.store.delete(images[1])
    made = backed_up(tiles, place)
    assert made.damaged == (f"{images[0]} does not have its digest", f"1 images of {GALLERY} are missing")
    assert verified(place, tmp_path).num_damaged == 2
    with restored(tmp_path / "two", place) as (back, _):
        assert answers(back) == answers(tiles)


def test_a_backup_that_is_not_whole_takes_no_other_s_place(tiles: Tiles, place: LocalStore) -> None:
    backed_up(tiles, place)
    former = content(tiles.at.store).keys()
    tiles.put(70)
    (new,) = [key for key in content(tiles.at.store).keys() - former if "/images/" in key]
    tiles.at.store.put(new, b"other bytes")
    assert len(backed_up(tiles, place, keep=1).damaged) == 1
    assert len(list_backups(place)) == 2


def test_what_a_former_backup_has_whole_is_whole_in_the_next(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    backed_up(tiles, place)
    key = next(info.key for info in tiles.at.store.list(f"galleries/{GALLERY}/images/"))
    tiles.at.store.put(key, tiles.at.store.get(key)[::-1])
    assert backed_up(tiles, place).damaged == ()
    assert verified(place, tmp_path).num_damaged == 0


def test_a_gallery_of_which_nobody_knows_what_it_needs_is_left_out_and_named(tiles: Tiles, place: LocalStore) -> None:
    tiles.at.galleries.create("other")
    live = tiles.at.pointers.get(GALLERY)
    assert live is not None
    tiles.at.store.delete(keys.embedding_set(GALLERY, live.models[NEW].base))
    made = backed_up(tiles, place)
    assert list(made.galleries) == ["other"]
    assert GALLERY in made.damaged[0]


def test_an_index_whose_files_are_not_whole_is_built_by_the_restore(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    live = tiles.at.pointers.get(GALLERY)
    assert live is not None
    index_id = live.models[NEW].indexes["faiss"]
    manifest = tiles.at.indexes.get(GALLERY, index_id)
    tiles.at.store.delete(f"{keys.index_folder(GALLERY, index_id)}{manifest.files[0].name}")
    assert backed_up(tiles, place).damaged == (f"index {index_id} of {GALLERY} lacks files",)
    with restored(tmp_path / "two", place) as (back, report):
        assert report.built == (index_id,)
        assert back.find(5, backend="faiss")[1][0] == 5


def test_without_the_files_of_indexes_a_restore_builds_the_same_ones(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    before, live = answers(tiles), tiles.at.pointers.get(GALLERY)
    assert live is not None
    index_id = live.models[NEW].indexes["faiss"]
    tuned = TunedParams(params={}, target_knn_recall=0.9, knn_recall=0.95, latency_p50_ms=0.1, k=10)
    tiles.at.indexes.put_tuned(GALLERY, index_id, tuned)
    backed_up(tiles, place, with_indexes=False)
    assert not [
        entry.key
        for entry in read_entries(place, find_backup(place, None))
        if "/indexes/" in entry.key and not entry.key.endswith(("index.json", "tuned.json"))
    ]
    assert verified(place, tmp_path).num_damaged == 0
    with restored(tmp_path / "two", place) as (back, report):
        assert len(report.built) == 4
        assert set(live.models[NEW].indexes.values()) <= set(report.built)
        assert back.at.pointers.get(GALLERY) == live
        assert back.at.indexes.tuned(GALLERY, index_id) == tuned
        assert answers(back) == before


def test_older_ones_go_with_what_only_they_had(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    first = backed_up(tiles, place)
    tiles.take(*range(8, 16))
    embed_and_follow(tiles.at, GALLERY)
    collect(tiles.at, GALLERY, AT_ONCE)
    second = backed_up(tiles, place)
    before = {info.key for info in place.list(OBJECTS)}
    assert prune(place, 1) == [first.backup_id]
    assert [one.backup_id for one in list_backups(place)] == [second.backup_id]
    needed = {entry.sha256 for entry in read_entries(place, second)}
    after = {info.key for info in place.list(OBJECTS)}
    assert {key.rpartition("/")[2] for key in after} == needed
    assert len(after) < len(before)
    assert {info.key for info in place.list(ENTRIES)} == {f"{ENTRIES}{part.digest}.jsonl" for part in second.parts}
    assert verified(place, tmp_path).num_damaged == 0
    with pytest.raises(InvalidRequest):
        prune(place, 0)


def test_every_flipped_byte_and_every_missing_object_is_found(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    made = backed_up(tiles, place)
    entries = list(read_entries(place, made))
    images = [f"{OBJECTS}{one.sha256[:2]}/{one.sha256}" for one in entries if "/images/" in one.key][:2]
    flipped = bytearray(place.get(images[0]))
    flipped[3] ^= 64
    place.put(images[0], bytes(flipped))
    place.delete(images[1])
    found = verified(place, tmp_path)
    assert (found.num_damaged, found.num_objects) == (2, made.num_objects)
    assert {reason.split(" ")[0].rpartition("/")[2] for reason in found.damaged} == {
        key.rpartition("/")[2] for key in images
    }
    with restored_fails(tmp_path / "two", place) as error:
        assert error.key in {one.key for one in entries}
    # A missing one is copied again by itself, a damaged one when all is.
    assert backed_up(tiles, place).new_objects == 1
    backed_up(tiles, place, full=True)
    assert verified(place, tmp_path).num_damaged == 0
    assert verified(place, tmp_path, made.backup_id).num_damaged == 0


class restored_fails:  # noqa: N801 -- reads like the function
    """A restore that raises DamagedArtifact; ``key`` is what it named."""

    def __init__(self, folder: Path, place: LocalStore) -> None:
        with pytest.raises(DamagedArtifact) as raised, restored(folder, place):
            pass
        self.key = raised.value.details["key"]

    def __enter__(self) -> "restored_fails":
        return self

    def __exit__(self, *error: object) -> None: ...


def test_a_damaged_list_is_found(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    made = backed_up(tiles, place)
    place.put(f"{ENTRIES}{made.parts[0].digest}.jsonl", b"{}\n")
    assert verified(place, tmp_path).num_damaged == 1
    assert backed_up(tiles, place).new_objects == 0
    assert verified(place, tmp_path).num_damaged == verified(place, tmp_path, made.backup_id).num_damaged == 0


def test_a_former_backup_that_nobody_can_read_is_in_nobody_s_way(tiles: Tiles, place: LocalStore) -> None:
    first = backed_up(tiles, place)
    place.put(f"backups/{first.backup_id}.json", b"{")
    second = backed_up(tiles, place)
    assert second.new_objects == 0
    assert find_backup(place, None) == second


def test_what_the_backup_lacks_is_found_although_every_digest_is_right(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    made = backed_up(tiles, place)
    (part,) = made.parts
    lines = place.get(f"{ENTRIES}{part.digest}.jsonl").splitlines(keepends=True)
    lacking = next(line for line in lines if b"/images/" in line)
    lines.remove(lacking)
    import hashlib

    data = b"".join(lines)
    digest = hashlib.sha256(data).hexdigest()
    place.put(f"{ENTRIES}{digest}.jsonl", data)
    altered = made.model_copy(update={"parts": (part.model_copy(update={"digest": digest}),)})
    place.put(f"backups/{made.backup_id}.json", altered.model_dump_json().encode())
    found = verified(place, tmp_path)
    assert found.num_damaged == 1
    assert json.loads(lacking)["key"].rpartition("/")[2] in found.damaged[0]


def test_one_file_holds_a_whole_backup(tiles: Tiles, tmp_path: Path) -> None:
    before, path = answers(tiles), tmp_path / "all.tar"
    with TarWriter(path) as writer:
        made = backed_up(tiles, writer)  # type: ignore[arg-type]
        assert not path.exists()
    reader = TarReader(path)
    try:
        assert find_backup(reader, None) == made
        (tmp_path / "scratch").mkdir()
        assert verify(reader, made, tmp_path / "scratch").num_damaged == 0
        with restored(tmp_path / "two", reader) as (back, _):
            assert answers(back) == before
    finally:
        reader.close()


def test_half_a_file_is_no_backup(tiles: Tiles, tmp_path: Path) -> None:
    path = tmp_path / "all.tar"
    with suppress(ZeroDivisionError), TarWriter(path) as writer:
        writer.put("objects/ab", b"1")
        raise ZeroDivisionError
    assert list(tmp_path.glob("*.tar*")) == list(tmp_path.glob(".all*")) == []
    with TarWriter(path) as writer:
        backed_up(tiles, writer)  # type: ignore[arg-type]
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DamagedArtifact):
        TarReader(path)


def test_a_tar_file_is_whole_or_refused(tmp_path: Path) -> None:
    """Wherever it breaks off, also between two objects and within a header, and where a header is damaged."""
    path = tmp_path / "all.tar"
    with TarWriter(path) as writer:
        for number in range(3):
            writer.put(f"objects/{number}", bytes([number + 1]) * 700)
    whole = path.read_bytes()
    end = 3 * (512 + 1024)
    for size in sorted({*range(0, end + 1024, 100), *range(0, end + 1024, 512), end + 1023}):
        path.write_bytes(whole[:size])
        with pytest.raises(DamagedArtifact, match="no whole tar file"):
            TarReader(path)
    for position in (512 + 1024, 2 * (512 + 1024) + 150, end + 600):
        path.write_bytes(whole[:position] + b"?" + whole[position + 1 :])
        with pytest.raises(DamagedArtifact, match="no whole tar file"):
            TarReader(path)
    path.write_bytes(whole[: end + 1024])
    reader = TarReader(path)
    try:
        assert [reader.get(found.key)[:1] for found in reader.list("")] == [b"\1", b"\2", b"\3"]
    finally:
        reader.close()


def test_large_objects_are_streamed_and_checked(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    big = bytes(range(256)) * 8192  # two megabytes
    tiles.at.store.put("models/big/archives/x.mar", big)

    class FarAway(LocalStore):
        """A store that is not on this machine."""

        def local_path(self, key: str) -> Path | None:
            return None

        def get(self, key: str) -> bytes:
            assert not key.endswith(".mar"), "a large object was held in memory"
            return super().get(key)

    made = backed_up(tiles, place, store=FarAway(tiles.folder / "store"))
    assert verified(place, tmp_path).num_damaged == 0
    with restored(tmp_path / "two", place) as (back, _):
        assert back.at.store.get("models/big/archives/x.mar") == big
    assert made.size_bytes > len(big)
    info: ObjectInfo | None = place.head("lock.json")
    assert info is None  # nobody asked for a lock


def test_the_one_that_was_just_made_is_kept_whatever_the_clock_said_before(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    ahead = backed_up(tiles, place, now=lambda: tomorrow)
    made = backed_up(tiles, place, keep=1)
    assert [one.backup_id for one in list_backups(place)] == [made.backup_id]
    assert verified(place, tmp_path, made.backup_id).num_damaged == 0
    assert ahead.backup_id > made.backup_id


def test_a_backup_under_another_name_is_not_removed_in_place_of_an_older_one(
    tiles: Tiles, place: LocalStore, tmp_path: Path
) -> None:
    first = backed_up(tiles, place)
    place.put(f"{BACKUPS}zz.json", place.get(manifest_key(first.backup_id)))
    place.delete(manifest_key(first.backup_id))
    prune(place, 1)
    assert [one.backup_id for one in list_backups(place)] == [first.backup_id]


def test_what_others_left_among_the_objects_disturbs_nothing(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    backed_up(tiles, place)
    for name in (".DS_Store", "ab/abcd", "ab/note.txt"):
        place.put(f"{OBJECTS}{name}", b"")
        place.put(f"{BACKUPS}{name}", b"")
    made = backed_up(tiles, place, keep=1)
    assert made.new_objects == 0
    assert verified(place, tmp_path).num_damaged == 0
    assert place.head(f"{OBJECTS}.DS_Store") is not None


def test_who_has_lost_the_lock_removes_nothing(tiles: Tiles, place: LocalStore, tmp_path: Path) -> None:
    """Another process may be writing by now, which counts on what is there."""
    backed_up(tiles, place)
    before = {info.key for info in place.list("")}
    held = Held()

    class Losing(LocalStore):
        def put(self, key: str, data: bytes) -> str:
            held.is_lost = key.startswith(BACKUPS)
            return super().put(key, data)

    with pytest.raises(BackupRunning):
        backed_up(tiles, Losing(tmp_path / "backups"), lock=nullcontext(held), keep=1)
    assert before <= {info.key for info in place.list("")}


def test_a_file_that_changes_while_it_is_copied_is_in_it_as_it_was_or_as_it_is(
    tiles: Tiles, place: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long ledger of failures, which is written again between two looks at its file."""
    key = keys.failures(GALLERY, "ingest")
    tiles.at.store.put(key, b"1" * (2 << 20))

    def file_sha256_and_then(path: Path) -> str:
        found = file_sha256(path)
        if tiles.at.store.get(key).startswith(b"1"):
            tiles.at.store.put(key, b"2" * (2 << 20))
        return found

    monkeypatch.setattr(backup_copy, "file_sha256", file_sha256_and_then)
    backed_up(tiles, place)
    assert tiles.at.store.get(key).startswith(b"2")
    assert verified(place, tmp_path).damaged == ()
