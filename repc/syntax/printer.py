"""Tree to text: the one canonical layout, which is also what ``repc fmt`` writes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from repc.diagnostics import Source
from repc.syntax import text, tree
from repc.syntax.comments import weave
from repc.syntax.layout import WIDTH, Layout, Line
from repc.syntax.parser import parse
from repc.syntax.scan import comments


def print_file(file: tree.File) -> str:
    """The canonical text of a tree; parsed again, it gives an equal tree.

    Of a tree that a program made, the text gives an equal tree but for the parentheses that precedence asks for.
    """
    return _text(weave(_Printer().file(file), Source("", "")))


def format_text(source: Source) -> str:
    """The canonical text of a source, with all its comments; raises `Failure` where it does not parse."""
    file = parse(source)
    printer = _Printer([comment.start for comment in comments(source.text)])
    return _text(weave(printer.file(file), source))


def _text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _rows(parts: Iterable[tuple[tree.Tree, list[Line]]], since: int | None = None) -> list[Line]:
    """The lines of parts that follow each other; a blank line before a part is kept if it comes after `since`."""
    rows: list[Line] = []
    for part, (first, *rest) in parts:
        rows += [replace(first, since=since), *rest]
        since = part.span.end
    return rows


class _Printer(Layout):
    """The lines of items, statements and settings."""

    def file(self, file: tree.File) -> list[Line]:
        version = Line(0, f"repc {file.version}", file.span.start, since=0)
        return [version, *_rows(((item, self._item(item)) for item in file.items), file.span.start)]

    def _item(self, item: tree.Item) -> list[Line]:
        match item:
            case tree.Import():
                return [Line(0, _import_text(item), item.span.start)]
            case tree.Definition():
                lines = self._definition(item)
            case tree.Adapt():
                lines = self._adapt(item)
            case tree.Target():
                head = f"target {item.name} = {item.backend} of {item.models.text}"
                lines = self._settings(item, head, item.settings, 0)
            case _:
                raise TypeError(f"{type(item).__name__} is no item")
        return [replace(lines[0], apart=True), *lines[1:]]

    # ------------------------------------------------------------------------------------------ definitions

    def _definition(self, item: tree.Definition) -> list[Line]:
        body = item.body
        if body.braces:
            closing = Line(0, "}", body.span.end - 1, closes=True)
            return [*self._head(item, " {"), *self._statements(body), closing]
        value = body.results[0]
        head = self._head(item, " =")
        if len(head) == 1 and not self.commented(body.span.start, value.span.start):
            whole = self.expr(value, 0, f"{head[0].text} ", start=item.span.start)
            if len(whole) == 1:
                return whole
        return [*head, *self.expr(value, 2)]

    def _head(self, item: tree.Definition, opening: str) -> list[Line]:
        """Up to the body: on one line, or with the parameters and, if need be, the ports on lines of their own."""
        start, behind = item.span.start, (item.result or item.body).span.start
        ports_start = item.ports[0].span.start if item.ports else behind
        text_ = f"{item.kind} {item.name}"
        parameters, ports = text.parameters_text(item.parameters), text.ports_text(item.ports)
        tail = (f" -> {text.type_text(item.result)}" if item.result else "") + opening
        lines: list[Line] = []
        if parameters and (len(text_ + parameters + ports + tail) > WIDTH or self.commented(start, ports_start)):
            lines = [Line(0, f"{text_}<", start), *(line for p in item.parameters for line in self._parameter(p))]
            text_, parameters, start = ">", "", ports_start
        last = Line(0, text_ + parameters + ports + tail, start, closes=bool(lines))
        if item.ports and (len(last.text) > WIDTH or self.commented(ports_start if item.parameters else start, behind)):
            lines.append(replace(last, text=f"{text_}{parameters}("))
            lines += [Line(2, f"{text.port_text(port)},", port.span.start) for port in item.ports]
            last = Line(0, f"){tail}", behind, closes=True)
        return [*lines, last]

    def _parameter(self, parameter: tree.Parameter) -> list[Line]:
        head, start = text.parameter_head(parameter), parameter.span.start
        if parameter.default is None:
            return [Line(2, f"{head},", start)]
        return self.expr(text.grouped(parameter.default, text.SUM), 2, head, ",", start)

    # ------------------------------------------------------------------------------------------ statements

    def _statements(self, body: tree.Body) -> list[Line]:
        since = body.statements[-1].span.end if body.statements else None
        first, *rest = self._results(body.results)
        rows = _rows((statement, self._statement(statement)) for statement in body.statements)
        return [*rows, replace(first, since=since), *rest]

    def _results(self, results: tuple[tree.Expr, ...]) -> list[Line]:
        *others, last = results
        lines = [line for result in others for line in self.expr(result, 4, suffix=",")]
        lines += self.expr(last, 4 if others else 2)
        flat = " ".join(line.text for line in lines)
        if (
            len(lines) == len(results)
            and 9 + len(flat) <= WIDTH
            and not self.commented(lines[0].start, lines[-1].start)
        ):
            return [Line(2, f"return {flat}", lines[0].start)]
        return [replace(lines[0], indent=2, text=f"return {lines[0].text}"), *lines[1:]]

    def _statement(self, statement: tree.Statement) -> list[Line]:
        start = statement.span.start
        match statement:
            case tree.Require(_, condition, message):
                suffix = "" if message is None else f" else {text.string_text(message)}"
                return self.expr(condition, 2, "require ", suffix, start)
            case tree.Let(_, names, value):
                target = names[0] if len(names) == 1 else f"({', '.join(names)})"
                return self.expr(value, 2, f"let {target} = ", start=start)
            case tree.Weight(_, kind, name, key, type_, init, condition):
                renamed = "" if key is None else f" as {text.string_text(key)}"
                head = f"{kind} {name}{renamed}: {text.type_text(type_)} = "
                return self.expr(init, 2, head, text.condition_text(condition), start)
            case tree.Alias(_, key, value):
                return self.expr(value, 2, f"alias {text.string_text(key)} = ", start=start)
            case _:
                raise TypeError(f"{type(statement).__name__} is no statement")

    # ------------------------------------------------------------------------------------------ adapters, targets

    def _adapt(self, item: tree.Adapt) -> list[Line]:
        head = f"adapt {item.base}{text.parameters_text(item.parameters)} as {item.name}"
        lines = [*((w, self._statement(w)) for w in item.weights), *((a, self._attach(a)) for a in item.attachments)]
        if not lines and not self.commented(item.span.start, item.span.end):
            return [Line(0, f"{head} {{}}", item.span.start)]
        return self._braces(item, head, lines, 0)

    def _attach(self, attach: tree.Attach) -> list[Line]:
        where = f" where {text.expression_text(attach.condition, text.EITHER)}" if attach.condition else ""
        expect = text.expression_text(attach.expect, text.SUM)
        head = f"at {attach.path.text}{where} expect {expect} {attach.verb} {text.label_text(attach.label)}"
        return self.expr(attach.layer, 2, head, start=attach.span.start)

    def _braces(
        self, part: tree.Tree, head: str, inner: Iterable[tuple[tree.Tree, list[Line]]], indent: int
    ) -> list[Line]:
        opening = Line(indent, f"{head} {{", part.span.start)
        return [opening, *_rows(inner), Line(indent, "}", part.span.end - 1, closes=True)]

    def _settings(self, part: tree.Tree, head: str, settings: tuple[tree.SettingTree, ...], indent: int) -> list[Line]:
        return self._fitted(part, head, [(setting, self._setting(setting, indent + 2)) for setting in settings], indent)

    def _fitted(self, part: tree.Tree, head: str, inner: list[tuple[tree.Tree, list[Line]]], indent: int) -> list[Line]:
        """The parts between braces, on one line if they fit there."""
        texts = [lines[0].text for _, lines in inner if len(lines) == 1]
        flat = f"{head} {{ {'  '.join(texts)} }}" if inner else f"{head} {{}}"
        fits = len(texts) == len(inner) and indent + len(flat) <= WIDTH
        if fits and not self.commented(part.span.start, part.span.end):
            return [Line(indent, flat, part.span.start)]
        return self._braces(part, head, inner, indent)

    def _setting(self, setting: tree.SettingTree, indent: int) -> list[Line]:
        start = setting.span.start
        match setting:
            case tree.Setting(_, name, value):
                return self.expr(value, indent, f"{name} = ", start=start)
            case tree.Bind(_, name, value):
                return self.expr(value, indent, f"bind {name} = ", start=start)
            case tree.Keep(_, path):
                return [Line(indent, f"keep {path.text}", start)]
            case tree.Expect(_, counts):
                rows = [(count, [Line(indent + 2, _count_text(count), count.span.start)]) for count in counts]
                return self._fitted(setting, "expect", [*rows], indent)
            case tree.Override(_, path, settings):
                return self._settings(setting, f"at {path.text}", settings, indent)
            case _:
                raise TypeError(f"{type(setting).__name__} is no setting")


def _import_text(item: tree.Import) -> str:
    path = text.string_text(item.path) if item.quoted else item.path
    return f"import {path}" + (f" as {item.alias}" if item.alias else "")


def _count_text(count: tree.Count) -> str:
    return f"{count.name} {count.operator} {text.expression_text(count.value, text.SUM)}"
