"""The files of a shard as an artifact, and an artifact as the private folder that the engine wants.

The engine preallocates files (32 MiB for payloads, 1 MiB for each set of flags) and keeps an empty segment for
updates that never come, which takes it longer to make anew than to open. So an artifact is one archive of the many
small files and of the payloads, each up to its last byte that is not zero, beside the few large files as they are.

The engine also writes into a shard that it only searches, and locks nothing. So it never sees an artifact's
folder: it opens a private one, in which what it only reads (embeddings, graph, identifiers) is linked and the rest
unpacked. Nothing needs that folder any more once it is opened.
"""

import json
import shutil
import zipfile
from pathlib import Path

from lookalike.errors import DamagedArtifact

SHARD = "shard"
ARCHIVE = "small.zip"
_SIZES = "sizes.json"  # in the archive: how long the engine wants the files that were cut
_BLOCK = 2**16
# Mapped read-only: embeddings, their quantized copies, graph, identifiers, and the larger files of payload indexes.
_LINKED = frozenset(
    {
        "matrix.dat",
        "quantized.data",
        "links.bin",
        "links_compressed.bin",
        "id_tracker.mappings",
        "id_tracker.versions",
        "point_to_values.bin",
        "values_to_points.bin",
        "data.bin",
    }
)
_LINKED_FROM = 2**16  # bytes; smaller ones are packed with the rest


def shrink(directory: Path) -> tuple[str, ...]:
    """Turns the closed shard in ``directory / SHARD`` into an artifact's files; returns their names."""
    sizes: dict[str, int] = {}
    kept: list[str] = []
    with zipfile.ZipFile(directory / ARCHIVE, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(path for path in (directory / SHARD).rglob("*") if path.is_file()):
            name, size_bytes = file.relative_to(directory).as_posix(), file.stat().st_size
            if file.name in _LINKED and size_bytes >= _LINKED_FROM:
                kept.append(name)
                continue
            content = _without_zeros_at_the_end(file)
            if len(content) < size_bytes:
                sizes[name] = size_bytes
            archive.writestr(name, content)
            file.unlink()
        archive.writestr(_SIZES, json.dumps(sizes))
    return (ARCHIVE, *kept)


def unfold(directory: Path, private: Path) -> Path:
    """A shard in ``private`` with the content of the artifact in ``directory``, which stays as it is.

    Raises DamagedArtifact when the archive is not whole.
    """
    try:
        with zipfile.ZipFile(directory / ARCHIVE) as archive:
            sizes: dict[str, int] = json.loads(archive.read(_SIZES))
            archive.extractall(private)  # which leaves no member outside of it
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DamagedArtifact(f"no whole {ARCHIVE} in {directory.name!r}", reason=str(error)[:500]) from error
    for name, size_bytes in sizes.items():
        with (private / name).open("r+b") as opened:
            opened.truncate(size_bytes)
    whole = directory.resolve()
    for file in (path for path in (whole / SHARD).rglob("*") if path.is_file()):
        target = private / file.relative_to(whole)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            target.symlink_to(file)
        except OSError:  # a file system without links, or a Windows user who may not make them
            shutil.copyfile(file, target)
    return private / SHARD


def _without_zeros_at_the_end(file: Path) -> bytes:
    end = file.stat().st_size
    nothing = bytes(_BLOCK)
    with file.open("rb") as opened:
        while end:
            start = max(0, end - _BLOCK)
            opened.seek(start)
            block = opened.read(end - start)
            if block != nothing[: len(block)]:
                end = start + len(block.rstrip(b"\0"))
                break
            end = start
        opened.seek(0)
        return opened.read(end)
