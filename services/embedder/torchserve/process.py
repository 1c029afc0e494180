"""TorchServe's process: started in the foreground, watched, started again when it dies, and ended."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from lookalike.errors import DependencyUnavailable
from services.embedder.torchserve.configuration import KEY_FILE
from services.embedder.torchserve.keys import Keys, read_keys

_STOP_S = 20.0  # for TorchServe to end its workers
_LAST_WORDS_S = 1.0
_LOOK_EVERY_S = 0.1
_LONGEST_LINE = 1 << 20

_log = logging.getLogger(__name__)


class TorchServeProcess:
    """One run of TorchServe in ``folder``. Its output becomes lines of this process's log."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        output: asyncio.StreamReader,
        pipe: asyncio.BaseTransport,
        folder: Path,
    ) -> None:
        self._process = process
        self._pipe = pipe
        self._folder = folder
        self._copying = asyncio.create_task(_copy(output))

    @classmethod
    async def start(cls, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> "TorchServeProcess":
        """Starts it; :meth:`keys` says when it is far enough. From the main thread: see ``child.py``."""
        (folder / KEY_FILE).unlink(missing_ok=True)
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=dict(environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,  # a Ctrl-C in a terminal is for the supervisor alone
            )
        finally:
            os.close(writing)
        output = asyncio.StreamReader(limit=_LONGEST_LINE)
        loop = asyncio.get_running_loop()
        pipe, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(output), os.fdopen(reading, "rb"))
        return cls(process, output, pipe, folder)

    async def keys(self) -> Keys:
        """Waits until it has made them. Raises DependencyUnavailable where it ends first."""
        while self._process.returncode is None:
            try:
                return read_keys(self._folder / KEY_FILE)
            except DependencyUnavailable:
                await asyncio.sleep(_LOOK_EVERY_S)
        raise DependencyUnavailable(f"TorchServe ended with {self._process.returncode}", dependency="torchserve")

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        return await self._process.wait()

    async def stop(self) -> None:
        """Ends it and its workers."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                _log.warning("TorchServe did not end in %.0f s and is killed", _STOP_S)
                self._process.kill()
                await self._process.wait()
        # Workers that hang do not see that it is gone: they are of its session, and go with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await asyncio.wait([self._copying], timeout=_LAST_WORDS_S)
        self._copying.cancel()
        self._pipe.close()  # somebody else may hold its other end
        await asyncio.sleep(0)  # the loop closes it


async def _copy(output: asyncio.StreamReader) -> None:
    while True:
        try:
            line = await output.readline()
        except ValueError:  # longer than any line of a log: left out, so that whoever writes it does not wait for ever
            continue
        if not line:
            return
        text = line.decode(errors="replace").rstrip()
        level = logging.WARNING if " WARN " in text or " ERROR " in text else logging.INFO
        _log.log(level, "%s", text[:2000])
