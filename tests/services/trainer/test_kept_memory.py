"""Memory that a step gives back is there for the next one, without the system clearing it again."""

import subprocess
import sys

import pytest

# Page faults of ten more tensors of 64 MiB, each freed before the next, once the heap has grown to its size: small
# allocations that land in a freed block make the next tensor start a new one, up to eight times seen here.
COUNTS = """
import resource, sys, torch
from services.trainer.devices import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for _ in range(40):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(way: str) -> int:
    ended = subprocess.run([sys.executable, "-c", COUNTS, way], capture_output=True, text=True, check=True)
    return int(ended.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="it is glibc's memory that is kept: runs on Linux")
def test_freed_memory_is_used_again() -> None:
    returned = faults("returned")
    assert returned > 1000, "the system did not clear anything: there is nothing to save here"
    assert faults("kept") < returned / 20
