"""A source by what it is: folder, COCO annotations, table, list of URLs, what is below a prefix in a bucket."""

from collections.abc import Callable
from pathlib import Path

from lookalike.errors import InvalidSource
from lookalike.galleries.csv_labels import CsvSource
from lookalike.galleries.folder import FolderSource
from lookalike.galleries.port import GallerySource
from lookalike.galleries.s3_prefix import BucketObjects, S3PrefixSource
from lookalike.galleries.url_list import UrlListSource

_UNDERSTOOD = "a folder, a COCO annotation file (.json), a table (.csv), a list of URLs (.txt, .jsonl) or s3://"
_S3 = "s3://"


def open_source(
    text: str,
    *,
    images_root: Path | None,
    fetcher: Callable[[str], bytes],
    open_bucket: Callable[[str], BucketObjects] | None = None,
    max_bytes: int = 50 * 2**20,
) -> GallerySource:
    """``text`` as a source. ``images_root`` is where files of annotations and tables are; without one, the folder
    ``images`` beside the file or beside its folder, or one named as the annotations are (``train2014`` for
    ``instances_train2014.json``). ``open_bucket`` opens an S3 bucket by its name. Raises InvalidSource, naming what is
    understood, and what ``open_bucket`` raises.
    """
    if text.startswith(_S3):
        if open_bucket is None:
            raise InvalidSource("buckets are not read here: give a folder or a list of URLs", source=text)
        bucket, _, prefix = text.removeprefix(_S3).partition("/")
        return S3PrefixSource(open_bucket(bucket), bucket, prefix, max_bytes=max_bytes)
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
