"""The model archive: one ``.mar`` file that holds a model and says how it is used.

A stored (uncompressed) zip in TorchServe's layout with these members and no others:

* ``MAR-INF/MANIFEST.json``: TorchServe's manifest, which names the two files below;
* ``program.pt2``: the exported program, uint8 ``[N, S, S, 3]`` -> float32 ``[N, D]`` of length 1;
* ``handler.py``: TorchServe's entry point, always the same few lines;
* ``lookalike.json``: the :class:`ModelManifest` without its version, which the store gives;
* ``model-config.yaml``, which may be missing: how TorchServe merges requests, see :mod:`lookalike.embedding.batching`.

The same program and manifest give the same bytes. No torch here.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from lookalike.embedding.batching import Batching
from lookalike.embedding.program import MAX_PROGRAM_BYTES, canonical_program
from lookalike.errors import DamagedArtifact, InvalidArchive
from lookalike.types.models import ModelManifest

FORMAT_VERSION = 1
PROGRAM = "program.pt2"
# TorchServe runs this file, so an archive that holds any other text is refused.
HANDLER = '''"""TorchServe's entry point for a Lookalike model; the logic is in the embedder service."""

from services.embedder.torchserve import handle

__all__ = ["handle"]
'''
_MANIFEST, _SERVE_MANIFEST, _HANDLER = "lookalike.json", "MAR-INF/MANIFEST.json", "handler.py"
_CONFIG = "model-config.yaml"
_MEMBERS = frozenset({PROGRAM, _MANIFEST, _SERVE_MANIFEST, _HANDLER})
_MAX_TEXT_BYTES = 1 << 20
_DATE = (1980, 1, 1, 0, 0, 0)


def digest_of(program: bytes) -> str:
    """SHA-256 of the program's bytes, hexadecimal: the ``digest`` of its manifest."""
    return hashlib.sha256(program).hexdigest()


def write_archive(
    path: Path, program: bytes | Path, manifest: ModelManifest, batching: Batching | None = None
) -> ModelManifest:
    """Writes the archive of ``program`` to ``path``, complete or not at all, and returns its manifest.

    The program is brought into its canonical form first; ``digest`` becomes that form's, ``version`` None. Without
    ``batching`` whoever serves the archive decides.
    Raises InvalidArchive for a program that would not be loaded again, or a manifest of another format.
    """
    if manifest.format_version != FORMAT_VERSION:
        raise InvalidArchive(f"format_version {manifest.format_version} is not written, only {FORMAT_VERSION}")
    if isinstance(program, Path):
        with program.open("rb") as file:
            canonical = canonical_program(file)
    else:
        canonical = canonical_program(program)
    complete = manifest.model_copy(update={"digest": digest_of(canonical), "version": None})
    members = {
        _SERVE_MANIFEST: _serve_manifest(complete, has_config=batching is not None),
        _HANDLER: HANDLER.encode(),
        _MANIFEST: (json.dumps(complete.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode(),
        **({} if batching is None else {_CONFIG: batching.text()}),
        PROGRAM: canonical,
    }
    partial = path.with_name(path.name + ".partial")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name, _DATE), data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return complete


def read_manifest(path: Path) -> ModelManifest:
    """The manifest of the archive at ``path``; reads a few kilobytes. Raises InvalidArchive."""
    with _opened(path) as archive:
        return _manifest_of(archive)


def read_batching(path: Path) -> Batching | None:
    """How the archive at ``path`` wants requests to be merged, if it says so. Raises InvalidArchive."""
    with _opened(path) as archive:
        return Batching.parse(archive.read(_CONFIG)) if _CONFIG in archive.namelist() else None


def read_program(path: Path) -> tuple[bytes, ModelManifest]:
    """The program in the archive at ``path``, safe to load, and its manifest.

    ``path`` may also be the folder into which TorchServe unpacked an archive. Raises InvalidArchive for a program with
    anything in it that loading would unpickle or evaluate, and DamagedArtifact where its bytes are not those that the
    manifest names.
    """
    if path.is_dir():
        return _unpacked(path)
    with _opened(path) as archive:
        manifest = _manifest_of(archive)
        with archive.open(PROGRAM) as member:
            return _checked_program(member, manifest, path), manifest


def extract_program(path: Path, target: Path) -> ModelManifest:
    """Writes the checked program of the archive at ``path`` to the file ``target``. Raises as read_program."""
    program, manifest = read_program(path)
    target.write_bytes(program)
    return manifest


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive, path)
            yield archive
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise InvalidArchive(f"{path.name} is not a readable model archive: {error}", path=path.name) from error


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    names = [entry.filename for entry in archive.infolist()]
    if len(names) != len(set(names)) or set(names) - {_CONFIG} != _MEMBERS:
        differing = sorted((set(names) - {_CONFIG}) ^ _MEMBERS) or sorted(
            {name for name in names if names.count(name) > 1}
        )
        raise InvalidArchive(
            f"{path.name} must hold exactly {', '.join(sorted(_MEMBERS))}; differs in {differing[0]!r:.200}",
            members=[name[:200] for name in differing[:16]],
        )
    for entry in archive.infolist():
        limit = MAX_PROGRAM_BYTES if entry.filename == PROGRAM else _MAX_TEXT_BYTES
        if entry.file_size > limit or entry.compress_size > limit:
            raise InvalidArchive(f"{entry.filename} has {entry.file_size} bytes, more than {limit}", limit_bytes=limit)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise InvalidArchive(f"{entry.filename} is compressed or encrypted; archives are stored")


def _unpacked(folder: Path) -> tuple[bytes, ModelManifest]:
    try:
        manifest = _parsed((folder / _MANIFEST).read_bytes())
        with (folder / PROGRAM).open("rb") as file:
            return _checked_program(file, manifest, folder), manifest
    except OSError as error:
        raise InvalidArchive(f"{folder.name} is not an unpacked model archive: {error}", path=folder.name) from error


def _manifest_of(archive: zipfile.ZipFile) -> ModelManifest:
    manifest = _parsed(archive.read(_MANIFEST))
    has_config = _CONFIG in archive.namelist()
    if has_config:
        Batching.parse(archive.read(_CONFIG))
    expected = _serve_manifest(manifest, has_config=has_config)
    if archive.read(_HANDLER) != HANDLER.encode() or archive.read(_SERVE_MANIFEST) != expected:
        raise InvalidArchive("the archive's handler or TorchServe manifest is not the one Lookalike writes")
    return manifest


def _parsed(text: bytes) -> ModelManifest:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArchive(f"{_MANIFEST} is no JSON: {error}") from error
    found = value.get("format_version") if isinstance(value, dict) else None
    if found != FORMAT_VERSION:
        raise InvalidArchive(f"format_version {found!r:.40} is not read, only {FORMAT_VERSION}", found=str(found)[:40])
    try:
        return ModelManifest.model_validate(value)
    except ValidationError as error:
        raise InvalidArchive(f"{_MANIFEST} is no manifest: {error}"[:500]) from error


def _checked_program(member: IO[bytes], manifest: ModelManifest, path: Path) -> bytes:
    digest = hashlib.sha256()
    while block := member.read(1 << 20):
        digest.update(block)
    if digest.hexdigest() != manifest.digest:
        raise DamagedArtifact(f"the program in {path.name} is not the one its manifest names", digest=manifest.digest)
    member.seek(0)
    return canonical_program(member)


def _serve_manifest(manifest: ModelManifest, *, has_config: bool) -> bytes:
    """https://github.com/pytorch/serve, model-archiver: the manifest of a model; dates and tools left out."""
    model = {"modelName": manifest.name, "serializedFile": PROGRAM, "handler": _HANDLER, "modelVersion": "1.0"}
    if has_config:
        model["configFile"] = _CONFIG
    return (json.dumps({"runtime": "python", "model": model}, indent=2, sort_keys=True) + "\n").encode()
