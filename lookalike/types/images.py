"""Images of a gallery: what is known of each besides its pixels."""

from typing import Annotated, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

# Integers beyond 64 bits become floats, as they do in most JSON readers; NaN and infinity are no JSON.
_Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]
MetadataValue: TypeAlias = str | _Integer | FiniteFloat | bool
MAX_KEY_CHARS = 1024


class Labels(BaseModel):
    """COCO's taxonomy on one image.

    ``subcategory`` and ``supercategory`` are the one label for single-label relevance (the study's rule: the
    most frequent object of the photo); ``subcategories`` and ``supercategories`` are all of them, sorted,
    for multi-label relevance. An image may have none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subcategory: str | None = None
    supercategory: str | None = None
    subcategories: tuple[str, ...] = ()
    supercategories: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_is_among_all(self) -> "Labels":
        if self.subcategory is not None and self.subcategory not in self.subcategories:
            raise ValueError("subcategory must be one of subcategories")
        if self.supercategory is not None and self.supercategory not in self.supercategories:
            raise ValueError("supercategory must be one of supercategories")
        return self

    @classmethod
    def single(cls, subcategory: str | None, supercategory: str | None = None) -> "Labels":
        """Labels of an image that has at most one at each level."""
        return cls(
            subcategory=subcategory,
            supercategory=supercategory,
            subcategories=() if subcategory is None else (subcategory,),
            supercategories=() if supercategory is None else (supercategory,),
        )


class ImageRecord(BaseModel):
    """One image of a gallery as the catalog keeps it.

    ``key`` is the image's name within its gallery: for a folder the path below it, with ``/``. ``stamp`` is
    what its source says cheaply about the version of its bytes (size and mtime of a file, an ETag): equal
    stamps mean that the bytes need not be read again. ``source`` names where it came from, so that ingesting one
    source again removes only what that source no longer has. Width and height are in pixels after EXIF orientation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image_id: str
    key: str = Field(min_length=1, max_length=MAX_KEY_CHARS)
    sha256: str
    size_bytes: int = Field(ge=1)
    width: int = Field(ge=1)
    height: int = Field(ge=1)
    format: str
    labels: Labels = Labels()
    metadata: dict[str, MetadataValue] = Field(default_factory=dict)
    stamp: str | None = None
    source: str = ""
