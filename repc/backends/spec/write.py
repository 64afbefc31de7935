"""A block as text: values that are used once flow through pipes, others are named by ``let``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from typing import cast

from repc.backends.spec.forms import REQUIRED, Form
from repc.backends.spec.names import legal, unused, variable
from repc.backends.spec.opaque import typed
from repc.backends.spec.steps import Declared, Number, Port, Ref, Step, Value, Weight
from repc.backends.spec.templates import Parameter, Template, slotted
from repc.backends.spec.terms import LOOP, NOWHERE, binary, call, integer, label, literal, name, negative
from repc.syntax import tree

PORTS = ("x", "y", "z", "u", "v", "w")


def definition(template: Template, words: set[str]) -> tree.Definition:
    """The block, whose parameters must be known."""
    writer = Writer(template, words)
    ports = [writer.named(Port(i), PORTS[i] if i < len(PORTS) else PORTS[0]) for i in range(len(template.axes))]
    types = (tree.TypeExpr(NOWHERE, None, tuple(map(name, axes))) for axes in template.axes)
    return tree.Definition(
        NOWHERE,
        "block",
        template.name,
        tuple(map(_parameter, template.parameters)),
        tuple(tree.Port(NOWHERE, port, type) for port, type in zip(ports, types, strict=True)),
        None,
        writer.content(),
    )


class Writer:
    """Says the body of a block, statement by statement; no value is called by one of the `words` of the file."""

    def __init__(self, template: Template, words: set[str]) -> None:
        self.words = words
        self.body = template.body
        arguments = iter(template.arguments)
        self.arguments = {owner: list(islice(arguments, len(slots))) for owner, slots in slotted(self.body)}
        self.uses = Counter(ref for step in self.body.steps for ref in step.operands.values())
        self.uses.update(self.body.results)
        self.taken = {*words, LOOP, *(axis for axes in template.axes for axis in axes)}
        self.taken.update(parameter.name for parameter in template.parameters)
        self.names: dict[Ref, str] = {}
        self.inline: dict[Ref, tree.Expr] = {}
        self.statements: list[tree.Statement] = []

    def named(self, ref: Ref, wanted: str) -> str:
        """Give a value a name of its own."""
        self.names[ref] = self._fresh(wanted)
        return self.names[ref]

    def _fresh(self, wanted: str) -> str:
        found = unused(variable(wanted), self.taken)
        self.taken.add(found)
        return found

    def content(self, outputs: Sequence[str] = ()) -> tree.Body:
        """Statements and results; those of a network have names, which a name in the spec gives them."""
        if len(outputs) == 1:  # the last name of all, which hides nothing
            self.taken -= set(outputs) & self.words
        wanted = [self._fresh(text) for text in outputs]
        for declared in self.body.declared:
            self._declare(declared)
        for alias, key in self.body.aliases:
            self.statements.append(tree.Alias(NOWHERE, alias, name(self.names[Weight(key)])))
        for step in self.body.steps:
            self._step(step)
        results = tuple(self._expr(ref) for ref in self.body.results)
        usual = ["output"] if len(wanted) == 1 else [f"output{i}" for i in range(len(wanted))]
        if wanted != usual or any(isinstance(result, tree.Name) for result in results):
            self.statements += [tree.Let(NOWHERE, (text,), expr) for text, expr in zip(wanted, results, strict=False)]
            results = tuple(map(name, wanted)) or results
        return tree.Body(NOWHERE, tuple(self.statements), results, bool(self.statements) or len(results) > 1)

    # ------------------------------------------------------------ parameters

    def _declare(self, declared: Declared) -> None:
        key, type = declared.key, declared.parameter.type
        wanted = key.replace(".", "_")
        text = self.named(Weight(key), wanted if legal(wanted) else {"weight": "W"}.get(wanted, wanted))
        arguments = [argument for argument in self.arguments[declared] if argument is not None]
        dims = tuple(arguments[: type.rank])
        initial = declared.initial
        init = _initial(initial, arguments[type.rank :]) if isinstance(initial, Form) else self._initial(initial)
        kind = "buffer" if declared.parameter.buffer else "weight"
        dtype = None if type.dtype == "f32" else type.dtype
        renamed = None if text == key else key
        self.statements.append(
            tree.Weight(NOWHERE, kind, text, renamed, tree.TypeExpr(NOWHERE, dtype, dims), init, None)
        )

    def _initial(self, ref: Ref) -> tree.Expr:
        """An initial value that is computed from other parameters."""
        if not isinstance(ref, Value):
            return name(self.names[ref])
        return self._applied(ref.step, [self._operand(ref.step, r, self._initial) for r in ref.step.operands.values()])

    # ------------------------------------------------------------ steps

    def _step(self, step: Step) -> None:
        """Say a step: as part of what uses it, or in a statement of its own."""
        results = [Value(step, number) for number in range(step.results)]
        expr = self._said(step)
        if step.results == 1 and self.uses[results[0]] == 1:
            self.inline[results[0]] = expr
            return
        names = tuple(self.named(result, _wanted(step)) if self.uses[result] else "_" for result in results)
        self.statements.append(tree.Let(NOWHERE, names, expr))

    def _said(self, step: Step) -> tree.Expr:
        if self._is_merge(step):
            return self._labelled(step, self._merge(step))
        first, *others = step.operands.values() or [None]
        if first is not None and (step.form.kind == "block" or (step.form.kind == "function" and not others)):
            get = self._named if others else self._expr
            return self._piped(step, [self._operand(step, ref, get) for ref in step.operands.values()])
        get = self._named if step.label or step.form.kind in ("slice", "entry") else self._argument
        if step.form.kind in ("function", "opaque"):
            get = self._named if step.label else self._flat
        return self._labelled(step, self._applied(step, [self._operand(step, r, get) for r in step.operands.values()]))

    def _is_merge(self, step: Step) -> bool:
        """Branches in braces, unless it is a sum of two of which one is just a value."""
        if step.form.kind != "binary" or step.form.name != "+":
            return step.form.kind == "merge"
        found = [self.inline.get(ref) for ref in step.operands.values()]
        stages = [len(expr.stages) for expr in found if isinstance(expr, tree.Pipe)]
        return step.named is not None or (not step.label and (len(stages) == 2 or sum(stages) > 2))

    def _piped(self, step: Step, head: list[tree.Expr]) -> tree.Expr:
        """``head >> label: layer``."""
        stage = tree.Stage(NOWHERE, label(step.label), self._layer(step))
        value = head[0] if len(head) == 1 else tree.Tuple(NOWHERE, tuple(head))
        if isinstance(value, tree.Pipe):
            return tree.Pipe(NOWHERE, value.first, (*value.stages, stage))
        return tree.Pipe(NOWHERE, value, (stage,))

    def _layer(self, step: Step) -> tree.Expr:
        """A step without its first operand; a repeat of it where it stands for several."""
        if step.loop is None:
            return self._call(step, self.arguments[step])
        count, *arguments = self.arguments[step]
        assert count is not None
        body = self._call(step, arguments)
        looped = not step.label or any(_mentions(argument, LOOP) for argument in arguments)
        start = integer(step.loop) if step.loop else None
        stop = binary("+", integer(step.loop), count) if step.loop else count
        if isinstance(count, tree.Int) and step.loop:
            stop = integer(step.loop + count.value)
        if looped and start is None:
            start = integer(0)
        inner = None if step.label else label(f"{{{LOOP}}}")
        return tree.Repeat(NOWHERE, LOOP if looped else None, tree.Range(NOWHERE, start, stop), inner, body)

    def _call(self, step: Step, arguments: Sequence[tree.Expr | None]) -> tree.Expr:
        """The call of a block or function with its attributes."""
        slots = step.form.slots if step.loop is None else [slot.value.slots[0] for slot in step.form.slots[1:]]
        numbers = {ref.slot for ref in step.operands.values() if isinstance(ref, Number)}
        places: list[tree.Expr] = []
        keywords: dict[str, tree.Expr] = {}
        for number, (slot, argument) in enumerate(zip(slots, arguments, strict=True)):
            if argument is None or number in numbers:
                continue
            if slot.by_place and len(places) == number:
                places.append(argument)
            else:
                keywords[slot.name] = argument
        function = step.block.name if step.block is not None else step.form.name
        return call(function, places, keywords)

    def _merge(self, step: Step) -> tree.Expr:
        arguments = zip(step.form.slots, self.arguments[step], strict=True)
        numbers = {ref.slot for ref in step.operands.values() if isinstance(ref, Number)}
        given = tuple(
            tree.Argument(NOWHERE, None if slot.by_place else slot.name, argument)
            for number, (slot, argument) in enumerate(arguments)
            if argument is not None and number not in numbers
        )
        kind = "sum" if step.form.kind == "binary" else step.form.name
        branches = tuple(self._branch(step, ref) for ref in step.operands.values())
        return tree.Merge(NOWHERE, kind, given, step.named, branches)

    def _branch(self, step: Step, ref: Ref) -> tree.Branch:
        """A branch; the label of its only stage covers it, and a run of equal branches is one with a loop."""
        value, loop = self._operand(step, ref, self._named if step.label else self._expr), None
        if not isinstance(value, tree.Pipe) or len(value.stages) != 1 or not _is_plain(value.first):
            return tree.Branch(NOWHERE, None, value, None, None)
        (stage,) = value.stages
        inner, part = stage.value, stage.label
        if isinstance(ref, Value) and ref.step.parallel:
            assert isinstance(inner, tree.Repeat)
            range_ = tree.Range(NOWHERE, inner.range.start or integer(0), inner.range.stop)
            inner, part, loop = inner.body, stage.label or inner.label, tree.Loop(NOWHERE, LOOP, range_)
        return tree.Branch(
            NOWHERE, part, tree.Pipe(NOWHERE, value.first, (tree.Stage(NOWHERE, None, inner),)), loop, None
        )

    def _applied(self, step: Step, operands: Sequence[tree.Expr]) -> tree.Expr:
        """A step with all its operands in place."""
        said = step.form
        arguments = self.arguments[step]
        match said.kind:
            case "binary":
                return binary(said.name, operands[0], operands[1])
            case "times":
                assert arguments[0] is not None
                return binary("*", operands[0], arguments[0])
            case "along":
                axis = [argument for argument in arguments if argument is not None]
                return binary(said.name, operands[0], call("along", [operands[1], *axis]))
            case "opaque":
                return typed(said, operands, arguments)
            case "minus":
                return negative(operands[0])
            case "slice" | "entry":
                before = [tree.Slice(NOWHERE, None, None)] * int(said.name)
                last = arguments[0] if said.kind == "entry" else tree.Slice(NOWHERE, *arguments)
                assert last is not None
                return tree.Index(NOWHERE, operands[0], (*before, last))
            case _:
                return self._function(step, operands)

    def _function(self, step: Step, operands: Sequence[tree.Expr]) -> tree.Expr:
        """``function(x, none, bias, attribute=…)``."""
        given = dict(zip(step.operands, operands, strict=True))
        last = max((i for i, key in enumerate(step.form.operands) if key in given), default=-1)
        first = [given.get(key, name("none")) for key in step.form.operands[: last + 1]]
        return _with_first(self._call(step, self.arguments[step]), first)

    # ------------------------------------------------------------ operands

    def _operand(self, step: Step, ref: Ref, get: Callable[[Ref], tree.Expr]) -> tree.Expr:
        if isinstance(ref, Number):
            found = self.arguments[step][ref.slot]
            assert found is not None
            return found
        return get(ref)

    def _expr(self, ref: Ref) -> tree.Expr:
        """A value: its name, or the step that makes it."""
        return self.inline.pop(ref) if ref in self.inline else name(self.names[ref])

    def _argument(self, ref: Ref) -> tree.Expr:
        """A value as an operand: a function that is applied to a name is called, a longer pipe gets a name."""
        expr = self._expr(ref)
        match expr:
            case tree.Pipe(_, tree.Name() as first, (tree.Stage(_, None, tree.Call(_, tree.Name(_, word)) as layer),)):
                return _with_first(layer, [first]) if word in self.words and word[0].islower() else expr
            case _:
                return expr

    def _flat(self, ref: Ref) -> tree.Expr:
        """A value as an argument of a call: what is itself made of calls gets a name."""
        expr = self._argument(ref)
        return expr if _is_flat(expr) else self._let(ref, expr)

    def _named(self, ref: Ref) -> tree.Expr:
        """A value by its name, which it is given where it has none yet."""
        expr = self._expr(ref)
        return expr if isinstance(expr, tree.Name) else self._let(ref, expr)

    def _let(self, ref: Ref, expr: tree.Expr) -> tree.Expr:
        assert isinstance(ref, Value)
        text = self.named(ref, _wanted(ref.step))
        self.statements.append(tree.Let(NOWHERE, (text,), expr))
        return name(text)

    def _labelled(self, step: Step, expr: tree.Expr) -> tree.Expr:
        return tree.Group(NOWHERE, label(step.label), expr) if step.label else expr


def _is_plain(expr: tree.Expr) -> bool:
    """Whether it is a value, or several, by name."""
    return isinstance(expr, tree.Name) or (isinstance(expr, tree.Tuple) and all(map(_is_plain, expr.items)))


def _is_flat(expr: tree.Expr) -> bool:
    """Whether it is a name or literal, or one step from that."""
    match expr:
        case tree.Call(_, _, arguments):
            return all(isinstance(argument.value, (tree.Name, tree.Int, tree.List)) for argument in arguments)
        case tree.Index(_, value) | tree.Unary(_, _, value):
            return _is_flat(value)
        case _:
            return isinstance(expr, (tree.Name, tree.Int, tree.Float))


def _with_first(layer: tree.Expr, operands: Sequence[tree.Expr]) -> tree.Expr:
    assert isinstance(layer, tree.Call)
    first = (tree.Argument(NOWHERE, None, operand) for operand in operands)
    return tree.Call(NOWHERE, layer.function, (*first, *layer.arguments))


def _wanted(step: Step) -> str:
    """What the result of a step may be called."""
    part = step.named or step.label.rpartition(".")[2]
    return part if part and not part.isdecimal() else "y"


def _parameter(parameter: Parameter) -> tree.Parameter:
    default = None if parameter.default is REQUIRED else literal(parameter.default)
    return tree.Parameter(NOWHERE, parameter.name, default)


def _initial(said: Form, arguments: Sequence[tree.Expr]) -> tree.Expr:
    match said.kind:
        case "name":
            return name(said.name)
        case "number":
            return arguments[0]
        case "kaiming":
            return call(said.name, (), {"a": call("sqrt", [integer(5)])})
        case _:
            return call(said.name, arguments)


def _mentions(part: object, text: str) -> bool:
    """Whether a name occurs in an expression."""
    if isinstance(part, tree.Name):
        return part.name == text
    if isinstance(part, tree.Tree):
        return any(_mentions(inner, text) for inner in part.parts())
    return isinstance(part, tuple) and any(_mentions(inner, text) for inner in cast("tuple[object, ...]", part))
