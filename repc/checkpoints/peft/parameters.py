"""Adapters of parameters that are no layer's weight, such as the stacked weights of a mixture of experts.

PEFT lays the adapters of several parameters of one module around each other: those of the parameter that was declared
first are in ``experts.base_layer.lora_A``, the next in ``experts.lora_A``, and no key says which is which.  The shapes
of the base do: they have to admit one order, and one answer to whether experts keep their weights as (in, out), which
is the same for all parameters of a module.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

from torch import Tensor

from repc.checkpoints.peft.config import Config
from repc.checkpoints.peft.forms import Shapes
from repc.checkpoints.peft.keys import layer_of, named_by_any
from repc.checkpoints.peft.method import Form
from repc.checkpoints.peft.names import Names
from repc.ir.types import TensorType

_FACTORS = {"lora_A.weight": "n i", "lora_B.weight": "o n"}
_SCALED = "(r={r}, alpha={alpha})"
MATRIX = Form(f"LoRA{_SCALED}", _FACTORS)
EXPERTS = Form(f"LoRAExperts{_SCALED}", _FACTORS)
TRANSPOSED = Form(f"LoRAExpertsTransposed{_SCALED}", _FACTORS)


_PARTS = "the base has none of this module; a file of transformers may keep it in parts, and its state_dict does not"


@dataclass(frozen=True)
class Adapted:
    """The parameter that adapters belong to, and the block that they are."""

    path: str
    form: Form


def find_parameters(
    modules: Mapping[str, Shapes], config: Config, types: Mapping[str, TensorType]
) -> dict[str, Adapted | str]:
    """Which modules are parameters, as ``experts.base_layer`` is; a reason where that is not known."""
    found: dict[str, Adapted | str] = {}
    for layer in dict.fromkeys(layer_of(module) for module in modules):
        wrapped = [module for module in modules if layer_of(module) == layer]
        named = [path for path in types if path.rpartition(".")[0] == layer and named_by_any(path, config.parameters)]
        if named or wrapped != [layer] or (types and f"{layer}.weight" not in types):
            orders = list(_orders([modules[module] for module in wrapped], named, config, types))
            if len(orders) == 1:
                found.update(zip(wrapped, orders[0], strict=True))
            else:
                why = (
                    "of these sizes there are several"
                    if named and orders
                    else "none of these sizes"
                    if named
                    else _PARTS
                )
                found.update(dict.fromkeys(wrapped, f"of the parameters {', '.join(config.parameters)}: {why}"))
    return found


def parts_of(
    form: Form, factors: Mapping[str, Tensor], path: str, names: Names
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """The weights in the file that a stack of experts is there, each with factors of its own for `MATRIX`.

    An expert's part of the factors makes its whole matrix, and a weight of it is some of the rows.
    """
    a, b = (factors[part] for part in _FACTORS)
    experts = names.types[path].concrete()[0]
    keys = names.keys[path]
    members = len(keys) // experts
    for expert in range(experts):
        first, second = a.chunk(experts)[expert], b[:, expert::experts]
        rows, columns = (second, first) if form is EXPERTS else (first.T, second.T)
        for key, part in zip(keys[members * expert :], rows.chunk(members), strict=False):
            yield key, dict(zip(_FACTORS, (columns.contiguous(), part.contiguous()), strict=True))


def _orders(
    wrapped: Sequence[Shapes], named: Sequence[str], config: Config, types: Mapping[str, TensorType]
) -> Iterator[list[Adapted]]:
    """The ways in which parameters have the sizes of the adapters; a square is as good as its transpose."""
    for experts in (EXPERTS, TRANSPOSED):
        for paths in permutations(named, len(wrapped)):
            forms = [MATRIX if types[path].rank == 2 else experts for path in paths]
            fits = [_fits(s, p, f, config, types[p]) for s, p, f in zip(wrapped, paths, forms, strict=True)]
            if all(fits) and (experts in forms or experts is EXPERTS):
                yield [Adapted(path, form) for path, form in zip(paths, forms, strict=True)]


def _fits(shapes: Shapes, path: str, form: Form, config: Config, kind: TensorType) -> bool:
    """Whether the factors of an adapter make a parameter of this shape."""
    shape = kind.concrete()
    if form.parts.keys() != shapes.keys() or len(shape) not in (2, 3):
        return False
    count = shape[0] if len(shape) == 3 else 1
    rows, columns = (shape[-1], shape[-2]) if form is TRANSPOSED else (shape[-2], shape[-1])
    ranks = count * config.values(path)["r"]
    return shapes["lora_A.weight"] == (ranks, columns) and shapes["lora_B.weight"] == (rows, ranks)
