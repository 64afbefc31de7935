"""What the sizes of inputs must fulfil for a program to be the module: the ways that it did not take.

A module may ask for a size (``if h > 64``), and `torch.export` follows one answer.  Torch also writes down what it
needed for itself, that sizes are not zero or one and the like, which is no condition on the module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from repc.importers.torch.program import ports

_SIZE = re.compile(r"L(?P<place>(?:\['?\w+'?\])+)\.size\(\)\[(?P<axis>\d+)\]")
_INTERNAL = re.compile(r"!= [01]$")
_SQUEEZES = tuple(f"aten.{name}.{form}" for name in ("squeeze", "squeeze_") for form in ("default", "dim", "dims"))
SAMPLES = (2, 3, 5, 8, 33, 64, 224)  # torch takes a size of one to be another matter


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition in torch's words, over the arguments ``L``, and as a person reads it."""

    code: str
    text: str

    @property
    def body(self) -> str:
        """The condition as Python over the parameters of `forward`."""
        return re.sub(r"L\['(\w+)'\]", r"\1", self.code)


def conditions(
    program: ExportedProgram, arguments: Mapping[str, Any], names: Sequence[Mapping[int, str]]
) -> list[Condition]:
    """The conditions under which a program is the module that it was made of.

    One that holds for all sizes of a sample is torch's own.
    """
    called = dict(_places(arguments, names))

    def condition(code: str) -> Condition:
        return Condition(code, _SIZE.sub(lambda size: called.get(size[0], size[0]), code))

    codes: Sequence[str] = getattr(program, "_guards_code", None) or ()
    asked = [condition(code) for code in codes if not _INTERNAL.search(code)]
    dropped = map(condition, dict.fromkeys(_squeezed(program, arguments)))
    return [*(found for found in asked if not _always(found, called)), *dropped]


def _squeezed(program: ExportedProgram, arguments: Mapping[str, Any]) -> Iterator[str]:
    """That a free size is not one where the network would drop its axis, which torch takes for granted."""
    places = {
        str(size): f"L{pytree.keystr(path)}.size()[{axis}]"
        for port, path in zip(ports(program), _tensor_paths(arguments), strict=True)
        for axis, size in enumerate(port.meta["val"].shape)
    }
    for node in program.graph.nodes:
        if str(node.target) in _SQUEEZES and (shape := node.args[0].meta["val"].shape):
            axes = node.args[1] if len(node.args) > 1 else range(len(shape))
            for axis in [axes] if isinstance(axes, int) else axes:
                if isinstance(shape[axis], torch.SymInt) and str(shape[axis]) in places:
                    yield f"{places[str(shape[axis])]} != 1"


def _places(arguments: Mapping[str, Any], names: Sequence[Mapping[int, str]]) -> Iterator[tuple[str, str]]:
    """How torch writes the size of each axis that has a name, and that name."""
    for path, named in zip(_tensor_paths(arguments), names, strict=True):
        for axis, name in named.items():
            yield f"L{pytree.keystr(path)}.size()[{axis}]", name


def _tensor_paths(arguments: Mapping[str, Any]) -> list[Any]:
    """Where the tensors among the arguments are, in order."""
    return [path for path, leaf in pytree.tree_flatten_with_path(dict(arguments))[0] if isinstance(leaf, Tensor)]


def _always(condition: Condition, called: Mapping[str, str]) -> bool:
    """Whether it holds whatever the sizes are, as far as a sample tells; sizes of one name are one size."""
    names = sorted({called.get(match[0], match[0]) for match in _SIZE.finditer(condition.code)})
    body = _SIZE.sub(lambda size: f"s[{names.index(called.get(size[0], size[0]))}]", condition.code)
    code = compile(body, "<condition>", "eval")
    space = {"max": max, "min": min}
    return len(names) < 4 and all(_true(code, {**space, "s": values}) for values in product(SAMPLES, repeat=len(names)))


def _true(code: Any, space: dict[str, Any]) -> bool:
    try:
        return bool(eval(code, space))
    except ZeroDivisionError:
        return False
