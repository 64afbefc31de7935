"""Whether a folded module does what the module does that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from repc.importers import Imported
from repc.importers.torch.export import Example, structure
from repc.ir.graph import Graph
from repc.ops.opaque import opaque_names
from repc.verify import Options, Report, verify


def verification(
    given: Example, imported: Imported, folded: Graph, values: Mapping[str, Tensor], network: nn.Module
) -> tuple[Report | None, tuple[str, ...]]:
    """The comparison on the example and, where the batch is free, on a batch of another size; or a note why not.

    The module is run as a copy of its structure, which leaves it what it keeps between calls.
    """
    draws = _random_calls(imported.graph)
    if draws:
        return None, (f"not verified, since the network draws random numbers: {', '.join(draws)}",)
    original = structure(given.module)
    call = _caller(given)
    samples = [given.tensors] if _is_fixed(imported.graph) else [given.tensors, given.other_batch().tensors]
    with torch.no_grad():
        if not all(_finite(call(original, sample)) for sample in samples):
            return None, ("not verified, since the results of the original are not finite on the example",)
    inputs = [dict(zip(imported.graph.inputs, (x.cpu() for x in sample), strict=True)) for sample in samples]
    parameters = {path: tensor.cpu() for path, tensor in imported.parameters.items()}
    options = Options(level="sample", inputs=inputs)
    found = verify(
        imported.graph, folded, parameters, values, options=options, module=network, original=original, call=call
    )
    return found, ()


def _caller(given: Example) -> Callable[[nn.Module, Sequence[Tensor]], list[Tensor]]:
    """A call of a module with other tensors in the place of those of the example; its results in order."""
    leaves, spec = pytree.tree_flatten((given.args, given.kwargs))

    def call(module: nn.Module, tensors: Sequence[Tensor]) -> list[Tensor]:
        own = iter(tensors)
        filled = [next(own).to(leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, spec)
        results = pytree.tree_leaves(module(*args, **kwargs))
        return [result.cpu() for result in results if isinstance(result, Tensor)]

    return call


def _is_fixed(graph: Graph) -> bool:
    """Whether no input has a free batch."""
    return all(isinstance(size, int) for id in graph.inputs.values() for size in graph[id].type.shape[:1])


def _finite(results: Sequence[Tensor]) -> bool:
    return all(bool(result.isfinite().all()) for result in results)


def _random_calls(graph: Graph) -> list[str]:
    """The opaque calls of a graph that give something else each time."""
    names = dict.fromkeys(opaque_names(graph).values())
    return [name for name in names if _is_random(name)]


def _is_random(target: str) -> bool:
    namespace, name, overload = target.split(".")
    call: Any = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    return torch.Tag.nondeterministic_seeded in cast("Sequence[object]", call.tags)
