"""Settings -> the door of the gateway: keys and limits, and what is said of them when it opens."""

import logging
import threading

from lookalike.bootstrap_access import is_local, keys_are_on, known_keys, limiter
from lookalike.errors import LookalikeError
from lookalike.pipeline.workspace import Workspace
from lookalike.settings import Settings
from services.gateway.access import Access
from services.gateway.cross_origin import CrossOrigin
from services.gateway.host_names import HostNames
from services.gateway.web_rules import WebRules

_log = logging.getLogger(__name__)


def make_access(settings: Settings, workspace: Workspace, listens_on: str) -> Access | None:
    """The door of a gateway that listens on this address; None where keys are off. Says which in the log."""
    said = settings.access
    if not keys_are_on(settings, listens_on):
        _log.info("API keys are off (access.keys=%s, listening on %s): no key, no rate limit", said.keys, listens_on)
        if not is_local(listens_on):
            _log.warning("API keys are off: whoever reaches %s may change and delete everything", listens_on)
        return None
    _log.info(
        "API keys are on (access.keys=%s, listening on %s): %d requests a minute for each",
        said.keys,
        listens_on,
        said.requests_per_minute,
    )
    if said.bootstrap_key is None:
        threading.Thread(target=_look_for_keys, args=(workspace,), name="keys-there", daemon=True).start()
    return Access(
        known_keys(settings, workspace),
        limiter(settings),
        requests_per_minute=said.requests_per_minute,
        burst_s=said.burst_s,
        trusted_proxies=settings.gateway.trusted_proxies,
        open_metrics=said.open_metrics,
        secure_cookie=settings.gateway.tls,
    )


def web_rules(settings: Settings, listens_on: str, *, keys_on: bool) -> WebRules:
    """What the gateway takes of browsers and other clients."""
    said = settings.gateway
    # Behind a key, a page that calls itself by the gateway's address gets nothing: it has none.
    is_guarded = bool(said.hosts) or (is_local(listens_on) and not keys_on)
    return WebRules(
        cross_origin=CrossOrigin(settings.access.cors_origins),
        hosts=HostNames(said.hosts) if is_guarded else None,
        tls=said.tls,
        max_json_bytes=said.max_json_bytes,
        slow_client_s=said.slow_client_s,
    )


def _look_for_keys(workspace: Workspace) -> None:
    try:
        is_any = workspace.api_keys.any()
    except LookalikeError:
        return  # that the store is away is said elsewhere
    if not is_any:
        _log.warning(
            "API keys are on and there is none, so nobody may do anything: "
            "lookalike keys create NAME --scope admin, or set LOOKALIKE_ACCESS__BOOTSTRAP_KEY_FILE"
        )
