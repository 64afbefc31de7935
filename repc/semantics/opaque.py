"""``opaque("aten.topk.default", x, 5, sorted=true) -> (f32[b, 5], i64[b, 5])``: a call that repc has no meaning for.

The first argument is what is called, the others are given to it as they are: tensors, numbers, sizes, strings, lists.
What only torch knows is a string: an element type by its name here (``"f32"``), a constant by its path
(``"torch.strided"``), ``"inf"``, ``"-inf"`` and ``"nan"``.  A decimal stays one, so that ``2.0`` is no integer.  With
``node=`` it is a node of ONNX, as base64, of the given ``opset``, whose operands have the given ``names``.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error
from fractions import Fraction

from repc.diagnostics import Span
from repc.ir.dims import Polynomial
from repc.ir.expr import Apply, Param
from repc.ir.foreign import Call, Dtype, Hole, Named, OnnxCall, Template, TorchCall
from repc.ir.types import DTYPES, TensorType
from repc.ops.opaque import Opaque
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.declared import stated_type
from repc.semantics.emission import emit_all
from repc.semantics.errors import Rejected
from repc.semantics.values import POISON, Activation, Poison, Tensor, Value, describe
from repc.syntax import tree

NAME = "opaque"
TARGET = re.compile(r"(?!torch\.)\w+\.\w+\.\w+|torch\.nn\.functional\.[a-z]\w*")
"""Operators that torch has registered, and its functions of tensors; a spec runs nothing else."""


def typed(ctx: Context, expr: tree.Typed, env: Env) -> Value:
    """The results of an opaque call."""
    call = expr.call
    if not isinstance(call.function, tree.Name) or call.function.name != NAME or env.has(NAME):
        raise Rejected(errors.typed_call(expr.span))
    types = [stated_type(ctx, type, env) for type in expr.types]
    reader = _Reader(ctx, env)
    arguments = [(argument.name, reader.template(argument.value)) for argument in call.arguments]
    if reader.failed or any(type is None for type in types):
        return POISON
    found = _call(call.span, arguments, reader.operands, tuple(type for type in types if type is not None))
    first, *others = (emit_all(ctx, Opaque(found, i), reader.operands, expr.span) for i in range(len(types)))
    return (first, *others) if others else first


class _Reader:
    """Arguments as plain data; tensors among them become operands, each once."""

    def __init__(self, ctx: Context, env: Env) -> None:
        self.ctx = ctx
        self.env = env
        self.operands: list[Tensor] = []
        self.failed = False

    def template(self, expr: tree.Expr) -> Template:
        match expr:
            case tree.Float(_, value):
                return float(value)
            case tree.Unary(_, "-", tree.Float(_, value)):
                return -float(value)
            case tree.List(_, items) | tree.Tuple(_, items):
                return tuple(map(self.template, items))
            case _:
                return self._plain(self.ctx.evaluate(self.ctx, expr, self.env), expr.span)

    def _plain(self, value: Value, span: Span) -> Template:
        match value:
            case Activation() | Param() | Apply():
                return self._hole(value)
            case Fraction():
                return float(value)
            case str():
                return _constant(value)
            case bool() | int() | Polynomial() | None:
                return value
            case tuple():
                return tuple(self._plain(item, span) for item in value)
            case Poison():
                self.failed = True
                return None
            case _:
                expected = "a tensor, a number, a size, a string, true, false, none, or a list of these"
                raise Rejected(errors.bad_attribute(span, NAME, "argument", expected, describe(value)))

    def _hole(self, value: Tensor) -> Hole:
        keys = [_identity(operand) for operand in self.operands]
        if _identity(value) not in keys:
            self.operands.append(value)
            return Hole(len(keys))
        return Hole(keys.index(_identity(value)))


def _identity(value: Tensor) -> object:
    return value.id if isinstance(value, Activation) else value.path if isinstance(value, Param) else value


def _constant(text: str) -> Template:
    if text in DTYPES:
        return Dtype(text)
    if text.startswith(("torch.", "like.")):
        return Named(text)
    return float(text) if text in ("inf", "-inf", "nan") else text


def _call(
    span: Span, arguments: list[tuple[str | None, Template]], operands: list[Tensor], types: tuple[TensorType, ...]
) -> Call:
    """What is called; raises `Rejected` where that is not said."""
    named = {name: value for name, value in arguments if name is not None}
    target, *rest = [value for name, value in arguments if name is None] or list[Template]([None])
    given = tuple(operand.type.dtype for operand in operands)
    text = target.path if isinstance(target, Named) else target
    if "node" not in named:
        if not isinstance(text, str) or not TARGET.fullmatch(text):
            raise Rejected(errors.opaque_target(span, str(text)))
        return TorchCall(text, tuple(rest), given, types, named)
    domain, _, kind = str(text).rpartition(".")
    match named:
        case {"node": str(text), "opset": int(opset), "names": tuple(names)} if len(names) == len(operands):
            try:
                node = b64decode(text, validate=True)
            except Error:
                raise Rejected(errors.opaque_node(span)) from None
            return OnnxCall(kind, domain, opset, node, tuple(map(str, names)), given, types)
        case _:
            raise Rejected(errors.opaque_node(span))
