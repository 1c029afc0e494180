"""The machine that a figure was measured on, without its name or its paths."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def describe(*packages: str) -> dict[str, object]:
    """Processor, cores, memory, Python and the versions of ``packages``, for the JSON of a benchmark."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{package: _version(package) for package in packages},
    }


def table(rows: Sequence[tuple[str, object, object]]) -> str:
    """Lines of what was measured, its value, and what is wanted of it."""
    cells = [("", "measured", "target"), *((name, str(value), str(target)) for name, value, target in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
