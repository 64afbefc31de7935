"""Any part of the tree on one line, in the canonical spelling.

Parentheses are those of `Group` and, for trees that no text was parsed to, those that precedence needs.
"""

from __future__ import annotations

from collections.abc import Iterable

from repc.syntax import tree

# What a place of the grammar takes, from anything to operands only; each level is a rule in `grammar/repc.lark`.
EXPRESSION, EITHER, BOTH, NEGATION, COMPARISON, SUM, PRODUCT, SIGNED, OPERAND = range(9)

LEVELS = {
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">="), COMPARISON),
    **dict.fromkeys(("*", "/", "//", "%", "@"), PRODUCT),
    "or": EITHER,
    "and": BOTH,
    "+": SUM,
    "-": SUM,
}
MERGES = ("sum", "mean", "concat")


def level(expr: tree.Expr) -> int:
    """The level of the rule that an expression is written by."""
    match expr:
        case tree.If() | tree.Pipe():
            return EXPRESSION
        case tree.Binary():
            return LEVELS[expr.operator]
        case tree.Unary():
            return NEGATION if expr.operator == "not" else SIGNED
        case tree.Int() | tree.Float() | tree.String():  # not to be called or accessed
            return SIGNED
        case _:
            return OPERAND


def grouped(expr: tree.Expr, least: int) -> tree.Expr:
    """The expression as it can stand where the level `least` is needed: in parentheses if its own is lower."""
    return expr if level(expr) >= least else tree.Group(expr.span, None, expr)


def operands(expr: tree.Binary) -> tuple[tree.Expr, tree.Expr]:
    """Both sides as they are written: chains lean to the left, comparisons do not chain."""
    own = LEVELS[expr.operator]
    return grouped(expr.left, SUM if own == COMPARISON else own), grouped(expr.right, own + 1)


def unary(operator: str) -> tuple[str, int]:
    """A prefix operator as it is written, and the level that its operand needs."""
    return ("not ", NEGATION) if operator == "not" else ("-", SIGNED)


def expression_text(expr: tree.Expr, least: int = EXPRESSION) -> str:
    """An expression on one line, as it can stand where the level `least` is needed."""
    match grouped(expr, least):
        case tree.Unary(_, operator, operand):
            spelling, inner = unary(operator)
            return spelling + expression_text(operand, inner)
        case tree.Binary(_, operator) as binary:
            left, right = operands(binary)
            return f"{expression_text(left)} {operator} {expression_text(right)}"
        case tree.If(_, condition, then, otherwise):
            first, second = expression_text(then), expression_text(otherwise)
            return f"if {expression_text(condition)} then {first} else {second}"
        case tree.Pipe(_, first, stages):
            return " >> ".join((expression_text(first, EITHER), *map(stage_text, stages)))
        case operand:
            return _operand_text(operand)


def _operand_text(expr: tree.Expr) -> str:
    match expr:
        case tree.Name(_, name):
            return name
        case tree.Int(_, value):
            return str(value)
        case tree.Float(_, _, spelling):
            return spelling
        case tree.String(_, value):
            return string_text(value)
        case tree.Call() | tree.Typed():
            return _call_text(expr)
        case tree.Index() | tree.Attribute():
            return expression_text(expr.value, OPERAND) + access_text(expr)
        case tree.Group(_, label, value):
            return f"({label_text(label)}{expression_text(value)})"
        case tree.Tuple(_, items):
            return f"({_joined(map(expression_text, items))})"
        case tree.List(_, items):
            return f"[{_joined(map(expression_text, items))}]"
        case tree.Merge(_, _, _, _, branches):
            return f"{merge_head(expr)} {{ {' | '.join(map(_branch, branches))} }}"
        case tree.Repeat(_, _, _, label, body):
            return f"{repeat_head(expr)} {{ {label_text(label)}{expression_text(body)} }}"
        case _:
            raise TypeError(f"{type(expr).__name__} is no expression")


def _call_text(expr: tree.Call | tree.Typed) -> str:
    call, types = (expr.call, types_text(expr.types)) if isinstance(expr, tree.Typed) else (expr, "")
    return f"{expression_text(call.function, OPERAND)}({_joined(map(argument_text, call.arguments))}){types}"


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(texts)


# ---------------------------------------------------------------- parts of expressions


def string_text(value: str) -> str:
    """The literal; strings have no escapes, so a quote or line end inside is a `ValueError`."""
    if any(character in value for character in '"\r\n'):
        raise ValueError(f"no string of a spec can hold a quote or a line end: {value!r}")
    return f'"{value}"'


