"""Nothing in a program is unpickled or evaluated, whatever its author put there."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lookalike.embedding.program import canonical_program
from lookalike.errors import InvalidArchive

GRAPH = "archive/models/model.json"
WEIGHTS = "archive/data/weights/model_weights_config.json"
CONSTANTS = "archive/data/constants/model_constants_config.json"
EXAMPLES = "archive/data/sample_inputs/model.pt"


class Touch:
    """Unpickling one creates the file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def members_of(program: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def edited(program: bytes, member: str, edit: Callable[[dict[str, Any]], None]) -> bytes:
    members = members_of(program)
    value = json.loads(members[member])
    edit(value)
    return zipped(members | {member: json.dumps(value).encode()})


def pickled(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


def test_what_torch_saves_becomes_a_program_without_pickles(tmp_path):
    program = torch.export.export(nn.Linear(2, 3).eval(), (torch.zeros(4, 2),))
    torch.export.save(program, tmp_path / "linear.pt2")
    raw = (tmp_path / "linear.pt2").read_bytes()
    assert members_of(raw)["linear/data/sample_inputs/model.pt"].startswith(
        b"PK"
    )  # torch does pickle the example inputs
    canonical = canonical_program(raw)
    assert members_of(canonical)[EXAMPLES] == b""
    assert b"stack_trace" not in canonical  # with the paths of this machine
    loaded = torch.export.load(io.BytesIO(canonical)).module()
    x = torch.tensor([[1.0, 2.0]] * 4)
    assert torch.equal(loaded(x), program.module()(x))


def test_the_canonical_form_of_a_canonical_program_is_itself(small_model):
    assert canonical_program(small_model.program) == small_model.program
    assert canonical_program(io.BytesIO(small_model.program)) == small_model.program


def test_torch_would_run_a_pickle_among_the_example_inputs_and_we_do_not(small_model, tmp_path):
    evil = members_of(small_model.program) | {EXAMPLES: pickled((Touch(tmp_path / "torch"),))}
    with contextlib.suppress(Exception):
        torch.export.load(io.BytesIO(zipped(evil)))
    assert (tmp_path / "torch").exists()

    evil[EXAMPLES] = pickled((Touch(tmp_path / "ours"),))
    torch.export.load(io.BytesIO(canonical_program(zipped(evil))))
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(("config", "folder"), [(WEIGHTS, "weights/weight"), (CONSTANTS, "constants/tensor")])
def test_pickled_tensors_are_refused(small_model, tmp_path, config, folder):
    def mark(value: dict[str, Any]) -> None:
        meta = next(iter(json.loads(members_of(small_model.program)[WEIGHTS])["config"].values()))
        value["config"]["evil"] = meta | {"path_name": f"{folder.split('/')[1]}_99", "use_pickle": True}

    members = members_of(edited(small_model.program, config, mark))
    members[f"archive/data/{folder}_99"] = pickled(Touch(tmp_path / "ran"))
    with pytest.raises(InvalidArchive, match="pickled"):
        canonical_program(zipped(members))
    with contextlib.suppress(Exception):  # what it makes of the result is of no interest here
        torch.export.load(io.BytesIO(zipped(members)))
    assert (tmp_path / "ran").exists()  # the same file does run in torch


@pytest.mark.parametrize(
    "member",
    [
        "archive/data/constants/opaque_obj_0",
        "archive/data/constants/custom_obj_0",
        "archive/data/constants/model.pt",
        "archive/data/weights/model.pt",
        "archive/data/aotinductor/model/model.so",
        "archive/models/other.json",
        "archive/../../escape",
        "/archive/models/model.json",
        "version",
        "serialized_exported_program.json",
    ],
)
def test_members_that_a_program_does_not_need_are_refused(small_model, member):
    evil = zipped(members_of(small_model.program) | {member: pickle.dumps(1)})
    with pytest.raises(InvalidArchive, match=r"must not hold|twice"):
        canonical_program(evil)


@pytest.mark.parametrize(
    "target",
    [
        "torch.serialization.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.prim.Print.default",
        "torch.ops.aten.add.Tensor.__class__",
        "_operator.methodcaller",
        "math.sqrt",
        "#extension:anything",
        "",
        None,
    ],
)
def test_only_tensor_operators_are_called(small_model, target):
    def call(value: dict[str, Any]) -> None:
        value["graph_module"]["graph"]["nodes"][1]["target"] = target

    with pytest.raises(InvalidArchive, match="no tensor operator"):
        canonical_program(edited(small_model.program, GRAPH, call))


def set_expression(value: dict[str, Any], text: str) -> None:
    sizes = next(iter(value["graph_module"]["graph"]["tensor_values"].values()))["sizes"]
    sizes[0] = {"as_expr": {"expr_str": text, "hint": None}}


def set_name(value: dict[str, Any], text: str) -> None:
    value["graph_module"]["graph"]["nodes"][0]["name"] = text


def set_output(value: dict[str, Any], text: str) -> None:
    value["graph_module"]["graph"]["outputs"][0]["as_tensor"]["name"] = text


def set_forward_argument(value: dict[str, Any], text: str) -> None:
    value["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"] = [text]


def set_tree(value: dict[str, Any], text: str) -> None:
    value["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = text


def set_symbol(value: dict[str, Any], text: str) -> None:
    value["range_constraints"][text] = {"min_val": 1, "max_val": None}


CODE = "__import__('os').system('true')"


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (set_expression, CODE),
        (set_expression, "s77.__class__"),
        (set_expression, "9**9**9**9"),
        (set_expression, "Symbol('s77\\x27')"),
        (set_expression, "open(1)"),
        (set_name, f"x = {CODE}"),
        (set_name, "a.b"),
        (set_output, f"x;{CODE}"),
        (set_forward_argument, f"x={CODE}"),
        (set_symbol, CODE),
        (set_tree, '[1, {"type": "collections.defaultdict", "context": ["os", "system"], "children_spec": []}]'),
        (set_tree, CODE),
    ],
)
def test_source_in_places_that_torch_evaluates_is_refused(small_model, edit, text):
    with pytest.raises(InvalidArchive):
        canonical_program(edited(small_model.program, GRAPH, lambda value: edit(value, text)))


@pytest.mark.parametrize("text", ["s77", "Symbol('s77', positive=True, integer=True)", "FloorDiv(s77, 2) + 3*s1"])
def test_sizes_that_torch_writes_are_read(small_model, text):
    canonical_program(edited(small_model.program, GRAPH, lambda value: set_expression(value, text)))


def test_guards_which_are_source_are_dropped(small_model):
    def guard(value: dict[str, Any]) -> None:
        value["guards_code"] = [CODE]

    assert canonical_program(edited(small_model.program, GRAPH, guard)) == small_model.program


def test_arguments_that_name_objects_are_refused(small_model):
    def argue(value: dict[str, Any]) -> None:
        value["graph_module"]["graph"]["nodes"][0]["inputs"][0]["arg"] = {"as_operator": "torch.hub.load"}

    with pytest.raises(InvalidArchive, match="as_operator"):
        canonical_program(edited(small_model.program, GRAPH, argue))


@pytest.mark.parametrize("data", [b"", b"PK", b"\x80\x04K\x01.", zipped({"archive/archive_format": b"pt2"})])
def test_what_is_no_program_is_refused(data):
    with pytest.raises(InvalidArchive):
        canonical_program(data)


def test_compressed_programs_are_refused_for_they_could_be_bombs(small_model):
    with pytest.raises(InvalidArchive, match="compressed"):
        canonical_program(zipped(members_of(small_model.program), zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("cut", [0.1, 0.5, 0.99])
def test_truncated_programs_are_refused(small_model, cut):
    with pytest.raises(InvalidArchive):
        canonical_program(small_model.program[: int(len(small_model.program) * cut)])


def test_flipped_bits_in_weights_are_refused(small_model):
    weight = members_of(small_model.program)["archive/data/weights/weight_0"]
    at = small_model.program.index(weight)
    damaged = bytearray(small_model.program)
    damaged[at] ^= 1
    with pytest.raises(InvalidArchive):  # the zip's own checksum
        canonical_program(bytes(damaged))
