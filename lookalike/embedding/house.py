"""The model that Lookalike brings along: ``house.mar`` beside this file. No torch here."""

from pathlib import Path

from lookalike.errors import DamagedArtifact

HOUSE = "house"
_ARCHIVE = Path(__file__).parent / "house.mar"


def house_archive() -> Path:
    """Where the archive is. Raises DamagedArtifact for an installation without it."""
    if not _ARCHIVE.is_file():
        raise DamagedArtifact("this installation lacks the archive of the house model: install Lookalike again")
    return _ARCHIVE
