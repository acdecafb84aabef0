"""The two forms of a graph, an ONNX model and a program of torch.export: written whole, checked before they count."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.export import ExportedProgram

from aio.errors import InputError
from aio.exporting.graph import nodes_of
from aio.files import atomic_write
from aio.nets.folder import first_line

INPUT: Final = "image"
OUTPUT: Final = "restored"
_LARGEST: Final = 2**31 - 2**24  # bytes of one protobuf, less room for the graph
_DIMENSIONS: Final = ("batch", None, "height", "width")
Check = Callable[[Callable[[Tensor], Tensor]], None]


def check_size(module: torch.nn.Module, path: Path) -> None:
    """Raises InputError when the weights do not fit into one ONNX file."""
    size = sum(value.nbytes for value in module.state_dict().values())
    if size > _LARGEST:
        raise InputError(f"{path}: weights of {size / 1e9:.1f} GB do not fit into an ONNX file of 2 GB")


def write_onnx(
    program: ExportedProgram, path: Path, *, opset: int | None, about: Mapping[str, str], check: Check
) -> int:
    """Writes `program` as one ONNX file with the weights inside, when `check` has passed it in onnxruntime.

    Args:
        program: of one image batch, as `capture` gives it.
        path: the file.
        opset: version of ONNX's operators; torch's own choice by default.
        about: what the model's metadata say.
        check: is given the file's function and raises what speaks against it.

    Returns:
        The opset.
    """
    try:
        with _quiet():
            found = torch.onnx.export(
                program, dynamo=True, opset_version=opset, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise InputError(f"{path}: cannot be ONNX of opset {opset or 'any'} ({first_line(error)})") from error
    assert found is not None
    model = found.model_proto
    for value in (*model.graph.input, *model.graph.output):
        for name, dimension in zip(_DIMENSIONS, value.type.tensor_type.shape.dim, strict=True):
            if name is not None:
                dimension.dim_param = name if value.name == INPUT or name == "batch" else f"restored_{name}"
    del model.graph.value_info[:]  # says the sizes by names that the graph no longer has
    for node in (*model.graph.node, *(node for function in model.functions for node in function.node)):
        del node.metadata_props[:]  # where in which file of this machine it was traced
    for key, text in about.items():
        model.metadata_props.add(key=key, value=text)
    content = model.SerializeToString()
    check(run_onnx(content))
    _write(path, content)
    return next(each.version for each in model.opset_import if not each.domain)


def run_onnx(content: bytes) -> Callable[[Tensor], Tensor]:
    """The model in `content` as a function, on the CPU."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, NotImplemented

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, NotImplemented) as error:
        raise InputError(
            f"onnxruntime cannot run this model; try another --opset ({first_line(error)[:200]})"
        ) from error
    return lambda image: torch.from_numpy(session.run([OUTPUT], {INPUT: image.numpy()})[0])


def write_program(program: ExportedProgram, path: Path, *, check: Check) -> None:
    """Writes `program` for `torch.export.load`, when `check` has passed it as it was read again."""
    for node in nodes_of(program):
        node.meta.pop("stack_trace", None)  # in files of this machine
    content = io.BytesIO()
    with _quiet():
        torch.export.save(program, content)
    check(run_program(content.getvalue()))
    _write(path, content.getvalue())


def run_program(content: bytes) -> Callable[[Tensor], Tensor]:
    """The program in `content` as a function."""
    with _quiet():
        return torch.export.load(io.BytesIO(content)).module()


def _write(path: Path, content: bytes) -> None:
    try:
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the remarks that torch's exporters make about themselves."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
