"""Whether a folded module does what the module does that it was made of."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.backends import mha
from torch.utils import _pytree as pytree

from repc.importers import Imported
from repc.importers.torch.export import Example, structure
from repc.ir.foreign import TorchCall
from repc.ir.graph import Graph
from repc.ops.opaque import Opaque
from repc.verify import Options, Report, verify

Call: TypeAlias = Callable[[nn.Module, Sequence[Tensor]], list[Tensor]]

_SWITCHES = ("dropout", "dropout_p", "train", "training")
"""Arguments by which a call is told not to draw: attention, recurrent networks."""


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
    samples, notes = [given.tensors], list[str]()
    with torch.no_grad(), _plain_attention():
        expected = [call(original, given.tensors)]
        if not _is_fixed(imported.graph):
            other = given.other_batch()
            try:
                expected.append(call(original, other.tensors))
                samples.append(other.tensors)
            except Exception:  # whatever a module raises of a batch that it does not take
                notes.append(f"verified on the batch of the example alone: the original does not take {other.batch}")
    if not all(map(_finite, expected)):
        return None, ("not verified, since the results of the original are not finite on the example",)
    notes += _padding(original, call, samples, expected)
    inputs = [dict(zip(imported.graph.inputs, (x.cpu() for x in sample), strict=True)) for sample in samples]
    parameters = {path: tensor.cpu() for path, tensor in imported.parameters.items()}
    options = Options(level="sample", inputs=inputs)
    with _plain_attention():
        found = verify(
            imported.graph, folded, parameters, values, options=options, module=network, original=original, call=call
        )
    return found, tuple(notes)


@contextmanager
def _plain_attention() -> Generator[None]:
    """Without the kernels that torch has for encoders, which zero positions that are masked as padding."""
    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


def _padding(
    original: nn.Module, call: Call, samples: Sequence[Sequence[Tensor]], expected: Sequence[Sequence[Tensor]]
) -> Iterator[str]:
    """That those kernels make a difference, where they do."""
    if not any(isinstance(part, nn.TransformerEncoder) for part in original.modules()):
        return
    with torch.no_grad():
        found = [y for sample in samples for y in call(original, sample)]
    if not all(map(partial(torch.allclose, rtol=1e-2, atol=1e-2), found, chain(*expected))):
        yield "torch's fast path for encoders gives other values where its mask is of padding; it is not what is folded"


def _caller(given: Example) -> Call:
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
    calls = [op.call for op in (graph[id].op for id in graph) if isinstance(op, Opaque)]
    return list(dict.fromkeys(call.target for call in calls if isinstance(call, TorchCall) and _is_random(call)))


def _is_random(call: TorchCall) -> bool:
    """Whether a call draws numbers: it may, and is not told to drop nothing, or that this is no training."""
    namespace, name, overload = call.target.split(".")
    target: Any = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    if torch.Tag.nondeterministic_seeded not in cast("Sequence[object]", target.tags):
        return False
    for position, parameter in enumerate(target._schema.arguments):
        given = call.args[position] if position < len(call.args) else call.keywords.get(parameter.name)
        value = parameter.default_value if given is None else given
        if parameter.name in _SWITCHES and value in (0, False):
            return False
    return True
