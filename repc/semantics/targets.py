"""The ``target`` items of a file, resolved for its models."""

from __future__ import annotations

from repc.diagnostics import Diagnostic, Failure, Span
from repc.ir.paths import Pattern
from repc.ir.target import BACKENDS, OBJECTIVES, Bound, Expectation, Override, Target
from repc.semantics import errors
from repc.semantics.context import Context, Env
from repc.semantics.elaborate import new_context
from repc.semantics.expressions import evaluate
from repc.semantics.modules import Module
from repc.semantics.values import Poison, Value, as_integer, describe, numbers
from repc.syntax import tree

FLAGS = ("facts", "border_maps")
SETTINGS = ("objective", "opset", *FLAGS)


def targets(module: Module) -> dict[str, dict[str, Target]]:
    """Model name → target name → target; raises `Failure` with every error of the file's targets."""
    ctx = new_context("targets")
    found: dict[str, dict[str, Target]] = {name: {} for name in module.models()}
    places: dict[tuple[str, str], Span] = {}
    for item in module.file.items:
        if not isinstance(item, tree.Target):
            continue
        target = _Resolver(ctx, Env(module)).target(item)
        pattern = Pattern(item.models.text)
        models = [name for name in found if pattern.matches(name)]
        if not models:
            ctx.report(errors.target_without_model(item.models.span, item.models.text, list(found)))
        for model in models:
            if target.name in found[model]:
                ctx.report(errors.duplicate_target(item.span, target.name, model, places[model, target.name]))
            found[model][target.name] = target
            places[model, target.name] = item.span
    if ctx.errors:
        raise Failure(ctx.errors)
    return found


class _Resolver:
    """Collects the settings of one target."""

    def __init__(self, ctx: Context, env: Env) -> None:
        self.ctx = ctx
        self.env = env
        self.expect: list[Expectation] = []
        self.keep: list[str] = []
        self.overrides: list[Override] = []
        self.values: dict[str, Value] = {}
        self.bind: dict[str, Bound] = {}

    def target(self, item: tree.Target) -> Target:
        if item.backend not in BACKENDS:
            self.ctx.report(errors.unknown_backend(item.span, item.backend, BACKENDS))
        for setting in item.settings:
            self.setting(setting)
        opset, objective = self.values.get("opset"), self.values.get("objective", "default")
        return Target(
            item.name,
            item.backend,
            tuple(self.expect),
            tuple(self.keep),
            objective if isinstance(objective, str) else "default",
            tuple(self.overrides),
            opset if isinstance(opset, int) else None,
            item.span,
            self.bind,
            *(self.values.get(flag) is True for flag in FLAGS),
        )

    def setting(self, setting: tree.SettingTree) -> None:
        match setting:
            case tree.Setting():
                if setting.name in self.values:
                    self.report(errors.given_twice(setting.span, "the target", setting.name))
                self.values[setting.name] = self.value(setting)
            case tree.Expect():
                self.expect.extend(e for e in map(self.expectation, setting.counts) if e is not None)
            case tree.Keep():
                self.keep.append(setting.path.text)
            case tree.Override():
                self.override(setting)
            case tree.Bind():
                self.bound(setting)
            case _:
                raise AssertionError(f"no setting: {setting}")

    def bound(self, setting: tree.Bind) -> None:
        """``bind input = value``."""
        if setting.name in self.bind:
            self.report(errors.given_twice(setting.span, "the target", setting.name))
        value = evaluate(self.ctx, setting.value, self.env)
        bound = numbers(value)
        if bound is not None:
            self.bind[setting.name] = bound
        elif not isinstance(value, Poison):
            expected = "a number or a list of numbers"
            self.report(errors.bad_setting(setting.span, setting.name, expected, describe(value)))

    def override(self, setting: tree.Override) -> None:
        """``at path { objective = … }``."""
        for inner in setting.settings:
            if isinstance(inner, tree.Setting) and inner.name == "objective":
                value = self.value(inner)
                if isinstance(value, str):
                    self.overrides.append(Override(setting.path.text, value))
            else:
                self.report(errors.unknown_setting(inner.span, inner.span.text.split()[0], ("objective",)))

    def value(self, setting: tree.Setting) -> Value:
        if setting.name not in SETTINGS:
            self.report(errors.unknown_setting(setting.span, setting.name, SETTINGS))
            return None
        if setting.name == "objective":
            name = setting.value.name if isinstance(setting.value, tree.Name) else None
            if name not in OBJECTIVES:
                expected = "one of " + ", ".join(OBJECTIVES)
                self.report(errors.bad_setting(setting.span, "objective", expected, f"`{setting.value.span.text}`"))
                return None
            return name
        value = evaluate(self.ctx, setting.value, self.env)
        expected, fits = "a positive integer", (as_integer(value) or 0) >= 1
        if setting.name in FLAGS:
            expected, fits = "true or false", isinstance(value, bool)
        if not isinstance(value, Poison) and not fits:
            self.report(errors.bad_setting(setting.span, setting.name, expected, describe(value)))
        return value

    def expectation(self, count: tree.Count) -> Expectation | None:
        value = evaluate(self.ctx, count.value, self.env)
        if isinstance(value, Poison):
            return None
        number = as_integer(value)
        if number is None:
            self.report(errors.bad_setting(count.span, count.name, "an integer", describe(value)))
            return None
        return Expectation(count.name, count.operator, number, count.span)

    def report(self, diagnostic: Diagnostic) -> None:
        self.ctx.report(diagnostic)
