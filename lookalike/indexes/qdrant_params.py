"""What Qdrant takes, in process and as a server."""

from collections.abc import Mapping

from lookalike.errors import UnknownParameter
from lookalike.indexes.port import Capabilities, Metric, Params, ParamSpec

METRICS = {"cosine": Metric("cosine"), "dot": Metric("inner_product")}
QUANTIZATIONS = ("none", "scalar", "product", "binary")
COMPRESSIONS = ("x4", "x8", "x16", "x32", "x64")
FULL_SCAN_KB = 10_000  # of embeddings: so few are compared one by one instead of through the graph; Qdrant's default

_BUILD_PARAMS = {
    "metric": ParamSpec(str, "cosine", "Distance of the points.", choices=tuple(METRICS)),
    "m": ParamSpec(int, 16, "Edges of a node of the HNSW graph.", 2, 128),
    "ef_construct": ParamSpec(int, 100, "Candidates while the graph is built.", 4, 2000),
    "quantization": ParamSpec(
        str,
        "none",
        "Copies for the graph search: of 8 bits a value (scalar), of codes (product), of 1 bit (binary).",
        choices=QUANTIZATIONS,
    ),
    "compression": ParamSpec(
        str,
        None,
        "Size of the codes of product quantization, x16 if not given; others refuse it.",
        choices=COMPRESSIONS,
    ),
}
_SEARCH_PARAMS = {
    "ef_search": ParamSpec(int, 128, "Candidates of the graph search (hnsw_ef).", 1, 10_000),
    "exact": ParamSpec(bool, False, "Every point is compared instead of the graph searched."),
    "rescore": ParamSpec(
        bool, True, "Candidates of a quantized search are measured again in full precision; others refuse it."
    ),
    "oversampling": ParamSpec(
        float,
        None,
        "Quantized: candidates to measure again, for each neighbour; by default 1, binary 4, product 8.",
        1,
        100,
    ),
}
_OF_QUANTIZED = frozenset({"rescore", "oversampling"})
_DEFAULT_COMPRESSION = "x16"
DEFAULT_OVERSAMPLING = {"scalar": 1.0, "product": 8.0, "binary": 4.0}


def search_params_of(quantization: str) -> Mapping[str, ParamSpec]:
    """The search parameters that an index so quantized takes."""
    if quantization != "none":
        return _SEARCH_PARAMS
    return {name: spec for name, spec in _SEARCH_PARAMS.items() if name not in _OF_QUANTIZED}


def compression_of(params: Params) -> str:
    """How far product quantization compresses. Raises UnknownParameter when another one is told to."""
    if "compression" in params and params["quantization"] != "product":
        raise UnknownParameter(
            f"compression is a parameter of product quantization, not of {params['quantization']}",
            parameters=["compression"],
        )
    return str(params.get("compression", _DEFAULT_COMPRESSION))


def capabilities(location: str) -> Capabilities:
    """Those of an index in this ``process`` or on a ``server``.

    The location is a parameter so that the same embeddings give another index there: neither opens the other's.
    """
    where = ParamSpec(str, location, "Where the points are; the setting qdrant.url decides.", choices=(location,))
    return Capabilities(
        metrics=tuple(METRICS),
        filters_natively=True,
        updates_in_place=False,
        build_params={**_BUILD_PARAMS, "location": where},
        search_params=_SEARCH_PARAMS,
        keeps_outside=location == "server",
    )
