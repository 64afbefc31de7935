"""Calls of torch that repc does not know, as they were."""

from __future__ import annotations

from collections.abc import Sequence

from repc.backends.torch.lowerings.values import dtype
from repc.backends.torch.text import Given, literal, size
from repc.ir.dims import Polynomial
from repc.ir.foreign import Dtype, Hole, Named, Seed, Template, TorchCall
from repc.ops.opaque import Opaque


def opaque(op: Opaque, given: Given) -> str:
    """One result: ``torch.ops.aten.topk.default(x, 5)[1]``."""
    text = opaque_call(op, given)
    return f"{text}[{op.result}]" if len(op.call.types) > 1 else text


def opaque_call(op: Opaque, given: Given) -> str:
    """The call with all its results."""
    call = op.call
    assert isinstance(call, TorchCall), "a plan refuses other calls"
    text = _call(call, [value.text for value in given.values()])
    if not any(isinstance(value, Seed) for value in call.keywords.values()):
        return text
    # drawn on the CPU in single precision, whatever the network computes in
    return f"{text}.to(like.device{', like.dtype' if call.types[0].dtype == 'f32' else ''})"


def _call(call: TorchCall, operands: Sequence[str]) -> str:
    arguments = [*(_argument(part, operands) for part in call.args)]
    arguments += [f"{name}={_argument(part, operands)}" for name, part in call.keywords.items()]
    function = call.path.replace("torch.nn.functional.", "F.", 1)
    return f"{function}({', '.join(arguments)})"


def _argument(part: Template, operands: Sequence[str]) -> str:
    match part:
        case Hole(index):
            return operands[index]
        case Dtype(name):
            return dtype(name)
        case Named(path):
            return path
        case Seed(number):
            return f"torch.Generator().manual_seed({number})"
        case Polynomial():
            return size(part)
        case TorchCall():
            return _call(part, operands)
        case tuple():
            return f"[{', '.join(_argument(item, operands) for item in part)}]"
        case slice():
            return f"slice({', '.join(_argument(item, operands) for item in (part.start, part.stop, part.step))})"
        case _:
            return literal(part)
