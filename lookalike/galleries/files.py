"""Reading image files below a root, and nowhere else."""

import os
import stat
from pathlib import Path

from lookalike.errors import ImageTooLarge, InvalidImage, InvalidSource

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"})


def existing_folder(path: Path, what: str) -> Path:
    """``path`` resolved. Raises InvalidSource when it is no folder that can be listed."""
    try:
        resolved = path.resolve()
        if not resolved.is_dir():
            raise InvalidSource(f"{what} {str(path)!r:.300} is not a folder", path=str(path))
        if not os.access(resolved, os.R_OK | os.X_OK):
            raise InvalidSource(f"{what} {str(path)!r:.300} cannot be read", path=str(path))
    except (OSError, RuntimeError, ValueError) as error:  # too long, a link in a circle, a zero character
        raise InvalidSource(f"{what} {str(path)!r:.300} is not a folder: {error!s:.100}", path=str(path)) from error
    return resolved


def is_inside(root: Path, path: Path) -> bool:
    """Whether ``path``, with all links followed, is below the resolved ``root``."""
    try:
        return path.resolve(strict=True).is_relative_to(root)
    except (OSError, RuntimeError, ValueError):
        return False


def read_inside(root: Path, path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file below ``root``.

    Links are followed once, here, and what they lead to is opened without following any more. Raises
    InvalidImage when it is outside, no regular file or unreadable, and ImageTooLarge before reading too much.
    """
    try:
        resolved = path.resolve(strict=True)
        if not resolved.is_relative_to(root):
            raise InvalidImage(f"{path.name!r} leads out of the folder")
        descriptor = os.open(resolved, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidImage(f"{path.name!r} is not a regular file")
            if status.st_size > max_bytes:
                raise ImageTooLarge(f"{status.st_size} bytes are over the limit of {max_bytes}")
            return file.read(max_bytes + 1)
    except (OSError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidImage(f"{path.name!r} cannot be read: {reason}") from error


def stamp_of(status: os.stat_result) -> str:
    """Size and mtime: another stamp means that the bytes may be others."""
    return f"{status.st_size}-{status.st_mtime_ns}"
