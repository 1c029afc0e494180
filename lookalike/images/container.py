"""What the files' own structure says, read without a decoder: canvas, EXIF, and whether the end is there."""

FORMATS_WITH_END = frozenset({"jpeg", "png", "webp"})
_JPEG_END = b"\xff\xd9"
_JPEG_SCAN = 0xDA
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_MAGICS = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def looks_like_image(data: bytes) -> bool:
    """Whether ``data`` begins as a file of a format that is read does."""
    return data.startswith(_MAGICS) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP, None when ``data`` is none. Its decoder allocates the canvas when it is opened."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    match data[12:16]:
        case b"VP8X":
            return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(data[21:25], "little")
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        case b"VP8 ":
            return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
        case _:
            return None


def has_its_end(data: bytes, format: str) -> bool:
    """Whether a JPEG has its end marker, a PNG its end chunk, a WebP as many bytes as it says.

    What comes after the end (a phone's video, a second picture) is nobody's concern. Other formats have no end
    that all of their writers write, and count as whole; decoding them tells.
    """
    match format:
        case "jpeg":
            return _jpeg_has_its_end(data)
        case "png":
            return _png_chunk(data, b"IEND") is not None
        case "webp":
            return len(data) >= int.from_bytes(data[4:8], "little") + 8
        case _:
            return True


def png_exif(data: bytes) -> bytes | None:
    """The content of a PNG's ``eXIf`` chunk, which may also stand behind the pixels."""
    return _png_chunk(data, b"eXIf")


def _jpeg_has_its_end(data: bytes) -> bool:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker in _JPEG_WITHOUT_LENGTH:
            position += 2
        elif marker == _JPEG_SCAN:
            # Inside a scan 0xFF is always escaped, so this is no other byte pair; an EXIF thumbnail's end is before.
            return data.find(_JPEG_END, position) >= 0
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _png_chunk(data: bytes, kind: bytes) -> bytes | None:
    position = 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        found = data[position + 4 : position + 8]
        if found == kind:
            return data[position + 8 : end]
        if found == b"IEND":
            return None
        position = end + 4
    return None
