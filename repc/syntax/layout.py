"""Expressions over several lines, where one line is too long or holds a comment inside.

A pipe breaks before each ``>>``, a merge at its branches, what has brackets inside them, an operation before its
operator.  Everything is indented from the line it begins on, never from a column further right.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

from repc.syntax import text, tree

WIDTH = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the canonical text; `start` is the offset in the source of what it begins with.

    A blank line of the source is kept before it where it comes after the offset `since`; before a line that stands
    `apart` there always is one.  A comment before a line that `closes` a block belongs into the block.
    """

    indent: int
    text: str
    start: int
    since: int | None = None
    apart: bool = False
    closes: bool = False


def lead(mark: str, lines: list[Line]) -> list[Line]:
    """The lines with a mark hung out to the left of the first."""
    first = lines[0]
    return [replace(first, indent=first.indent - len(mark), text=mark + first.text), *lines[1:]]


class Layout:
    """Breaks expressions; `comments` are the offsets of the comments that the lines must leave room for."""

    def __init__(self, comments: Sequence[int] = ()) -> None:
        self._comments = comments

    def commented(self, start: int, end: int) -> bool:
        """Whether a comment stands between two offsets."""
        return bisect_left(self._comments, end) > bisect_left(self._comments, start)

    def expr(
        self, expr: tree.Expr, indent: int, prefix: str = "", suffix: str = "", start: int | None = None
    ) -> list[Line]:
        """The lines of an expression between a prefix, which begins at the offset `start`, and a suffix."""
        start = expr.span.start if start is None else start
        flat = prefix + text.expression_text(expr) + suffix
        if indent + len(flat) <= WIDTH and not self._holds_comment(expr):
            return [Line(indent, flat, start)]
        lines = self._broken(expr, indent)
        lines[0] = replace(lines[0], text=prefix + lines[0].text, start=start)
        lines[-1] = replace(lines[-1], text=lines[-1].text + suffix)
        return lines

    def _holds_comment(self, expr: tree.Expr) -> bool:
        """Whether a comment stands before the last line of the broken form.

        One behind that goes to the end of the line in either form, so that a second formatting decides as the first.
        """
        if not self.commented(expr.span.start, expr.span.end):
            return False
        match expr:
            case tree.Pipe(_, _, stages):
                return self._comment_before(expr, stages[-1].span.start, stages[-1].value)
            case tree.Binary(_, _, _, last) | tree.If(_, _, _, last):
                return self._comment_before(expr, last.span.start, last)
            case tree.Unary(_, _, last) | tree.Index(_, last) | tree.Attribute(_, last) | tree.Call(_, last, ()):
                return self._holds_comment(last)
            case tree.Typed(_, last):
                return self._holds_comment(last)
            case tree.List(_, items):
                return bool(items)
            case _:
                return True

    def _comment_before(self, expr: tree.Expr, start: int, last: tree.Expr) -> bool:
        return self.commented(expr.span.start, start) or self._holds_comment(last)

    # ------------------------------------------------------------------------------------------ broken forms

    def _broken(self, expr: tree.Expr, indent: int) -> list[Line]:
        match expr:
            case tree.Pipe():
                return self._pipe(expr, indent)
            case tree.Binary(_, operator):
                left, right = text.operands(expr)
                return self.expr(left, indent) + lead(f"{operator} ", self.expr(right, indent + 3 + len(operator)))
            case tree.If(_, condition, then, otherwise):
                head = self.expr(condition, indent, "if ", start=expr.span.start)
                return (
                    head + lead("then ", self.expr(then, indent + 7)) + lead("else ", self.expr(otherwise, indent + 7))
                )
            case tree.Unary(_, operator, operand):
                spelling, inner = text.unary(operator)
                return self.expr(text.grouped(operand, inner), indent, spelling, start=expr.span.start)
            case tree.Typed(_, called, types):
                return self.expr(called, indent, suffix=text.types_text(types))
            case tree.Index() | tree.Attribute():
                return self.expr(text.grouped(expr.value, text.OPERAND), indent, suffix=text.access_text(expr))
            case _:
                return self._enclosed(expr, indent)

    def _enclosed(self, expr: tree.Expr, indent: int) -> list[Line]:
        """What has brackets, with its contents indented between them; anything else on one line."""
        head, close = [Line(indent, "(", expr.span.start)], ")"
        match expr:
            case tree.Merge():
                head, close = [replace(head[0], text=f"{text.merge_head(expr)} {{")], "}"
                inner = self._branches(expr.branches, indent + 4)
            case tree.Repeat(_, _, _, label, body):
                head, close = [replace(head[0], text=f"{text.repeat_head(expr)} {{")], "}"
                inner = self._labelled(label, body, indent + 2)
            case tree.Group(_, label, value):
                inner = self._labelled(label, value, indent + 2)
            case tree.Call(_, function, (_, *_) as arguments):
                head = self.expr(text.grouped(function, text.OPERAND), indent, suffix="(")
                inner = [line for argument in arguments for line in self._argument(argument, indent + 2)]
            case tree.Tuple(_, items):
                inner = [line for item in items for line in self.expr(item, indent + 2, suffix=",")]
            case tree.List(_, (_, *_) as items):
                head, close = [replace(head[0], text="[")], "]"
                inner = [line for item in items for line in self.expr(item, indent + 2, suffix=",")]
            case _:
                return [Line(indent, text.expression_text(expr), expr.span.start)]
        return [*head, *inner, Line(indent, close, expr.span.end - 1, closes=True)]

    def _labelled(self, label: tree.Label | None, value: tree.Expr, indent: int) -> list[Line]:
        start = label.span.start if label else value.span.start
        return self.expr(value, indent, prefix=text.label_text(label), start=start)

    def _argument(self, argument: tree.Argument, indent: int) -> list[Line]:
        return self.expr(argument.value, indent, text.argument_head(argument), ",", argument.span.start)

    def _branches(self, branches: tuple[tree.Branch, ...], indent: int) -> list[Line]:
        first, *others = (
            self.expr(b.value, indent, text.label_text(b.label), text.branch_tail(b), b.span.start) for b in branches
        )
        return [*first, *(line for lines in others for line in lead("| ", lines))]

    def _pipe(self, pipe: tree.Pipe, indent: int) -> list[Line]:
        lines = self.expr(text.grouped(pipe.first, text.EITHER), indent)
        tail = "".join(f" >> {text.stage_text(stage)}" for stage in pipe.stages)
        fits = lines[-1].closes and indent + 1 + len(tail) <= WIDTH
        last = pipe.stages[-1]
        if fits and not self.commented(pipe.first.span.end, last.span.start) and not self._holds_comment(last.value):
            return [*lines[:-1], replace(lines[-1], text=lines[-1].text + tail)]
        for stage in pipe.stages:
            value = text.grouped(stage.value, text.EITHER)
            lines += lead(">> ", self._labelled(stage.label, value, indent + 5))
        return lines
