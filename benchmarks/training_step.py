"""What a training step costs on a CPU when the memory of its maps is kept, over what it costs when it is given back.

A step is forward and backward through the house model's network. The two ways run in child processes, since a process
that keeps memory can't stop doing so, one after the other, several times. Prints JSON; the aim is at most 1.

    python -m benchmarks.training_step [--batch 64] [--side 224] [--steps 6] [--repeats 3] [--out FILE]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import describe

AIM = 1.0
WARM = 2


def measured(batch: int, side: int, steps: int, *, kept: bool) -> dict[str, float]:
    """Seconds of a step and of it those that the system took, summed over the cores."""
    import torch

    from services.trainer.architectures.inverted import InvertedBackbone
    from services.trainer.devices import keep_freed_memory, uses_bfloat16
    from services.trainer.recipes import house

    if kept:
        keep_freed_memory()
    config = house()
    torch.manual_seed(0)
    network = InvertedBackbone(config.architecture).to(memory_format=torch.channels_last)  # type: ignore[arg-type, call-overload]
    images_NCHW = torch.rand(batch, 3, side, side).to(memory_format=torch.channels_last)
    seconds = []
    for number in range(WARM + steps):
        if number == WARM:
            before_s = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        started = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=uses_bfloat16(config, "cpu")):
            loss = network(images_NCHW).square().mean()
        loss.backward()
        network.zero_grad()
        seconds.append(time.perf_counter() - started)
    system_s = resource.getrusage(resource.RUSAGE_SELF).ru_stime - before_s
    return {"step_s": statistics.median(seconds[WARM:]), "system_s": system_s / steps}


def in_child(arguments: argparse.Namespace, way: str) -> dict[str, float]:
    sizes = ("--batch", arguments.batch, "--side", arguments.side, "--steps", arguments.steps)
    command = [sys.executable, "-m", "benchmarks.training_step", "--way", way, *map(str, sizes)]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    made: dict[str, float] = json.loads(ended.stdout)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=("kept", "returned"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(measured(arguments.batch, arguments.side, arguments.steps, kept=arguments.way == "kept")))
        return
    runs: dict[str, list[dict[str, float]]] = {"kept": [], "returned": []}
    for _ in range(arguments.repeats):
        for way, made in runs.items():
            made.append(in_child(arguments, way))
    ratios = [kept["step_s"] / returned["step_s"] for kept, returned in zip(*runs.values(), strict=True)]
    result = {
        "batch": arguments.batch,
        "side": arguments.side,
        **{
            f"{way}_{what}": round(statistics.median(run[what] for run in made), 3)
            for way, made in runs.items()
            for what in ("step_s", "system_s")
        },
        "kept_over_returned": round(statistics.median(ratios), 3),
        "all": [round(ratio, 3) for ratio in ratios],
        "aim": AIM,
        "machine": describe("torch"),
    }
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    sys.exit(statistics.median(ratios) > AIM)


if __name__ == "__main__":
    main()
