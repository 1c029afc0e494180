"""Python starts with this where PYTHONPATH names its folder: one image then kills the process that decodes it.

Which one says ``POISON_SHA256``, the digest of its bytes. It stands for a decoder with a bug.
"""

import hashlib
import os
import signal
from typing import Any

from lookalike.images import decode

_decode_image = decode.decode_image


def _deadly(data: bytes, *arguments: Any, **options: Any) -> Any:
    if hashlib.sha256(data).hexdigest() == os.environ["POISON_SHA256"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return _decode_image(data, *arguments, **options)


decode.decode_image = _deadly
