"""A folder of images, with labels from its sub-folders."""

import os
from collections.abc import Iterator
from pathlib import Path

from lookalike.galleries.files import SUFFIXES, existing_folder, is_inside, read_inside, stamp_of
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import MAX_KEY_CHARS, Labels


class FolderSource:
    """Image files below ``root``, by their extension; hidden files and folders are passed over.

    Labels come from the folders: ``sub/x.jpg`` has the subcategory ``sub``, ``super/sub/x.jpg`` (or deeper)
    both levels, ``x.jpg`` none. Keys are paths below the root as they are on the disk, without normalisation.
    Links are followed where they stay below the root; one that leads out, a name that is not UTF-8 and a
    folder that cannot be listed are problems, not the end.
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
            entries = list(os.scandir(folder))
        except OSError as error:
            yield SourceProblem(prefix.rstrip("/") or ".", "unreadable", f"folder: {error.strerror}")
            return
        # With the separator a folder sorts as its images' keys do.
        named = sorted((entry.name + ("/" if entry.is_dir() else ""), entry) for entry in entries if _shown(entry))
        for name, entry in named:
            key = prefix + name
            path = Path(entry.path)
            problem = self._problem(key.rstrip("/"), path, entry)
            if problem is not None:
                if name.endswith("/") or path.suffix.lower() in SUFFIXES:
                    yield problem
            elif name.endswith("/"):
                yield from self._walk(path, key, above | {resolved})
            elif path.suffix.lower() in SUFFIXES:
                yield SourceImage(key, entry.path, _labels(key), {}, stamp_of(entry.stat()))

    def _problem(self, key: str, path: Path, entry: "os.DirEntry[str]") -> SourceProblem | None:
        try:
            key.encode()
        except UnicodeEncodeError:
            printable = key.encode(errors="backslashreplace").decode()
            return SourceProblem(printable[:MAX_KEY_CHARS], "unreadable_name", "the file's name is not UTF-8")
        if len(key) > MAX_KEY_CHARS:
            return SourceProblem(key[:MAX_KEY_CHARS], "name_too_long", f"the path has over {MAX_KEY_CHARS} characters")
        if entry.is_symlink() and not path.exists():
            return SourceProblem(key, "unreadable", "a link that leads nowhere")
        if entry.is_symlink() and not is_inside(self._root, path):
            return SourceProblem(key, "symlink_outside", "a link that leads out of the folder")
        if not entry.is_dir() and not entry.is_file():
            return SourceProblem(key, "unreadable", "not a regular file")
        return None


def _shown(entry: "os.DirEntry[str]") -> bool:
    return not entry.name.startswith(".")


def _labels(key: str) -> Labels:
    folders = key.split("/")[:-1]
    if not folders:
        return Labels()
    if len(folders) == 1:
        return Labels.single(folders[0])
    return Labels.single(folders[1], folders[0])
