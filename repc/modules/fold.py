"""A module as it is, folded."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from repc.backends.torch import Network, inference_module
from repc.diagnostics import Failure
from repc.evaluate.dtypes import DTYPES
from repc.evaluate.stored import deployed
from repc.importers.torch import module_program
from repc.importers.torch.export import Example, example, without_autocast
from repc.modules import errors
from repc.modules.interface import entry
from repc.modules.report import report
from repc.modules.verification import verification
from repc.passes import Options
from repc.passes import fold as fold_graph


@without_autocast()
def fold(
    module: nn.Module,
    example: object,
    *,
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Mapping[str, Any] | None = None,
    objective: str = "default",
    keep: Sequence[str] = (),
    pin: bool = False,
    verify: bool = True,
) -> Network:
    """Any module in evaluation mode as an ordinary module for inference that does the same with fewer operators.

    `example` is what the module is called with: a tuple of arguments, a mapping of keyword arguments, or a single
    argument; further keyword arguments are given as `kwargs`.  The batch stays free where the module allows it: the
    first axis of every tensor that has as many elements there as the first tensor has.  Sizes that are to stay free
    besides are named by argument and axis, ``dynamic={"x": {2: "height", 3: "width"}}``.

    `keep` lists path patterns of what is not to be folded, `objective` says what a fold may cost ("default",
    "operators", "macs", "size"), and with `pin` a fold may hold for the sizes of the example alone.  Unless `verify` is
    false, the result is compared with the module on the example; the report is false where it rounds worse.

    The module itself is not changed; what was not folded keeps its names in the result, whose `report` says what was
    done.  Raises `Failure` for a module in training mode, one that cannot be exported, and one whose folded form is not
    equal to it.
    """
    given = _example(module, example, kwargs or {})
    program, imported, conditions = module_program(given, dynamic)
    device = _device(module)
    folded, trace = fold_graph(imported.graph, Options(tuple(keep), objective, pin=pin))
    parameters = {path: tensor.cpu() for path, tensor in imported.parameters.items()}
    values = _own(deployed(folded, parameters, DTYPES[imported.dtype]), parameters)
    network = inference_module(folded, values, entry(given, program, imported.graph, conditions)).to(device)
    if _channels_last(module):
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    checked, notes = verification(given, imported, folded, values, network) if verify else (None, ())
    if checked is not None and checked.wrong:
        raise Failure(errors.not_equal(imported.graph.name, checked))
    cast("Any", network).report = report(imported.graph, folded, trace, (*imported.notes, *notes), checked)
    return network


def _example(module: nn.Module, given: object, kwargs: Mapping[str, Any]) -> Example:
    """A mapping whose keys are parameters of `forward` gives these; any other is an argument itself."""
    if isinstance(given, tuple):
        return example(module, cast("tuple[Any, ...]", given), kwargs)
    if isinstance(given, Mapping) and given.keys() <= inspect.signature(module.forward).parameters.keys():
        return example(module, (), {**given, **kwargs})
    return example(module, (cast("Any", given),), kwargs)


def _device(module: nn.Module) -> torch.device:
    """The one device of a module; raises `Failure` where there are several, or where it holds no values."""
    found = {tensor.device for tensor in (*module.parameters(), *module.buffers())} or {torch.device("cpu")}
    if len(found) > 1 or any(device.type == "meta" for device in found):
        raise Failure(errors.devices(sorted(map(str, found))))
    return found.pop()


def _own(values: Mapping[str, Tensor], parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Values in memory of their own: what needed no rounding is still the tensor of the module."""
    taken = {tensor.untyped_storage().data_ptr() for tensor in parameters.values()}
    return {
        name: value.clone() if value.untyped_storage().data_ptr() in taken else value for name, value in values.items()
    }


def _channels_last(module: nn.Module) -> bool:
    """Whether kernels lie in the order of channels, which then is to stay so."""
    kernels = [parameter for parameter in module.parameters() if parameter.dim() == 4]
    return any(
        kernel.is_contiguous(memory_format=torch.channels_last) and not kernel.is_contiguous() for kernel in kernels
    )
