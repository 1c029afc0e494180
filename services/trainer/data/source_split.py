"""The split that a source has itself: what it says of an image, in metadata, in its key or in its own name."""

import re

from lookalike.galleries.port import SourceImage
from lookalike.types.images import Labels

TRAIN, VAL, NONE = "train", "val", ""
# COCO's names: train2014/x.jpg, COCO_val2014_000000000042.jpg, instances_val2017.json.
_FOLDER = re.compile(r"(?:(?P<train>train|training)|val|valid|validation|test)(?:\d{4})?", re.IGNORECASE)
_FILE = re.compile(r"COCO_(?:(?P<train>train)|val|test)\d{4}_")
_ANNOTATIONS = re.compile(r"[a-z]+_(?:(?P<train>train)|val|test)\d{0,4}\.(?:json|csv)$")


def split_of(image: SourceImage, description: str) -> str:
    """``train``, ``val`` or nothing.

    What is held out under any name (``test``, ``validation``) is ``val``: it must not be trained on. Looked at in this
    order: a metadata column ``split`` (or ``split2017``); the first of at least two folders in the key, as in
    ``train/cat/x.jpg``, or a single one with a year, since ``train/x.jpg`` may show trains; the name of a COCO photo;
    the name of the annotation file.
    """
    for column, value in sorted(image.metadata.items()):
        if re.fullmatch(r"split\d*", column):
            return _side(_FOLDER.fullmatch(str(value).strip()))
    folders = image.key.split("/")[:-1]
    if _split_folder(image.key) is not None:
        return _side(_FOLDER.fullmatch(folders[0]))
    named = _FILE.match(image.key.rpartition("/")[2])
    return _side(named or _ANNOTATIONS.search(description))


def labels_of(image: SourceImage) -> Labels:
    """The labels, without a split's folder that a reader of folders took for the supercategory."""
    folder = _split_folder(image.key)
    if folder is None or image.labels.supercategory != folder or image.labels.supercategories != (folder,):
        return image.labels
    below = image.key.split("/")[1:-1]
    return Labels.single(below[0]) if len(below) == 1 else Labels.single(below[1], below[0])


def _split_folder(key: str) -> str | None:
    """The first folder of ``key`` where it is the name of a split."""
    folders = key.split("/")[:-1]
    if not folders or not _FOLDER.fullmatch(folders[0]):
        return None
    return folders[0] if len(folders) > 1 or folders[0][-1].isdigit() else None


def _side(match: "re.Match[str] | None") -> str:
    if match is None:
        return NONE
    return TRAIN if match["train"] else VAL
