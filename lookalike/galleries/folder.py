"""A folder of images, with labels from its sub-folders."""

import stat
from collections.abc import Iterator
from pathlib import Path

from lookalike.galleries.files import SUFFIXES, existing_folder, is_inside, read_inside, stamp_of
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.sorted_names import sorted_names
from lookalike.types.images import MAX_KEY_CHARS, Labels


class FolderSource:
    """Image files below ``root``, by their extension; hidden files and folders are passed over.

    Labels come from the folders: ``sub/x.jpg`` has the subcategory ``sub``, ``super/sub/x.jpg`` (or deeper)
    both levels, ``x.jpg`` none. Keys are paths below the root as they are on the disk, without normalisation.
    Links are followed where they stay below the root; one that leads out, a name that is not UTF-8 and a
    folder that cannot be listed are problems, not the end. The key of a folder's problem ends in ``/``.
    """

    def __init__(self, root: Path, *, max_bytes: int = 50 * 2**20) -> None:
        self._root = existing_folder(root, "folder")
        self._max_bytes = max_bytes

    @property
    def description(self) -> str:
        return f"folder {self._root}"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        yield from self._walk(self._root, "", frozenset())

    def read(self, image: SourceImage) -> bytes:
        return read_inside(self._root, Path(image.locator), self._max_bytes)

    def close(self) -> None:
        """Nothing is held open."""

    def _walk(self, folder: Path, prefix: str, above: frozenset[Path]) -> Iterator[SourceImage | SourceProblem]:
        resolved = folder.resolve()
        if resolved in above:  # a link to a folder that we are in: its images are in the gallery already
            return
        try:
            for printable, name in sorted_names(folder):
                path = folder / name
                if not name.endswith("/") and path.suffix.lower() not in SUFFIXES:
                    continue
                item = self._item(prefix + printable, path, is_utf8=printable == name)
                if item is not None:
                    yield item
                else:
                    yield from self._walk(path, prefix + name, above | {resolved})
        except OSError as error:
            yield SourceProblem(prefix or ".", "unreadable", f"folder: {error.strerror}")

    def _item(self, key: str, path: Path, *, is_utf8: bool) -> SourceImage | SourceProblem | None:
        """None for a folder to walk through."""
        if not is_utf8:
            return SourceProblem(key, "unreadable_name", "the file's name is not UTF-8")
        if len(key) > MAX_KEY_CHARS:
            return SourceProblem(key, "name_too_long", f"the path has over {MAX_KEY_CHARS} characters")
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                if not path.exists():
                    return SourceProblem(key, "unreadable", "a link that leads nowhere")
                if not is_inside(self._root, path):
                    return SourceProblem(key, "symlink_outside", "a link that leads out of the folder")
                status = path.stat()
        except OSError as error:
            return SourceProblem(key, "unreadable", str(error.strerror))
        if key.endswith("/"):
            return None
        if not stat.S_ISREG(status.st_mode):
            return SourceProblem(key, "unreadable", "not a regular file")
        return SourceImage(key, str(path), folder_labels(key), {}, stamp_of(status))


def folder_labels(key: str) -> Labels:
    """The labels that the folders in a key say; see :class:`FolderSource`."""
    folders = [folder for folder in key.split("/")[:-1] if folder]
    if not folders:
        return Labels()
    if len(folders) == 1:
        return Labels.single(folders[0])
    return Labels.single(folders[1], folders[0])
