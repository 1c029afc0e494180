"""COCO's annotations come as a file per side: opened together they are one source with a split."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from lookalike.galleries.open import open_source
from lookalike.galleries.port import GallerySource, SourceImage, SourceProblem
from services.trainer.data.source_split import TRAIN, VAL

_TRAIN_FILE = re.compile(r"(?P<what>[a-z]+)_train(?P<year>\d{0,4})")


class PairedSource:
    """The images of several sources, whose names become the first folder of each key and the column ``split``.

    Takes the sources over: closing it closes them.
    """

    def __init__(self, sources: Mapping[str, GallerySource]) -> None:
        self._sources = dict(sorted(sources.items()))

    @property
    def description(self) -> str:
        return " and ".join(source.description for source in self._sources.values())

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        for side, source in self._sources.items():
            for item in source.images():
                key = f"{side}/{item.key}"
                if isinstance(item, SourceProblem):
                    yield replace(item, key=key)
                else:
                    yield replace(item, key=key, metadata={**item.metadata, "split": side})

    def read(self, image: SourceImage) -> bytes:
        side, _, key = image.key.partition("/")
        return self._sources[side].read(replace(image, key=key))

    def close(self) -> None:
        for source in self._sources.values():
            source.close()


def open_training_source(
    text: str, *, images_root: Path | None, fetcher: Callable[[str], bytes], max_bytes: int = 50 * 2**20
) -> GallerySource:
    """:func:`lookalike.galleries.open.open_source`, but ``instances_train2017.json`` brings the
    ``instances_val2017.json`` beside it, where there is one, and so COCO's own split.

    The images of each are where ``open_source`` looks for them, or in the folder of that side below ``images_root``
    (``train2017``, ``val2017``), or all in ``images_root``. Raises InvalidSource.
    """
    train = Path(text)
    match = _TRAIN_FILE.fullmatch(train.stem) if train.suffix.lower() == ".json" else None
    if match is None:
        return open_source(text, images_root=images_root, fetcher=fetcher, max_bytes=max_bytes)
    val = train.with_name(f"{match['what']}_val{match['year']}{train.suffix}")
    if not val.expanduser().is_file():
        return open_source(text, images_root=images_root, fetcher=fetcher, max_bytes=max_bytes)
    sources: dict[str, GallerySource] = {}
    try:
        for side, path in ((TRAIN, train), (VAL, val)):
            root = images_root
            if root is not None and (root / f"{side}{match['year']}").is_dir():
                root = root / f"{side}{match['year']}"
            sources[side] = open_source(str(path), images_root=root, fetcher=fetcher, max_bytes=max_bytes)
    except BaseException:
        PairedSource(sources).close()
        raise
    return PairedSource(sources)
