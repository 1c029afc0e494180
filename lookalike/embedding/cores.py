"""How many cores this process may use."""

import os


def available_cores() -> int:
    """Cores that the scheduler lets this process run on; all of the machine's where it doesn't say."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
