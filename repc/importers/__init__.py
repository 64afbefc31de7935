"""Networks that other tools wrote, as typed graphs: torch modules, exported programs, ONNX files.

An importer knows no class and no paper: it has one table from the operators of its format to those of repc, and what
the table lacks becomes an opaque node, carried through and emitted again.  Nothing is refused for being unknown.
Names are kept: the path of a node is that of the module that computed it, the path of a parameter its key in the
original state_dict (or the name of the initializer), and every node points at the line of source that it came from.

`torch` and `onnx` do not see each other; each is loaded when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from repc.ir.graph import Graph

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch.export import ExportedProgram

__all__ = ["Imported", "import_module", "import_onnx", "import_program"]


@dataclass(frozen=True, eq=False)
class Imported:
    """A network with its weights.

    `parameters` has a value for every path of ``graph.parameters``: all keys of the original state_dict, those of one
    tensor being aliases of the first, and the `constants`, which the state_dict does not hold (buffers that are not
    persistent, tensors that the program made).  `classes` maps the paths of modules to the names of their classes.
    `notes` say what a person should know, a sentence each.  `dtype` is the type that the network computes in, which is
    f32 in the graph; `opset` is that of an ONNX file.
    """

    graph: Graph
    parameters: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict[str, str])
    constants: frozenset[str] = frozenset()
    dtype: str = "f32"
    opset: int | None = None


def import_module(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Any = None,
    name: str | None = None,
) -> Imported:
    """The graph of a torch module in evaluation mode, as `torch.export` sees it on these example inputs.

    `dynamic` says which sizes stay free, by input name and axis (``{"x": {0: "batch", 2: "height"}}``); without it the
    batch does, where the module allows that.  The module is not changed.  Raises `Failure` where it trains, or where it
    cannot be exported.
    """
    from repc.importers.torch import import_module

    return import_module(module, tuple(args), dict(kwargs or {}), dynamic, name)


def import_program(program: str | Path | ExportedProgram) -> Imported:
    """The graph of an exported program, or of a .pt2 file that holds one."""
    from repc.importers.torch import import_program

    return import_program(program)


def import_onnx(model: str | Path | ModelProto, sizes: Mapping[str, int] | None = None) -> Imported:
    """The graph of an ONNX file, or of a model in memory; tensors that lie beside the file are read too.

    `sizes` pins free sizes of the inputs, by name.  Raises `Failure` where the file cannot be read or is not valid
    (E540 to E543), where the type of a value is not known (E544), or no size has such a name (E545).
    """
    from repc.importers.onnx import import_onnx

    return import_onnx(model, sizes)
