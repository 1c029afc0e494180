"""Exported programs without the parts of ``torch.export``'s format that run code when they are loaded.

A ``.pt2`` file is a zip of raw tensors and JSON, but ``torch.export.load`` (torch 2.13) also

* unpickles the example inputs, without restrictions when the restricted way fails, and any weight, constant
  or object that is marked as pickled, and loads compiled libraries;
* evaluates symbolic expressions, guards and the names in the graph as Python source;
* calls whatever attribute of ``torch``, ``math`` or ``operator`` an operator's name leads to.

So no file goes to torch as it came. :func:`canonical_program` reads the few members that a program needs,
refuses everything else by name, checks every string of the graph against what such a string can be, and
writes a new zip: without example inputs, stack traces or dates, so that the same program has the same bytes.
No torch here: a gateway can check an archive.
"""

import io
import json
import re
import zipfile
from typing import IO, Any, TypeVar

from lookalike.errors import InvalidArchive

C = TypeVar("C")
MAX_PROGRAM_BYTES = 4 << 30
_MAX_JSON_BYTES = 64 << 20
_ROOT = "archive/"
_GRAPH = "models/model.json"
_WEIGHTS = "data/weights/model_weights_config.json"
_CONSTANTS = "data/constants/model_constants_config.json"
_EXAMPLES = "data/sample_inputs/model.pt"
_TENSOR = re.compile(r"data/(weights/weight|constants/tensor)_\d{1,6}")
_FIXED = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little", ".data/version": b"6"}
_DROPPED = {".data/serialization_id", _EXAMPLES}
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold

_ATEN = re.compile(r"torch\.ops\.aten\.(?!from_file\b)[A-Za-z0-9_]+\.[A-Za-z0-9_]+")
_SYMBOLIC = re.compile(
    r"_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|torch\.sym_(max|min|not|int|float)"
)
_FUNCTIONS = (
    "Add|Mul|Integer|FloorDiv|CeilDiv|CleanDiv|IntTrueDiv|Mod|PythonMod|ModularIndexing|Max|Min"
    "|Eq|Ne|Equality|Unequality|GreaterThan|LessThan|StrictGreaterThan|StrictLessThan"
)
_EXPRESSION = re.compile(
    r"(Symbol\('[suz]\d{1,9}'(, (positive|nonnegative|integer)=True)*\)"
    rf"|\b[suz]\d{{1,9}}\b|\b({_FUNCTIONS})\b|\b\d{{1,18}}\b|\*(?!\*)|[ +\-/(),<>=])*"
)
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PLAIN = re.compile(r"[A-Za-z0-9_.+\-]*")
_TEXT = re.compile(r"[A-Za-z0-9_.+\-, >]*")  # arguments, which torch quotes: einsum equations
_REFUSED_KEYS = frozenset({"as_custom_obj", "as_graph", "as_operator", "as_opaque", "as_sym_float", "as_complex"})
_IDENTIFIER_KEYS = frozenset({"name", "as_name"})
_TREE_TYPES = (None, "builtins.tuple", "builtins.list", "builtins.dict")


