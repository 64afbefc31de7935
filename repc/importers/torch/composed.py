"""Calls that torch makes of others, as the others.

Of the some thousand operators of torch, most are defined by a few: ``swapaxes``, ``hstack``, ``logsumexp``, an einsum
of three.  Where the table has no line for a call, torch itself is asked, on the example values that it carries along.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from math import isnan
from typing import Any, cast

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch._guards import detect_fake_mode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from repc.importers.torch.export import undisturbed
from repc.importers.torch.functional import Call, overload, schema
from repc.importers.torch.table import TABLE

MOST = 32
"""How many calls one may become; a network inside a call, such as an LSTM, would not be better off as its steps."""


def composed(node: fx.Node, target: Call) -> tuple[fx.GraphModule, list[fx.Node]] | None:
    """What a call is made of: a program of calls in the table, with the values that it takes.

    None where torch makes it of nothing else, of too much, of calls that are not in the table, or of such that depend
    on a size that is free.
    """
    if target not in _forms() and not _is_composite(target):
        return None
    leaves, spec = pytree.tree_flatten((node.args, node.kwargs))
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node)]
    given: list[fx.Node] = [leaves[i] for i in places]
    examples = [value.meta.get("val") for value in given]
    mode: Any = detect_fake_mode(examples)
    if mode is None or not all(isinstance(example, Tensor) for example in examples):
        return None

    def call(*tensors: Tensor) -> Sequence[Tensor]:
        filled = [*leaves]
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        args, keywords = pytree.tree_unflatten(filled, spec)
        with _Few():
            return pytree.tree_leaves(target(*args, **keywords))

    try:
        with undisturbed(), mode, _no_questions(mode):
            own = {target: _forms()[target]} if target in _forms() else {}
            program = make_fx(call, {**_inner_forms(), **own})(*examples)
    except Exception:  # whatever torch raises of sizes that it does not know
        return None
    calls = [node for node in program.graph.nodes if node.op == "call_function" and not _is_plain(node)]
    if len(calls) > MOST or not all(map(_in_table, calls)):
        return None
    for made in program.graph.nodes:
        made.meta |= {name: node.meta[name] for name in ("stack_trace", "nn_module_stack") if name in node.meta}
    return program, given


@cache
def _forms() -> dict[Any, Callable[..., Any]]:
    """How torch computes its operators by others, where it does not do so by itself."""
    return dict(core_aten_decompositions())


@cache
def _inner_forms() -> dict[Any, Callable[..., Any]]:
    """Those of what the table lacks."""
    return {target: form for target, form in _forms().items() if str(target) not in TABLE}


def _is_composite(target: Call) -> bool:
    """Whether torch computes an operator by others."""
    key = "CompositeImplicitAutograd"
    return cast("Any", torch)._C._dispatch_has_kernel_for_dispatch_key(target.name(), key)


def _is_plain(call: fx.Node) -> bool:
    """Whether a call gives a size, or one of several results."""
    return call.target is operator.getitem or isinstance(call.meta.get("val"), int | torch.SymInt)


class _Few(TorchDispatchMode):
    """Ends what makes more calls than are wanted."""

    left = MOST

    def __torch_dispatch__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left < 0:
            raise OverflowError
        return func(*args, **(kwargs or {}))


def _no_questions(mode: Any) -> AbstractContextManager[None]:
    """Whoever asks how large a free size is gets an error: an answer would hold for the rest of the program."""
    return nullcontext() if mode.shape_env is None else mode.shape_env.error_on_new_guards()


def _in_table(call: fx.Node) -> bool:
    """Whether the table has a call; what is made of nothing but numbers is known without it."""
    if not call.all_input_nodes:
        return not any(isinstance(arg, float) and isnan(arg) for arg in call.args)
    target = overload(call)
    return target is not None and str(target) in TABLE and not schema(target).is_mutable
