"""What a reader yields: images that are somewhere else, with what that place says of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from lookalike.types.images import Labels, MetadataValue


@dataclass(frozen=True)
class SourceImage:
    """One image of a source, not read yet.

    ``stamp`` changes whenever the bytes may have changed and costs nothing to get (a file's size and mtime);
    None where the source says nothing, and then the bytes are read every time. ``locator`` is what
    :meth:`GallerySource.read` needs to find the bytes.
    """

    key: str
    locator: str
    labels: Labels = Labels()
    metadata: dict[str, MetadataValue] = field(default_factory=dict)
    stamp: str | None = None


@dataclass(frozen=True)
class SourceProblem:
    """Something at ``key`` that should have been an image and cannot be read, for the failure ledger."""

    key: str
    code: str
    reason: str


class GallerySource(Protocol):
    """Where images come from: a folder, COCO annotations with images, a list of URLs, the demo gallery.

    Opening one that does not exist or cannot be understood raises InvalidSource at once. Memory use does not
    grow with the number of images.
    """

    @property
    def description(self) -> str:
        """One line for people and manifests."""
        ...

    def images(self) -> Iterator[SourceImage | SourceProblem]:
        """Every image once, in strictly ascending order of ``key`` (by Unicode code point), the same every time."""
        ...

    def read(self, image: SourceImage) -> bytes:
        """The bytes; safe to call from several threads.

        Raises InvalidImage (or a child), UrlRefused or UrlUnreachable; ImageTooLarge before reading more than
        the limit.
        """
        ...

    def close(self) -> None:
        """Releases temporary files and connections."""
        ...
