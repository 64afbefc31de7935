"""An exported program as a typed graph, call by call."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, fx, nn
from torch._ops import HigherOrderOperator

from repc.diagnostics import Diagnostic, Failure, Span
from repc.importers.torch import errors
from repc.importers.torch.composed import composed
from repc.importers.torch.functional import Aliases, Call, changed, functional_form, overload, schema
from repc.importers.torch.known import Known
from repc.importers.torch.opaque import Argument, Unwritable, opaque
from repc.importers.torch.places import module_path, nowhere, spans
from repc.importers.torch.site import Ref, Site, Unknown, Value
from repc.importers.torch.sizes import Sizes
from repc.importers.torch.table import TABLE
from repc.ir.graph import Graph
from repc.ir.types import ShapeError, TensorType

Types: TypeAlias = Mapping[torch.dtype, str]


class Broken:
    """In the place of a value that could not be made; the problem is reported, once."""


class Translation:
    """Adds the calls of a program to a graph.

    `types` are repc's names of element types.  `unknown` gathers the calls that became opaque, with the reasons.
    """

    def __init__(self, graph: Graph, sizes: Sizes, types: Types, known: Known) -> None:
        self.graph, self.known = graph, known
        self.unknown: dict[str, str] = {}
        self.problems: list[Diagnostic] = []
        self._sizes, self._types = sizes, types
        self._compute = next(dtype for dtype, name in types.items() if name == "f32")
        self._values: dict[fx.Node, Argument] = {}

    def type(self, value: Tensor, place: Span | None = None) -> TensorType:
        """The type of an example value; raises `Failure` and `Unrepresentable`."""
        if value.dtype not in self._types:
            raise Failure(errors.element_type(str(value.dtype).removeprefix("torch."), place))
        return TensorType(self._sizes.shape(value), self._types[value.dtype])

    def run(self, module: fx.GraphModule, given: Sequence[Argument]) -> list[Argument]:
        """Translate a program that takes these values, and return its results."""
        inputs = iter(given)
        aliases = Aliases(module.graph)
        for node in module.graph.nodes:
            match node.op:
                case "placeholder":
                    self._values[node] = next(inputs)
                case "get_attr":
                    self._values[node] = self._attribute(module, node)
                case "call_function":
                    self._values[node] = found = self._call(node)
                    target = changed(node)
                    if target is not None:
                        self._values.update(dict.fromkeys(aliases.renamed(node, target), found))
                case "output":
                    return cast("list[Argument]", self._argument(list(node.args[0])))
                case _:
                    raise AssertionError(f"an exported program has no {node.op}")
        raise AssertionError("a program ends with its output")

    # ------------------------------------------------------------ calls

    def _call(self, node: fx.Node) -> Argument:
        example, target = node.meta.get("val"), overload(node)
        if isinstance(example, int | torch.SymInt) and not isinstance(example, bool):
            return self._sizes.dim(example)
        args, keywords = self._argument(list(node.args)), self._argument(dict(node.kwargs))
        if node.target is operator.getitem:
            return args[0][args[1]] if isinstance(args[0], list) and node.users else Broken()
        if isinstance(node.target, HigherOrderOperator):
            return self._region(node, node.target.name(), args)
        if target is None or (not node.users and changed(node) is None) or _broken(args):
            return Broken()  # about numbers, or an assertion; whoever reads it has a problem
        if changed(node) is not None:
            form = functional_form(target)
            assert form is not None, f"{target} is not resolved"
            target = form
        found = self._results(node, target, args, keywords)
        return found[0] if isinstance(example, Tensor) and found else found or Broken()

    def _results(self, node: fx.Node, target: Call, args: list[Argument], keywords: dict[str, Argument]) -> list[Value]:
        """What a call on constants gives, what the table makes of it, or an opaque call."""
        origin = spans(node.meta["stack_trace"]) if node.meta.get("stack_trace") else nowhere(self.graph.name)
        example = node.meta["val"]
        examples: list[Any] = [*example] if isinstance(example, list | tuple) else [example]
        path = module_path(node.meta)
        try:
            if not all(isinstance(value, Tensor) for value in examples):
                raise Unwritable(f"{target} gives what is no tensor")
            types = tuple(self.type(value, origin[-1]) for value in examples)
            site = Site(self.graph, path, origin, types, self.known.held, self._compute)
            constants = self.known.call(target, args, keywords)
            if constants is not None:
                name = _constant_name(path, target.overloadpacket.__name__)
                return [self.known.constant(name, *pair) for pair in zip(constants, site.results, strict=True)]
            found = self._by_table(site, target, _bound(target, args, keywords), _results_read(node))
            found = self._composed(node, target) if found is None else found
            if found is None:
                found = opaque(site, str(target), args, keywords, self._types)
                if torch.Tag.nondeterministic_seeded in target.tags and not any(isinstance(y, Ref) for y in found):
                    raise Unwritable(f"{target} draws random numbers, which a weight would keep once and for all")
            return found
        except Unwritable as problem:
            self.problems.append(errors.unwritable(str(problem), origin[-1]))
            return []

    def _by_table(self, site: Site, target: Call, args: list[Argument], read: int) -> list[Value] | None:
        """The values that the table makes of a call; None where it has to stay as it is."""
        lowering = TABLE.get(str(target))
        if lowering is None:
            return self._unknown(target, "repc has no operator for it")
        try:
            found = lowering(site, *args)
        except (Unknown, ShapeError) as reason:
            return self._unknown(target, str(reason))
        values = found if isinstance(found, list) else [found]
        if len(values) < read:
            return self._unknown(target, f"result {read} of it is read")
        for value, type in zip(values, site.results, strict=False):
            if value.type != type:
                return self._unknown(target, f"repc takes it to be {value.type} and torch {type}")
        return values

    def _composed(self, node: fx.Node, target: Call) -> list[Value] | None:
        """The values of a call by those that it is made of; None where these would have to stay as they are, too."""
        made = composed(node, target)
        if made is None:
            return None
        unknown, problems = dict(self.unknown), list(self.problems)
        program, given = made
        found = self.run(program, [self._values[value] for value in given])
        if (self.unknown, self.problems) == (unknown, problems):
            self.unknown.pop(str(target), None)
            return cast("list[Value]", found)
        self.unknown, self.problems = unknown, problems
        return None

    def _unknown(self, target: Call, reason: str) -> None:
        self.unknown.setdefault(str(target), reason)

    def _region(self, node: fx.Node, name: str, args: list[Argument]) -> Argument:
        """A part of the program under a mode: one that means nothing in evaluation, or switches autocast off."""
        modules = [arg for arg in args if isinstance(arg, fx.GraphModule)]
        plain = name == "wrap_with_set_grad_enabled" or (name == "wrap_with_autocast" and not args[2])
        if not plain or len(modules) != 1:
            place = spans(node.meta["stack_trace"])[-1] if node.meta.get("stack_trace") else None
            self.problems.append(errors.higher_order(name, place))
            return Broken()
        return self.run(modules[0], args[args.index(modules[0]) + 1 :])

    # ------------------------------------------------------------ arguments

    def _attribute(self, module: fx.GraphModule, node: fx.Node) -> Argument:
        value: Any = operator.attrgetter(cast("str", node.target))(module)
        if isinstance(value, Tensor):
            return self.known.constant(node.name, value, self.type(value))
        return value

    def _argument(self, value: Any) -> Any:
        """An argument with values in the place of nodes."""
        if isinstance(value, fx.Node):
            return self._values[value]
        if isinstance(value, torch.SymInt):
            return self._sizes.dim(value)
        if isinstance(value, list | tuple):
            return [self._argument(item) for item in cast("Sequence[object]", value)]
        if isinstance(value, dict):
            return {name: self._argument(item) for name, item in cast("dict[str, object]", value).items()}
        return value


def _constant_name(path: str, function: str) -> str:
    """What the result of a function is called, the same in equal modules; no module has a tensor called ``to``."""
    own = f"{function}_" if hasattr(nn.Module, function) else function
    return f"{path}.{own}" if path else own


def _bound(target: Call, args: Sequence[Argument], keywords: Mapping[str, Argument]) -> list[Argument]:
    """All arguments in the order of the schema, with defaults; a number that stands for a list is a list."""
    found: list[Argument] = []
    for position, parameter in enumerate(schema(target).arguments):
        value = args[position] if position < len(args) else keywords.get(parameter.name, parameter.default_value)
        is_list = isinstance(value, int) and "List[" in str(parameter.real_type)
        found.append([value] if is_list else value)
    return found


def _results_read(node: fx.Node) -> int:
    """How many of the first results are read."""
    indices = (user.args[1] for user in node.users if user.target is operator.getitem and user.users)
    return max((index + 1 for index in indices if isinstance(index, int)), default=1)


def _broken(value: object) -> bool:
    return isinstance(value, Broken) or (isinstance(value, list) and any(map(_broken, cast("list[object]", value))))
