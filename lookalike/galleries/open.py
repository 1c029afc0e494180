"""A source by what it is: folder, COCO annotations, table, list of URLs."""

from collections.abc import Callable
from pathlib import Path

from lookalike.errors import InvalidSource
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import GallerySource
from lookalike.galleries.url_list import UrlListSource

_UNDERSTOOD = "a folder, a COCO annotation file (.json), a table (.csv) or a list of URLs (.txt, .jsonl)"


def open_source(
    text: str, *, images_root: Path | None, fetcher: Callable[[str], bytes], max_bytes: int = 50 * 2**20
) -> GallerySource:
    """``text`` as a source. ``images_root`` is where files of annotations and tables are; without one, the folder
    ``images`` beside the file or beside its folder, or one named as the annotations are (``train2014`` for
    ``instances_train2014.json``). Raises InvalidSource, naming what is understood.
    """
    if text.startswith("s3://"):
        raise InvalidSource("s3:// sources come with the queued jobs; download the images into a folder", source=text)
    try:
        path = Path(text).expanduser()
        is_folder, is_file = path.is_dir(), path.is_file()
    except (OSError, RuntimeError) as error:  # too long a name, no such home
        raise InvalidSource(f"{text!r:.300} cannot be opened: {error!s:.100}", source=text) from error
    if is_folder:
        return FolderSource(path, max_bytes=max_bytes)
    if not is_file:
        raise InvalidSource(f"{text!r:.300} does not exist; a source is {_UNDERSTOOD}", source=text)
    match path.suffix.lower():
        case ".json":
            from lookalike.galleries.coco import CocoSource

            return CocoSource(path, images_root or _images_of(path), max_bytes=max_bytes)
        case ".csv":
            return CsvSource(path, images_root or _images_of(path), max_bytes=max_bytes)
        case ".txt" | ".jsonl":
            return UrlListSource(path, fetcher)
        case _:
            raise InvalidSource(f"{text!r} is not a source; one is {_UNDERSTOOD}", source=text)


def _images_of(path: Path) -> Path:
    split = path.stem.rpartition("_")[2]
    candidates = [folder / name for folder in (path.parent, path.parent.parent) for name in ("images", split)]
    found = next((folder for folder in candidates if folder.is_dir()), None)
    if found is None:
        raise InvalidSource(f"the images of {path} were not found beside it: name their folder", path=str(path))
    return found
