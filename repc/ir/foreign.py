"""Calls that repc has no meaning for, kept as plain data: nothing here needs torch or onnx.

An imported network may call anything.  What is unknown is carried through as it was called, with tensors as numbered
operands and the types of all its results stated, and is written again where the artifact speaks the same dialect.
A call is equal only to itself: since nobody knows whether it is random, two calls are never merged into one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TypeAlias, cast

from repc.ir.dims import Polynomial, evaluate, symbols
from repc.ir.types import TensorType


@dataclass(frozen=True, slots=True)
class Hole:
    """The place of a tensor in a call: the operand of that number."""

    index: int

    def __str__(self) -> str:
        return f"${self.index}"


@dataclass(frozen=True, slots=True)
class Dtype:
    """An element type by repc's name; f32 is the compute type, whatever that becomes."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Named:
    """A constant by its path in torch: ``torch.strided``; ``like.device`` is the device of the network."""

    path: str

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Seed:
    """A generator of random numbers on the CPU, which begins at a seed whenever the call is made."""

    number: int

    def __str__(self) -> str:
        return f"seed {self.number}"


Atom: TypeAlias = "bool | int | float | str | Hole | Dtype | Named | Seed | Polynomial | None"
Template: TypeAlias = "Atom | TorchCall | tuple[Template, ...] | slice"
DEVICE = Named("like.device")


@dataclass(frozen=True, eq=False)
class TorchCall:
    """A function of torch with its arguments.

    `target` is a path below ``torch.ops`` (``aten.topk.default``), or one that begins with ``torch.``
    (``torch.nn.functional.grid_sample``).  `operands` are the element types of the tensors that the holes stand for,
    `types` those of all results; sizes among the arguments may be symbolic, and an argument may be a call itself.
    """

    target: str
    args: tuple[Template, ...]
    operands: tuple[str, ...]
    types: tuple[TensorType, ...]
    keywords: Mapping[str, Template] = field(default_factory=dict[str, Template])

    @property
    def path(self) -> str:
        """Where Python finds the function."""
        return self.target if self.target.startswith("torch.") else f"torch.ops.{self.target}"

    @property
    def title(self) -> str:
        """What a person calls it: the name without its library and its overload."""
        parts = self.target.split(".")
        return parts[-1] if parts[0] == "torch" else parts[1]

    @property
    def key(self) -> Hashable:
        """What is equal for calls that compute the same, unless they are random."""
        return self.target, _keys(self.args), tuple((name, _keys(value)) for name, value in self.keywords.items())

    @property
    def symbols(self) -> frozenset[str]:
        """The free dimensions that its arguments are computed from."""
        sizes = (part for part in _parts((self.args, *self.keywords.values())) if isinstance(part, Polynomial))
        return frozenset(symbols(sizes))

    def at(self, sizes: Mapping[str, int]) -> TorchCall:
        """The same call where the free dimensions have these sizes."""
        keywords = {name: _at(value, sizes) for name, value in self.keywords.items()}
        args = cast("tuple[Template, ...]", _at(self.args, sizes))
        return replace(self, args=args, keywords=keywords, types=_types_at(self.types, sizes))

    def __str__(self) -> str:
        given = [*map(_show, self.args), *(f"{name}={_show(value)}" for name, value in self.keywords.items())]
        return f"{self.target}({', '.join(given)})"


@dataclass(frozen=True, eq=False)
class OnnxCall:
    """A node of an ONNX model: `node` is its serialized NodeProto, in `opset` of its domain.

    `names` are what the operands are called in the node, its inputs first and then what the graphs in its attributes
    read from outside; a missing input has no operand.  `operands` are their element types, and `types` those of its
    results, in the order of the node, without the ones that it leaves out.
    """

    op_type: str
    domain: str
    opset: int
    node: bytes
    names: tuple[str, ...]
    operands: tuple[str, ...]
    types: tuple[TensorType, ...]

    @property
    def target(self) -> str:
        """The operator with its domain, where that is not ONNX's own."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    @property
    def title(self) -> str:
        """What a person calls it."""
        return self.op_type

    @property
    def key(self) -> Hashable:
        """What is equal for nodes that compute the same, unless they are random."""
        return self.node, self.domain, self.opset

    @property
    def symbols(self) -> frozenset[str]:
        """None: sizes reach a node as operands."""
        return frozenset()

    def at(self, sizes: Mapping[str, int]) -> OnnxCall:
        """The same call where the free dimensions have these sizes."""
        return replace(self, types=_types_at(self.types, sizes))

    def __str__(self) -> str:
        return f"{self.target}({', '.join(f'${i}' for i in range(len(self.operands)))})"


Call: TypeAlias = TorchCall | OnnxCall


@lru_cache(maxsize=1024)
def placed(call: Call, sizes: tuple[tuple[str, int], ...]) -> Call:
    """The call at these free sizes: one object for all its results, since only that is known to be one call."""
    return call.at(dict(sizes)) if call.symbols or symbols(dim for type in call.types for dim in type.shape) else call


def _parts(value: Template) -> Iterator[Template]:
    """A template and everything inside."""
    yield value
    inside = (value.start, value.stop, value.step) if isinstance(value, slice) else value
    if isinstance(inside, tuple):
        for part in inside:
            yield from _parts(part)


def _keys(value: Template) -> Hashable:
    """A template with the calls inside by what they compute, not by their identity."""
    match value:
        case tuple():
            return tuple(map(_keys, value))
        case TorchCall():
            return value.key
        case slice():
            return value.start, value.stop, value.step
        case _:
            return value


def _types_at(types: tuple[TensorType, ...], sizes: Mapping[str, int]) -> tuple[TensorType, ...]:
    """Sizes that only the call itself decides stay symbols."""
    return tuple(
        type.with_shape([evaluate(dim, sizes) if symbols([dim]) <= sizes.keys() else dim for dim in type.shape])
        for type in types
    )


def _at(value: Template, sizes: Mapping[str, int]) -> Template:
    if isinstance(value, tuple):
        return tuple(_at(part, sizes) for part in value)
    if isinstance(value, slice):
        return slice(*(_at(part, sizes) for part in (value.start, value.stop, value.step)))
    return evaluate(value, sizes) if isinstance(value, Polynomial) else value


def _show(value: Template) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_show, value))}]"
    return repr(value) if isinstance(value, str) else str(value)
