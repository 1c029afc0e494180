"""Image files that a list names: what the COCO and CSV readers have in common."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from lookalike.galleries.files import existing_folder, is_inside, read_inside, stamp_of
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.spool import Spool
from lookalike.types.images import MAX_KEY_CHARS


class ListedFiles:
    """Spooled images whose locators are paths below ``root``."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = existing_folder(root, "image folder")
        self._max_bytes = max_bytes
        self._spool = Spool()

    def add(self, image: SourceImage) -> None:
        """Takes one image. A name that is no path below the folder, or that came before, becomes a problem."""
        problem = _problem(image.key, image.locator)
        if problem is not None:
            self.refuse(problem)
        elif not self._spool.add(image):
            self.refuse(SourceProblem(f"{image.key}#duplicate", "duplicate", f"{image.key} is listed more than once"))

    def refuse(self, problem: SourceProblem) -> None:
        """Notes something that should have been an image."""
        self._spool.refuse(problem)

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for item in self._spool:
            yield self._found(item) if isinstance(item, SourceImage) else item

    def read(self, image: SourceImage) -> bytes:
        return read_inside(self._root, self._root / image.locator, self._max_bytes)

    def close(self) -> None:
        self._spool.close()

    def _found(self, image: SourceImage) -> SourceImage | SourceProblem:
        path = self._root / image.locator
        try:
            status = path.stat()
        except OSError:
            return SourceProblem(image.key, "missing_file", f"{image.locator} is not in the image folder")
        if not is_inside(self._root, path):
            return SourceProblem(image.key, "symlink_outside", "leads out of the image folder")
        return replace(image, stamp=stamp_of(status))


def _problem(key: str, locator: str) -> SourceProblem | None:
    path = PurePosixPath(locator)
    if not locator or "\0" in locator:
        return SourceProblem(key.replace("\0", "\\0") or "(empty)", "unsafe_name", "not a file's name")
    if path.is_absolute() or ".." in path.parts:
        return SourceProblem(key, "unsafe_name", "the file's name leads out of the image folder")
    if len(key) > MAX_KEY_CHARS:
        return SourceProblem(key, "name_too_long", f"the name has over {MAX_KEY_CHARS} characters")
    return None
