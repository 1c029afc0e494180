"""Which images kill the process that decodes them, found out in a process that may die.

A decoder with a bug, or an image that needs more memory than there is, takes the whole worker with it. Where workers
have died at some images, these are decoded one by one in a child process; the one at which it dies is the culprit.

The child is this module as a program: ``python -m lookalike.images.quarantine SIZE POLICY MAX_BYTES MAX_PIXELS``. It
reads images from standard input, each after its length in eight bytes, and answers with one byte each.
"""

import contextlib
import selectors
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lookalike.errors import LookalikeError
from lookalike.images.limits import ImageLimits
from lookalike.images.prepare import prepare
from lookalike.types.models import ResizePolicy

_ALIVE = b"."
_LENGTH_BYTES = 8
_TIMEOUT_S = 60.0


@dataclass
class _Child:
    command: list[str]
    timeout_s: float
    _process: subprocess.Popen[bytes] | None = field(default=None)

    def survives(self, data: bytes) -> bool:
        """Whether the child has answered; one that has not is replaced at the next image."""
        if self._process is None:
            self._process = subprocess.Popen(  # noqa: S603 this interpreter and this module
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        process = self._process
        assert process.stdin is not None  # noqa: S101 for the type checker
        assert process.stdout is not None  # noqa: S101 for the type checker
        answer = b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(len(data).to_bytes(_LENGTH_BYTES, "big") + data)
            process.stdin.flush()
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                if selector.select(self.timeout_s):
                    answer = process.stdout.read(1)
        if answer == _ALIVE:
            return True
        self.close()
        return False

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(BrokenPipeError):
                self._process.communicate()
            self._process = None


def deadly_images(
    images: Iterable[tuple[str, bytes]],
    *,
    size: int,
    policy: ResizePolicy,
    limits: ImageLimits,
    timeout_s: float = _TIMEOUT_S,
) -> Iterator[str]:
    """The names of those of ``images`` at which a process that decodes them dies, or takes ``timeout_s`` seconds.

    One that is damaged and says so is not among them.
    """
    numbers = (str(size), policy.value, str(limits.max_bytes), str(limits.max_pixels))
    child = _Child([sys.executable, "-m", "lookalike.images.quarantine", *numbers], timeout_s)
    try:
        for name, data in images:
            if not child.survives(data):
                yield name
    finally:
        child.close()


def _main(size: str, policy: str, max_bytes: str, max_pixels: str) -> None:
    limits = ImageLimits(int(max_bytes), int(max_pixels))
    while header := sys.stdin.buffer.read(_LENGTH_BYTES):
        data = sys.stdin.buffer.read(int.from_bytes(header, "big"))
        with contextlib.suppress(LookalikeError):
            prepare(data, size=int(size), policy=ResizePolicy(policy), limits=limits)
        sys.stdout.buffer.write(_ALIVE)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
