"""``python -m services.embedder.torchserve.child COMMAND …``: becomes COMMAND, which ends when whoever started it does.

So that no TorchServe outlives a supervisor that was killed, on systems that have a signal for it (Linux).
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == parent:  # it was not gone already
        os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606 its arguments are the supervisor's


if __name__ == "__main__":
    main()
