"""A COCO annotation file with its images.

The label rule of the study: a photo's one label is the subcategory with the most objects among the chosen
supercategories; ties go to the larger total area, then to the smaller category id. A crowd (``iscrowd``)
counts as one object. All its labels are kept too. Photos without any are not in the gallery.
"""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from lookalike.errors import InvalidSource
from lookalike.galleries.coco_items import read_items
from lookalike.galleries.listed import ListedFiles
from lookalike.galleries.port import SourceImage, SourceProblem
from lookalike.types.images import Labels

STUDY = ("animal", "sports", "food")
_SCHEMA = """
CREATE TABLE image (id INTEGER PRIMARY KEY, file TEXT NOT NULL);
CREATE TABLE category (id INTEGER PRIMARY KEY, name TEXT NOT NULL, supercategory TEXT NOT NULL);
CREATE TABLE object (image INTEGER NOT NULL, category INTEGER NOT NULL, area REAL NOT NULL);
"""
_COUNTED = """
SELECT image.id, image.file, category.name, category.supercategory
FROM image JOIN object ON object.image = image.id JOIN category ON category.id = object.category
WHERE category.supercategory IN ({marks})
GROUP BY image.id, category.id
ORDER BY image.id, count(*) DESC, sum(object.area) DESC, category.id
"""


class CocoSource:
    """The photos of ``annotations`` (COCO's instances format) with objects of ``supercategories``.

    The file is read as a stream into a temporary database: its size does not matter. ``supercategories`` None
    takes all of them. Raises InvalidSource when the file or the image folder isn't one.
    """

    def __init__(
        self,
        annotations: Path,
        images_root: Path,
        *,
        supercategories: Sequence[str] | None = STUDY,
        max_bytes: int = 50 * 2**20,
    ) -> None:
        self._annotations = annotations
        self._files = ListedFiles(images_root, max_bytes)
        try:
            with tempfile.TemporaryDirectory(prefix="lookalike-") as folder:
                database = sqlite3.connect(Path(folder) / "coco.sqlite")
                try:
                    self._load(database)
                    self._label(database, supercategories)
                finally:
                    database.close()
        except (ValueError, OSError) as error:
            self._files.close()
            raise InvalidSource(f"{annotations} is not a COCO annotation file: {error}") from error
        except InvalidSource:
            self._files.close()
            raise

    @property
    def description(self) -> str:
        return f"COCO annotations {self._annotations}"

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        return self._files.images()

    def read(self, image: SourceImage) -> bytes:
        return self._files.read(image)

    def close(self) -> None:
        self._files.close()

    def _load(self, database: sqlite3.Connection) -> None:
        database.executescript(f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; {_SCHEMA}")
        with self._annotations.open("rb") as file:
            for section, item in read_items(file):
                if section in _SECTIONS:
                    statement, row = _SECTIONS[section]
                    try:
                        database.execute(statement, row(item))
                    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, sqlite3.Error) as error:
                        raise InvalidSource(f"{self._annotations}: {section} are not COCO's: {error!r:.200}") from error
        for table, what in (("category", "categories"), ("image", "images"), ("object", "annotations")):
            if database.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0:  # noqa: S608 -- names from here
                raise InvalidSource(f"{self._annotations} has no {what}: not COCO's instances format")

    def _label(self, database: sqlite3.Connection, supercategories: Sequence[str] | None) -> None:
        known = [row[0] for row in database.execute("SELECT DISTINCT supercategory FROM category ORDER BY 1")]
        wanted = known if supercategories is None else [name for name in supercategories if name in known]
        if not wanted:
            raise InvalidSource(f"{self._annotations} has none of {supercategories}; it has {known}", known=known)
        rows = database.execute(_COUNTED.format(marks=",".join("?" * len(wanted))), wanted)
        for (identifier, file), group in groupby(rows, key=lambda row: (row[0], row[1])):
            labels = _labels([(row[2], row[3]) for row in group])
            self._files.add(SourceImage(file, file, labels, {"coco_id": identifier}))


def _labels(found: list[tuple[str, str]]) -> Labels:
    """(subcategory, supercategory) pairs, the most frequent first."""
    return Labels(
        subcategory=found[0][0],
        supercategory=found[0][1],
        subcategories=tuple(sorted({sub for sub, _ in found})),
        supercategories=tuple(sorted({over for _, over in found})),
    )


def _category(item: dict[str, Any]) -> tuple[int, str, str]:
    return int(item["id"]), str(item["name"]), str(item["supercategory"])


def _image(item: dict[str, Any]) -> tuple[int, str]:
    # JSON can hold halves of surrogate pairs, which are no text.
    return int(item["id"]), str(item["file_name"]).encode(errors="backslashreplace").decode()


def _object(item: dict[str, Any]) -> tuple[int, int, float]:
    return int(item["image_id"]), int(item["category_id"]), float(item.get("area", 0.0))


_SECTIONS: dict[str | None, tuple[str, Callable[[dict[str, Any]], tuple[Any, ...]]]] = {
    "categories": ("INSERT INTO category VALUES (?, ?, ?)", _category),
    "images": ("INSERT INTO image VALUES (?, ?)", _image),
    "annotations": ("INSERT INTO object VALUES (?, ?, ?)", _object),
}