def canonical_program(source: bytes | IO[bytes]) -> bytes:
    """The program in ``source``, checked and rewritten.

    Applying it twice changes nothing. What it returns is safe to give to ``torch.export.load``. Raises
    InvalidArchive for what is no program or holds anything that loading would unpickle or evaluate.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            members = _read_members(archive)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise InvalidArchive("not an exported program: no readable zip", reason=str(error)) from error
    members[_GRAPH] = _checked_graph(members[_GRAPH])
    for config, folder in ((_WEIGHTS, "data/weights/"), (_CONSTANTS, "data/constants/")):
        members[config] = _checked_payloads(members[config], folder, members)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(members):
            archive.writestr(zipfile.ZipInfo(_ROOT + name, _DATE), members[name])
    return target.getvalue()


def _read_members(archive: zipfile.ZipFile) -> dict[str, bytes]:
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        root, _, name = entry.filename.partition("/")
        known = name in _FIXED or name in _DROPPED or name in (_GRAPH, _WEIGHTS, _CONSTANTS) or _TENSOR.fullmatch(name)
        if not root or not known:
            raise InvalidArchive(f"a program must not hold {entry.filename!r:.200}", member=entry.filename[:200])
        if name in entries:
            raise InvalidArchive(f"the program holds {name} twice", member=name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1:
            raise InvalidArchive(f"{name} is compressed or encrypted; programs are stored", member=name)
        if name.endswith(".json") and entry.file_size > _MAX_JSON_BYTES:
            raise InvalidArchive(f"{name} has {entry.file_size} bytes", member=name, limit_bytes=_MAX_JSON_BYTES)
        entries[name] = entry
    if sum(entry.file_size for entry in entries.values()) > MAX_PROGRAM_BYTES:
        raise InvalidArchive("the program is too large", limit_bytes=MAX_PROGRAM_BYTES)
    missing = [name for name in (*_FIXED, _GRAPH, _WEIGHTS, _CONSTANTS) if name not in entries]
    if missing:
        raise InvalidArchive(f"not an exported program: {missing[0]} is missing", missing=missing)
    members = {name: archive.read(entry) for name, entry in entries.items() if name not in _DROPPED}
    for name, expected in _FIXED.items():
        if members[name].strip() != expected:
            raise InvalidArchive(f"{name} is {members[name]!r:.40}, not {expected!r}: another format of programs")
        members[name] = expected
    # An empty member means "no example inputs"; what the file held there is pickled and never read.
    members[_EXAMPLES] = b""
    return members


def _checked_graph(data: bytes) -> bytes:
    program = _parse(data, _GRAPH)
    graph_module = program.get("graph_module")
    graph = graph_module.get("graph") if isinstance(graph_module, dict) else None
    if not isinstance(graph_module, dict) or not isinstance(graph, dict) or not isinstance(graph.get("nodes"), list):
        raise InvalidArchive("the program has no graph")
    # Guards are Python source. Ours protect nothing: the embedder checks shapes itself.
    program["guards_code"] = []
    graph_module["metadata"] = {}
    # One entry describes the inputs and outputs; the others only say which module each node came from.
    graph_module["module_call_graph"] = [
        call
        for call in _or_empty(graph_module, "module_call_graph", list)
        if isinstance(call, dict) and call.get("fqn") == ""
    ]
    if graph_module.get("treespec_namedtuple_fields"):
        raise InvalidArchive("the program returns named tuples, not one tensor")
    for node in graph["nodes"]:
        target = node.get("target") if isinstance(node, dict) else None
        if not isinstance(target, str) or not (_ATEN.fullmatch(target) or _SYMBOLIC.fullmatch(target)):
            raise InvalidArchive(f"the program calls {target!r:.200}, which is no tensor operator", target=str(target))
        node["metadata"] = {}
    for call in [graph, *graph["nodes"]]:
        _check_value(call, "")
    _check_value({key: value for key, value in program.items() if key != "graph_module"}, "")
    _check_value({key: value for key, value in graph_module.items() if key != "graph"}, "")
    for symbol in _or_empty(program, "range_constraints", dict):
        _match(_IDENTIFIER, symbol, "range_constraints")
    return json.dumps(program, separators=(",", ":"), sort_keys=True).encode()


def _or_empty(holder: dict[str, Any], name: str, kind: type[C]) -> C:
    """The value under ``name``, empty where there is none. Raises InvalidArchive for one of another kind."""
    found = holder.get(name, kind())
    if not isinstance(found, kind):
        raise InvalidArchive(f"{name} of the program is no {kind.__name__}", key=name)
    return found


def _check_value(value: Any, key: str) -> None:  # JSON
    """Refuses every string that torch might take for source, and every argument that isn't plain data."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in _REFUSED_KEYS and item not in (None, {}):
                raise InvalidArchive(f"the program holds {name}, which is not tensors and numbers", key=name)
            _match(_PLAIN, name, key)
            _check_value(item, name)
    elif isinstance(value, list):
        for item in value:
            _check_value(item, "name" if key == "forward_arg_names" else key)
    elif isinstance(value, str):
        if key == "expr_str":
            _match(_EXPRESSION, value, key)
        elif key in ("in_spec", "out_spec"):
            _check_tree(_parse_json(value, key))
        elif key in _IDENTIFIER_KEYS and value:
            _match(_IDENTIFIER, value, key)
        else:
            _match(_TEXT if key == "as_string" else _PLAIN, value, key)


def _check_tree(tree: Any) -> None:  # JSON
    """Containers of the built-in types only: others import the module that they name."""
    if isinstance(tree, list):
        for item in tree:
            _check_tree(item)
    elif isinstance(tree, dict):
        if tree.get("type") not in _TREE_TYPES or tree.get("context") not in (None, "null", "[]"):
            raise InvalidArchive(f"the program takes or returns {str(tree)!r:.200}")
        _check_tree(tree.get("children_spec", []))


def _checked_payloads(data: bytes, folder: str, members: dict[str, bytes]) -> bytes:
    payloads = _parse(data, folder).get("config")
    if not isinstance(payloads, dict):
        raise InvalidArchive(f"{folder} has no table of tensors")
    for name, payload in payloads.items():
        path = payload.get("path_name") if isinstance(payload, dict) else None
        if not isinstance(path, str) or payload.get("use_pickle") is not False or payload.get("tensor_meta") is None:
            raise InvalidArchive(f"{name!r:.200} is pickled; only raw tensors are loaded", tensor=name[:200])
        if not _TENSOR.fullmatch(folder + path) or not members.get(folder + path):
            raise InvalidArchive(f"the tensor {name!r:.200} is missing or empty", tensor=name[:200])
        _match(_PLAIN, name, folder)
        _check_value(payload, "")
    return json.dumps({"config": payloads}, separators=(",", ":"), sort_keys=True).encode()


def _parse(data: bytes, name: str) -> dict[str, Any]:
    value = _parse_json(data, name)
    if not isinstance(value, dict):
        raise InvalidArchive(f"{name} is no JSON object", member=name)
    return value


def _parse_json(data: bytes | str, name: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidArchive(f"{name} is no JSON: {error}", member=name) from error


def _match(pattern: re.Pattern[str], text: str, where: str) -> None:
    if not pattern.fullmatch(text):
        raise InvalidArchive(f"the program holds {text!r:.200} as {where or 'a name'}", value=text[:200])