def access_text(access: tree.Index | tree.Attribute) -> str:
    """The ``[items]`` or ``.name`` behind a value."""
    if isinstance(access, tree.Attribute):
        return f".{access.name}"
    return f"[{_joined(_entry(item) for item in access.items)}]"


def _entry(item: tree.Expr | tree.Slice) -> str:
    if isinstance(item, tree.Expr):
        return expression_text(item)
    ends = (item.start, item.stop)
    return ":".join("" if end is None else expression_text(end) for end in ends)


def label_text(label: tree.Label | None) -> str:
    """``name:`` and a space, or nothing."""
    return f"{label.text}: " if label else ""


def argument_head(argument: tree.Argument) -> str:
    """``name=``, with spaces around before a conditional, or nothing."""
    if argument.name is None:
        return ""
    return f"{argument.name} = " if isinstance(argument.value, tree.If) else f"{argument.name}="


def argument_text(argument: tree.Argument) -> str:
    """``value`` or ``name=value``."""
    return argument_head(argument) + expression_text(argument.value)


def stage_text(stage: tree.Stage) -> str:
    """A stage of a pipe, without its ``>>``."""
    return label_text(stage.label) + expression_text(stage.value, EITHER)


def merge_head(merge: tree.Merge) -> str:
    """A merge up to its brace."""
    arguments = f"({_joined(map(argument_text, merge.arguments))})" if merge.arguments else ""
    return merge.kind + arguments + (f" as {merge.name}" if merge.name else "")


def branch_tail(branch: tree.Branch) -> str:
    """The ``for`` and ``when`` of a branch."""
    loop = f" for {branch.loop.name} in {range_text(branch.loop.range)}" if branch.loop else ""
    return loop + condition_text(branch.condition)


def condition_text(condition: tree.Expr | None) -> str:
    """A ``when`` behind a branch, weight or buffer."""
    return f" when {expression_text(condition)}" if condition else ""


def _branch(branch: tree.Branch) -> str:
    return label_text(branch.label) + expression_text(branch.value) + branch_tail(branch)


def repeat_head(repeat: tree.Repeat) -> str:
    """A repetition up to its brace."""
    range_ = repeat.range
    if _reads_as_merge(range_.stop):
        range_ = tree.Range(range_.span, range_.start, tree.Group(range_.stop.span, None, range_.stop))
    return "repeat " + (f"{repeat.name} in " if repeat.name else "") + range_text(range_)


def _reads_as_merge(expr: tree.Expr) -> bool:
    """Whether a brace behind the expression would make a merge of its last call or name."""
    match expr:
        case tree.Binary(_, _, _, last) | tree.Unary(_, _, last) | tree.Call(_, tree.Name() as last, _):
            return level(expr) >= SUM and _reads_as_merge(last)
        case tree.Name(_, name):
            return name in MERGES
        case _:
            return False


def range_text(range_: tree.Range) -> str:
    """``start..stop`` or the count."""
    start = "" if range_.start is None else f"{expression_text(range_.start, SUM)}.."
    return start + expression_text(range_.stop, SUM)


# ---------------------------------------------------------------- types and signatures


def type_text(type_: tree.TypeExpr) -> str:
    """``f32[b, c, ...s]``."""
    return f"{type_.dtype or ''}[{_joined(map(_dimension, type_.dims))}]"


def types_text(types: tuple[tree.TypeExpr, ...]) -> str:
    """What a call says that it gives: `` -> f32[b, 5]``."""
    texts = _joined(map(type_text, types))
    return f" -> {texts}" if len(types) == 1 else f" -> ({texts})"


def _dimension(dim: tree.Expr | tree.Rest) -> str:
    return f"...{dim.name or ''}" if isinstance(dim, tree.Rest) else expression_text(dim, SUM)


def parameter_head(parameter: tree.Parameter) -> str:
    """A parameter up to its default."""
    return parameter.name + (" = " if parameter.default else "")


def parameters_text(parameters: tuple[tree.Parameter, ...]) -> str:
    """``<a, b = 1>``, or nothing."""
    each = (parameter_head(p) + (expression_text(p.default, SUM) if p.default else "") for p in parameters)
    return f"<{_joined(each)}>" if parameters else ""


def port_text(port: tree.Port) -> str:
    """``x: [b, c]``."""
    return f"{port.name}: {type_text(port.type)}"


def ports_text(ports: tuple[tree.Port, ...]) -> str:
    """``(x: [b, c], y: [c])``."""
    return f"({_joined(map(port_text, ports))})"
