"""The worker that embeds: ``lookalike worker embedder``, or ``python -m services.embedder.worker``.

One process has the model; units come one at a time, and the images of each are decoded by threads.
"""

from lookalike.bootstrap import wire
from lookalike.bootstrap_jobs import work
from lookalike.jobs.steps import Queue
from lookalike.settings import Settings, load
from lookalike.telemetry.process import observed


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises InvalidRequest where the settings name no queue."""
    with observed(settings, "embedder-worker"):
        workspace = wire(settings)
        try:
            work(settings, workspace, [Queue.EMBED], threads=1)
        finally:
            workspace.close()


if __name__ == "__main__":
    run(load())
