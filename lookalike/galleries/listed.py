"""Image files that a list names: what the COCO and CSV readers have in common."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lookalike.galleries.files import existing_folder, is_inside, read_inside, stamp_of
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.galleries.spool import Spool


class ListedFiles:
    """Spooled images whose locators are paths below ``root``."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = existing_folder(root, "image folder")
        self._max_bytes = max_bytes
        self._spool = Spool()
        self._problems: dict[str, SourceProblem] = {}

    def add(self, image: SourceImage) -> None:
        """Takes one image; a key that came before becomes a problem of its own."""
        if not self._spool.add(image):
            self.refuse(f"{image.key}#duplicate", "duplicate", f"{image.key} is listed more than once")

    def refuse(self, key: str, code: str, reason: str) -> None:
        """Notes something that should have been an image."""
        self._problems[key] = SourceProblem(key, code, reason)

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        problems = sorted(self._problems.values(), key=lambda problem: problem.key)
        position = 0
        for image in self._spool:
            while position < len(problems) and problems[position].key < image.key:
                yield problems[position]
                position += 1
            yield self._found(image)
        yield from problems[position:]

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
