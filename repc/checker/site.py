"""A node of an ONNX file: its attributes, and the constants among its operands."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import onnx
import torch
from onnx import helper
from torch import Tensor

from repc.checker import errors
from repc.checker.rationals import Rationals
from repc.diagnostics import Failure
from repc.ops.padding import Pairs


class Site:
    """Attributes as repc has them; raises `Failure` E932 where they are not as repc writes them."""

    def __init__(self, proto: onnx.NodeProto, constants: Mapping[str, Tensor], rationals: Rationals) -> None:
        self.proto = proto
        self._attributes: dict[str, Any] = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
        self._constants, self._rationals = constants, rationals

    def int(self, name: str, default: int) -> int:
        return int(self._attributes.get(name, default))

    def ints(self, name: str, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        return tuple(map(int, self._attributes.get(name, default)))

    def text(self, name: str, default: str) -> str:
        return self._attributes[name].decode() if name in self._attributes else default

    def rational(self, name: str) -> Fraction:
        """A float attribute, which is a float32."""
        if name not in self._attributes:
            raise self.unknown(f"it has no {name}")
        return self._rationals.of(torch.tensor([self._attributes[name]], dtype=torch.float32))[0]

    def padding(self, rank: int) -> Pairs:
        pads = self.ints("pads", (0,) * 2 * rank)
        return tuple(zip(pads[:rank], pads[rank:], strict=True))

    def constant(self, index: int) -> Tensor | None:
        """An operand, if it is a constant of the file."""
        return self._constants.get(self.proto.input[index]) if index < len(self.proto.input) else None

    def numbers(self, index: int) -> tuple[Fraction, ...]:
        """The elements of an operand that must be a constant."""
        found = self.constant(index)
        if found is None:
            raise self.unknown(f"operand {index} is no constant")
        return self._rationals.of(found)

    def unknown(self, reason: str) -> Failure:
        return Failure(errors.unknown_operator(f"{self.proto.op_type} {self.proto.name}", reason))
