"""OpenTelemetry traces across processes, where ``telemetry.otlp_endpoint`` is set.

Where it is not, nothing of OpenTelemetry is imported and every function here returns at once. Contexts pass from
process to process as W3C ``traceparent``, in HTTP and message headers.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from lookalike import __version__
from lookalike.errors import LookalikeError, MissingExtra
from lookalike.settings import Settings

if TYPE_CHECKING:
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer

Attributes: TypeAlias = Mapping[str, str | int]

_TRACES_PATH = "/v1/traces"
_TIMEOUT_S = 3.0  # with all retries: a process that ends waits for it once


class SpanKind(StrEnum):
    """Where a span stands: between processes one side asks and the other answers, now or later."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Span:
    """A span that has begun; one of a process without traces takes everything and keeps nothing."""

    def __init__(self, inner: "OtelSpan | None" = None) -> None:
        self._inner = inner

    def rename(self, name: str) -> None:
        """For what is known only when the work is done, such as the route."""
        if self._inner is not None:
            self._inner.update_name(name)

    def note(self, attributes: Attributes) -> None:
        """Adds attributes."""
        if self._inner is not None:
            self._inner.set_attributes(attributes)


class _Active:
    """What this process traces with, once configured."""

    tracer: "Tracer | None" = None


_NO_SPAN = nullcontext(Span())


def configure_tracing(settings: Settings, service: str) -> Callable[[], None]:
    """Sends the spans of this process, as ``lookalike-<service>``, to the collector that the settings name.

    Returns what ends it: the spans that are left are sent then. Raises MissingExtra without the SDK.
    """
    endpoint = settings.telemetry.otlp_endpoint
    if endpoint is None:
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise MissingExtra("opentelemetry-sdk", "tracing") from error
    about = {"service.name": f"lookalike-{service}", "service.version": __version__}
    provider = TracerProvider(resource=Resource.create(about))
    exporter = OTLPSpanExporter(endpoint.rstrip("/") + _TRACES_PATH, timeout=_TIMEOUT_S)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    _Active.tracer = provider.get_tracer("lookalike", __version__)

    def stop() -> None:
        _Active.tracer = None
        provider.shutdown()

    return stop


def span(
    name: str, attributes: Attributes = MappingProxyType({}), *, kind: SpanKind = SpanKind.INTERNAL
) -> AbstractContextManager[Span]:
    """What is within as a span of the present trace; where it raises, the span has the error's code, not its text."""
    return _NO_SPAN if _Active.tracer is None else _recorded(_Active.tracer, name, kind, attributes)


def inject() -> dict[str, str]:
    """The present trace as headers for another process; empty where there is none."""
    if _Active.tracer is None:
        return {}
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier


def extract(carrier: Mapping[str, str]) -> AbstractContextManager[None]:
    """Everything within belongs to the trace that ``carrier``, the headers from :func:`inject`, tells of."""
    return nullcontext() if _Active.tracer is None else _continued(carrier)


def trace_id() -> str | None:
    """The present trace's id in hex, as collectors show it; None outside of one."""
    if _Active.tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


@contextmanager
def _recorded(tracer: "Tracer", name: str, kind: SpanKind, attributes: Attributes) -> Iterator[Span]:
    from opentelemetry import trace

    with tracer.start_as_current_span(
        name, kind=trace.SpanKind[kind.value], record_exception=False, set_status_on_exception=False
    ) as begun:
        made = Span(begun)
        made.note(attributes)
        try:
            yield made
        except BaseException as error:
            # Its code or name, never its message, which may quote what a client sent.
            code = error.code if isinstance(error, LookalikeError) else type(error).__name__
            begun.set_attribute("error.type", code)
            begun.set_status(trace.StatusCode.ERROR, code)
            raise


@contextmanager
def _continued(carrier: Mapping[str, str]) -> Iterator[None]:
    from opentelemetry import context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    token = context.attach(TraceContextTextMapPropagator().extract(carrier))
    try:
        yield
    finally:
        context.detach(token)
