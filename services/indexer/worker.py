"""The worker of everything but embedding: ``lookalike worker indexer``, or ``python -m services.indexer.worker``.

It plans what is to be embedded, ingests, builds indexes, evaluates, promotes and collects garbage; no torch.
"""

from lookalike.bootstrap import wire
from lookalike.bootstrap_jobs import work
from lookalike.jobs.steps import Queue
from lookalike.settings import Settings, load
from lookalike.telemetry.process import observed


def run(settings: Settings) -> None:
    """Works until SIGTERM or Ctrl-C. Raises InvalidRequest where the settings name no queue."""
    with observed(settings, "indexer-worker"):
        workspace = wire(settings)
        try:
            work(settings, workspace, [Queue.INDEX, Queue.EVALUATE], threads=settings.queue.index_threads)
        finally:
            workspace.close()


if __name__ == "__main__":
    run(load())
