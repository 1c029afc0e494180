"""The COCO annotation file of the demo gallery: the objects of every image with their boxes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lookalike.galleries.demo.taxonomy import CATEGORIES


@dataclass(frozen=True)
class DrawnObject:
    """One annotation: COCO's category id, box ``(x, y, width, height)`` and area of what is visible, in pixels."""

    category_id: int
    box: tuple[int, int, int, int]
    area: int


@dataclass(frozen=True)
class DrawnImage:
    """One image file and what it shows. ``image_id`` starts at 1."""

    image_id: int
    file_name: str
    width: int
    height: int
    objects: tuple[DrawnObject, ...]


def write_annotations(path: Path, images: Sequence[DrawnImage], *, seed: int) -> None:
    """Writes ``images`` in the format of COCO's ``instances`` files, without segmentations."""
    annotations: list[dict[str, object]] = []
    for image in images:
        for drawn in image.objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.image_id,
                    "category_id": drawn.category_id,
                    "bbox": list(drawn.box),
                    "area": drawn.area,
                    "iscrowd": 0,
                }
            )
    document = {
        "info": {
            "description": f"Lookalike demo gallery: {len(images)} drawings from seed {seed}",
            "version": "1",
            "contributor": "drawn by code",
        },
        "licenses": [{"id": 1, "name": "MIT", "url": "https://opensource.org/license/mit"}],
        "images": [
            {"id": one.image_id, "file_name": one.file_name, "width": one.width, "height": one.height, "license": 1}
            for one in images
        ],
        "annotations": annotations,
        "categories": [
            {"id": one.category_id, "name": one.name, "supercategory": one.supercategory} for one in CATEGORIES
        ],
    }
    path.write_text(json.dumps(document, separators=(",", ":")), encoding="utf-8")
