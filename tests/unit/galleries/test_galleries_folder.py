"""A folder as a gallery: labels, what is passed over, and everything odd that a folder can hold."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from lookalike.errors import InvalidImage, InvalidSource
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.sorted_names import sorted_names
from lookalike.types.images import MAX_KEY_CHARS, Labels


def put(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode(errors="surrogateescape"))


def found(root: Path) -> dict[str, SourceImage]:
    return {item.key: item for item in FolderSource(root).images() if isinstance(item, SourceImage)}


def problems(root: Path) -> dict[str, str]:
    return {item.key: item.code for item in FolderSource(root).images() if isinstance(item, SourceProblem)}


def test_labels_come_from_the_folders(tmp_path: Path) -> None:
    put(tmp_path, "x.jpg", "cat/x.jpg", "animal/cat/x.jpg", "animal/cat/young/2020/x.jpg")
    labels = {key: image.labels for key, image in found(tmp_path).items()}
    assert labels == {
        "x.jpg": Labels(),
        "cat/x.jpg": Labels.single("cat"),
        "animal/cat/x.jpg": Labels.single("cat", "animal"),
        "animal/cat/young/2020/x.jpg": Labels.single("cat", "animal"),
    }


def test_extensions_of_any_case_count_and_others_do_not(tmp_path: Path) -> None:
    images = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.gif", "f.bmp", "g.tif", "h.TIFF", "i.jpe", "j.jfif", "k.tar.jpg"]
    put(tmp_path, *images, "a.txt", "noextension", "a.jpg.bak", "x.svg", "jpg", "Thumbs.db")
    assert sorted(found(tmp_path)) == images
    assert problems(tmp_path) == {}


def test_hidden_files_and_folders_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, ".a.jpg", ".git/b.jpg", "c/.thumbnails/d.jpg", "c/e.jpg", "._f.jpg")
    assert list(found(tmp_path)) == ["c/e.jpg"]
    assert problems(tmp_path) == {}


def test_a_hidden_root_is_what_was_asked_for(tmp_path: Path) -> None:
    put(tmp_path, ".photos/a.jpg")
    assert list(found(tmp_path / ".photos")) == ["a.jpg"]


def test_links_inside_are_followed_and_those_outside_are_problems(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "real/a.jpg")
    put(tmp_path, "elsewhere/secret.jpg", "root-not/secret.jpg")
    (root / "inside.jpg").symlink_to(root / "real" / "a.jpg")
    (root / "relative.jpg").symlink_to("real/a.jpg")
    (root / "folder").symlink_to(root / "real")
    (root / "out.jpg").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    (root / "outfolder").symlink_to(tmp_path / "elsewhere")
    (root / "prefix").symlink_to(tmp_path / "root-not")
    (root / "notes").symlink_to(tmp_path / "elsewhere" / "secret.jpg")
    assert sorted(found(root)) == ["folder/a.jpg", "inside.jpg", "real/a.jpg", "relative.jpg"]
    assert problems(root) == {
        "out.jpg": "symlink_outside",
        "outfolder/": "symlink_outside",
        "prefix/": "symlink_outside",
    }


def test_a_link_that_is_turned_outside_after_listing_is_not_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    put(root, "a.jpg")
    put(tmp_path, "secret.jpg")
    source = FolderSource(root)
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    (root / "a.jpg").unlink()
    (root / "a.jpg").symlink_to(tmp_path / "secret.jpg")
    with pytest.raises(InvalidImage, match="leads out"):
        source.read(image)


def test_circles_end(tmp_path: Path) -> None:
    put(tmp_path, "a/b/x.jpg")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a" / "self")
    (tmp_path / "a" / "self.jpg").symlink_to(tmp_path / "a" / "self.jpg")
    (tmp_path / "a" / "one.jpg").symlink_to("two.jpg")
    (tmp_path / "a" / "two.jpg").symlink_to("one.jpg")
    assert list(found(tmp_path)) == ["a/b/x.jpg"]
    assert problems(tmp_path) == dict.fromkeys(["a/one.jpg", "a/self.jpg", "a/two.jpg"], "unreadable")


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    put(tmp_path, "real/a.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    source = FolderSource(tmp_path / "link")
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    assert (image.key, source.read(image)) == ("a.jpg", b"real/a.jpg")


def test_dangling_links_pipes_sockets_and_folders_with_an_images_name(tmp_path: Path) -> None:
    (tmp_path / "gone.jpg").symlink_to("nothing")
    os.mkfifo(tmp_path / "pipe.jpg")
    put(tmp_path, "folder.jpg/x.jpg")
    assert problems(tmp_path) == {"gone.jpg": "unreadable", "pipe.jpg": "unreadable"}
    assert found(tmp_path)["folder.jpg/x.jpg"].labels == Labels.single("folder.jpg")


def test_a_file_that_becomes_a_pipe_does_not_hang_the_reader(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    source = FolderSource(tmp_path)
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    (tmp_path / "a.jpg").unlink()
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(InvalidImage, match="regular"):
        source.read(image)


def test_a_file_that_vanishes_or_becomes_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    source = FolderSource(tmp_path)
    (image,) = [item for item in source.images() if isinstance(item, SourceImage)]
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(InvalidImage, match="cannot be read"):
        source.read(image)
    (tmp_path / "a.jpg").mkdir()
    with pytest.raises(InvalidImage):
        source.read(image)


def test_both_unicode_forms_of_a_name_are_two_images(tmp_path: Path) -> None:
    put(tmp_path, "caf\u00e9.jpg", "cafe\u0301.jpg", "\U0001f408/\U0001f408.jpg", "a\u202eb.jpg", "new\nline.jpg")
    images = found(tmp_path)
    assert set(images) == {
        "caf\u00e9.jpg",
        "cafe\u0301.jpg",
        "\U0001f408/\U0001f408.jpg",
        "a\u202eb.jpg",
        "new\nline.jpg",
    }
    assert all(FolderSource(tmp_path).read(image) == key.encode() for key, image in images.items())


def test_names_that_are_not_utf8_are_problems_in_order(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "ab.jpg", "z.jpg")
    for name in (b"a\xff.jpg", b"ok\xe9", b"latin\xe9.txt"):
        target = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 -- bytes
        try:
            with open(target, "wb"):  # noqa: PTH123 -- bytes
                pass
        except OSError:
            pytest.skip("this file system takes only UTF-8 names")
    folder = os.path.join(os.fsencode(tmp_path), b"dir\xfe")  # noqa: PTH118 -- bytes
    os.mkdir(folder)  # noqa: PTH102 -- bytes
    items = [item.key for item in FolderSource(tmp_path).images()]
    assert items == sorted(items)
    assert problems(tmp_path) == {"a\\udcff.jpg": "unreadable_name", "dir\\udcfe/": "unreadable_name"}
    assert list(found(tmp_path)) == ["a.jpg", "ab.jpg", "z.jpg"]


def test_the_longest_name_works_and_paths_over_the_limit_are_problems(tmp_path: Path) -> None:
    longest = "n" * 251 + ".jpg"
    deep = "/".join(["d" * 250] * 4)  # 1,003 characters
    put(
        tmp_path,
        longest,
        f"{deep}/{'x' * (MAX_KEY_CHARS - 1008)}.jpg",
        f"{deep}/{'y' * 40}.jpg",
        f"{deep}/{'z' * 40}.jpg",
    )
    assert set(map(len, found(tmp_path))) == {255, MAX_KEY_CHARS}
    assert list(problems(tmp_path).values()) == ["name_too_long", "name_too_long"]


def test_a_folder_that_cannot_be_listed_is_a_problem_and_its_neighbours_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root may list everything: so the refusal is the operating system's answer, put there."""
    put(tmp_path, "a/x.jpg", "locked/x.jpg", "z/x.jpg")
    scandir = os.scandir

    def refusing(path: "str | os.PathLike[str]") -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert list(found(tmp_path)) == ["a/x.jpg", "z/x.jpg"]
    assert problems(tmp_path) == {"locked/": "unreadable"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_and_a_folder_without_permission(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "locked/x.jpg", "z.jpg")
    (tmp_path / "a.jpg").chmod(0)
    (tmp_path / "locked").chmod(0)
    try:
        source = FolderSource(tmp_path)
        with pytest.raises(InvalidImage, match="Permission denied"):
            source.read(found(tmp_path)["a.jpg"])
        assert problems(tmp_path) == {"locked/": "unreadable"}
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_file_without_permission_is_an_invalid_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.jpg")
    image = found(tmp_path)["a.jpg"]

    def refusing(path: object, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(InvalidImage, match="Permission denied"):
        FolderSource(tmp_path).read(image)


@pytest.mark.parametrize("kind", ["nothing", "file", "dangling", "circle", "long", "zero"])
def test_what_is_no_folder_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    put(tmp_path, "file")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    path = {"long": tmp_path / ("x" * 5000), "zero": tmp_path / "a\0b"}.get(kind, tmp_path / kind)
    with pytest.raises(InvalidSource):
        FolderSource(path)


def test_an_empty_folder_is_a_gallery_of_nothing(tmp_path: Path) -> None:
    assert list(FolderSource(tmp_path).images()) == []


@pytest.mark.parametrize("in_memory", [0, 1, 7, 1000])
def test_names_are_sorted_the_same_in_memory_and_beyond(in_memory: int, tmp_path: Path) -> None:
    put(tmp_path, *(f"{number % 13}-{number}.jpg" for number in range(40)), "0/x.jpg", "\u00e9.jpg", "\U0001f408.jpg")
    names = list(sorted_names(tmp_path, in_memory=in_memory))
    assert names == sorted(names)
    assert len(names) == 43
    assert ("0/", "0/") in names


class Listing:
    """What os.scandir gives of a folder with ``count`` files, in no order, without any being on a disk."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *raised: object) -> None:
        pass

    def __iter__(self) -> Iterator[SimpleNamespace]:
        for number in range(self._count):
            name = f"a-name-of-the-usual-length-{number * 7919 % self._count:08}.jpg"
            yield SimpleNamespace(name=name, is_dir=lambda: False)


def test_the_names_of_a_large_flat_folder_do_not_sit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """60,000 names would be some 8 MB: Python's peak is that of the 10,000 that are sorted in memory at most."""
    count = 60_000
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: Listing(count) if folder == Path("listed") else scandir(folder))
    tracemalloc.start()
    try:
        last, number = "", 0
        for number, (name, _) in enumerate(sorted_names(Path("listed")), start=1):  # noqa: B007 -- used below
            assert last < name
            last = name
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    print(f"{count} names: {peak_bytes} bytes at the peak")  # noqa: T201 -- with -s, for reports
    assert number == count
    assert peak_bytes < 4_000_000
