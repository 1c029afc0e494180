"""What each endpoint needs and costs, in one table. An endpoint without a row cannot be made."""

from collections.abc import Mapping
from dataclasses import dataclass

from lookalike.pipeline.job_kinds import JobKind
from lookalike.types.api_keys import Scope


@dataclass(frozen=True)
class Rule:
    """``scope`` None: needs no key, whatever the settings. ``cost`` is in tokens of the caller's bucket."""

    scope: Scope | None
    cost: float = 1.0
    is_metrics: bool = False


_OPEN = Rule(None, 0.0)
_READ, _WRITE, _ADMIN = Rule(Scope.READ), Rule(Scope.WRITE), Rule(Scope.ADMIN)
_PICTURE = Rule(Scope.READ, 0.125)  # a page of hits asks for dozens
_GALLERY = "/v1/galleries/{gallery}"
_IMAGE = f"{_GALLERY}/images/{{image_id}}"
_JOB = "/v1/jobs/{job_id}"

RULES: Mapping[tuple[str, str], Rule] = {
    # What says nothing of what is in the store, and what probes and browsers ask before they have a key.
    ("GET", "/"): _OPEN,
    ("GET", "/web/{name}"): _OPEN,
    ("GET", "/favicon.ico"): _OPEN,
    ("GET", "/docs"): _OPEN,
    ("GET", "/openapi.json"): _OPEN,
    ("GET", "/healthz"): _OPEN,
    ("GET", "/readyz"): _OPEN,
    ("GET", "/metrics"): Rule(Scope.READ, 0.0, is_metrics=True),
    ("GET", "/v1/session"): _OPEN,  # these three look at a key themselves
    ("POST", "/v1/session"): _OPEN,
    ("DELETE", "/v1/session"): _OPEN,
    ("GET", "/v1/keys"): _ADMIN,
    ("POST", "/v1/keys"): _ADMIN,
    ("DELETE", "/v1/keys/{key_id}"): _ADMIN,
    ("GET", "/v1/backends"): _READ,
    ("GET", "/v1/models"): _READ,
    ("GET", "/v1/models/{model}"): _READ,
    ("POST", "/v1/galleries"): _WRITE,
    ("GET", "/v1/galleries"): _READ,
    ("GET", _GALLERY): _READ,
    ("DELETE", _GALLERY): _ADMIN,
    ("POST", f"{_GALLERY}/estimate"): _READ,  # and one more for each image that it embeds
    ("POST", f"{_GALLERY}/images"): _WRITE,  # for each image
    ("GET", f"{_GALLERY}/images"): _READ,
    ("GET", _IMAGE): _READ,
    ("DELETE", _IMAGE): _WRITE,
    ("GET", f"{_IMAGE}/content"): _PICTURE,
    ("GET", f"{_IMAGE}/thumbnail"): _PICTURE,
    ("POST", f"{_GALLERY}/search"): _READ,
    ("POST", f"{_GALLERY}/search/batch"): _READ,  # for each search
    ("POST", f"{_GALLERY}/compare"): _READ,  # for each answer
    ("POST", f"{_GALLERY}/evaluations"): _WRITE,
    ("GET", "/v1/evaluations"): _READ,
    ("GET", "/v1/evaluations/{evaluation_id}"): _READ,
    ("GET", "/v1/evaluations/{evaluation_id}/report.html"): _READ,
    ("POST", "/v1/jobs"): _WRITE,  # and what its kind needs
    ("GET", "/v1/jobs"): _READ,
    ("GET", _JOB): _READ,
    ("GET", f"{_JOB}/events"): _READ,
    ("GET", f"{_JOB}/failures"): _READ,
    ("POST", f"{_JOB}/cancel"): _WRITE,
    ("POST", f"{_JOB}/retry"): _WRITE,  # and what its kind needs
}

# Whose bodies are read before anybody has shown a key.
OPEN_PATHS = frozenset(path for (_, path), rule in RULES.items() if rule.scope is None)

# Everything of a gallery goes for good with these; all others can be done over.
_ADMIN_JOBS = frozenset({JobKind.COLLECT})


def rule_of(methods: set[str] | None, path: str) -> Rule:
    """The row of a route. Raises LookupError where there is none: who adds an endpoint says who may call it."""
    found = {RULES.get((method, path)) for method in (methods or ()) if method != "HEAD"}
    rule = found.pop() if len(found) == 1 else None
    if rule is None:
        raise LookupError(f"services/gateway/access_rules.py has no rule for {methods} {path}")
    return rule


def job_scope(kind: str, params: Mapping[str, object]) -> Scope:
    """What submitting a job needs: as much as the endpoint that does the same, where there is one."""
    if kind in _ADMIN_JOBS or (kind == JobKind.DELETE and params.get("everything")):
        return Scope.ADMIN
    return Scope.WRITE
