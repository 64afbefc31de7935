"""Names: what is missing, ambiguous, or given wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from repc.diagnostics import Diagnostic, Label, Span
from repc.semantics.errors.base import did_you_mean, error, plural


def unknown_name(span: Span, name: str, known: Iterable[str]) -> Diagnostic:
    """A name that nothing in scope has."""
    return error(
        "E201",
        f"unknown name `{name}`",
        span,
        "not found here",
        did_you_mean(name, known, "define it, import the file that does, or fix the spelling"),
    )


def unknown_import(span: Span, path: str, known: Iterable[str]) -> Diagnostic:
    """An import that leads to no file."""
    return error(
        "E202",
        f"no file for import `{path}`",
        span,
        "not found",
        did_you_mean(
            path,
            known,
            'shipped files are written with dots (`import std.conv`), your own in quotes (`import "blocks.rep"`)',
        ),
    )


def import_cycle(span: Span, chain: Sequence[str]) -> Diagnostic:
    """Files that import each other in a circle."""
    return error("E203", "import cycle", span, " -> ".join(chain), "move what they share into a file that both import")


def ambiguous_import(span: Span, name: str, first: str, second: str) -> Diagnostic:
    """Two imports bring the same name."""
    return error(
        "E204",
        f"`{name}` is imported twice",
        span,
        f"defined in {first} and in {second}",
        "give one import a name (`import … as other`) and write `other.Name`; what `adapt` is about has no such name: "
        "give it to the other import then",
    )


def duplicate_definition(span: Span, name: str, first: Span) -> Diagnostic:
    """Two definitions of one file have the same name."""
    return error(
        "E205",
        f"`{name}` is defined twice",
        span,
        "defined again here",
        "rename one of them",
        related=(Label(first, "first defined here"),),
    )


def unknown_model(span: Span, name: str, known: Sequence[str], *, block: bool = False) -> Diagnostic:
    """A model that the file does not define.

    A block is none: its sizes are known only where it is applied.
    """
    models = "models of this file: " + (", ".join(known) or "none")
    if block:
        models = f"`{name}` is a block: apply it in a model, or in Python with repc.block; {models}"
    return error(
        "E206",
        f"no model `{name}` in {span.source.name}",
        span,
        None,
        models if block else did_you_mean(name, known, models),
    )


def not_a_model(span: Span, name: str) -> Diagnostic:
    """A block where a model is needed."""
    return error(
        "E207",
        f"`{name}` is a block, not a model",
        span,
        "cannot be compiled alone",
        "write a `model` that applies it, so that its inputs have types",
    )


def adapted_as_block(span: Span, name: str) -> Diagnostic:
    """An adapted model used as a layer."""
    return error(
        "E208",
        f"`{name}` is an adapted model and cannot be part of another one",
        span,
        "used as a layer here",
        "adapt the model that uses the base instead: a path pattern reaches into it",
    )


def adapts_itself(span: Span, name: str) -> Diagnostic:
    """Adapters whose bases lead back to themselves."""
    return error(
        "E209", f"`{name}` adapts itself", span, "the base leads back here", "name the model that is to be adapted"
    )


def adapts_no_checkpoint(span: Span, name: str) -> Diagnostic:
    """An adapter for a checkpoint without a spec whose base is a spec."""
    return error(
        "E409",
        f"`{name}` is defined by a spec",
        span,
        "this is to adapt the tensors of a checkpoint",
        "name a base that no spec defines",
    )


def duplicate_path(span: Span, path: str, first: Span) -> Diagnostic:
    """Two parameters with the same path."""
    return error(
        "E210",
        f"two parameters are called `{path}`",
        span,
        "declared again here",
        "give one of the parts a label (`name: Layer()`), which adds a segment to its path",
        related=(Label(first, "first declared here"),),
    )


def unknown_part(span: Span, path: str, name: str, known: Sequence[str]) -> Diagnostic:
    """A labelled part has no such weight or part."""
    return error(
        "E211",
        f"`{path}` has no `{name}`",
        span,
        "not found in that part",
        did_you_mean(name, known, "it has: " + (", ".join(known) or "nothing")),
    )


def no_attribute(span: Span, kind: str, name: str) -> Diagnostic:
    """A dot behind something that has no names."""
    return error(
        "E212",
        f"{kind} has no `.{name}`",
        span,
        "not found",
        "labelled parts have the weights declared in them, tensors have `.shape` and matrices `.T`",
    )


def unknown_keyword(span: Span, callee: str, name: str, known: Sequence[str]) -> Diagnostic:
    """A keyword argument that the callee does not take."""
    return error(
        "E213",
        f"`{callee}` has no parameter `{name}`",
        span,
        "unknown keyword",
        did_you_mean(name, known, "it takes: " + (", ".join(known) or "no keywords")),
    )


def given_twice(span: Span, callee: str, name: str) -> Diagnostic:
    """An argument that is given twice."""
    return error(
        "E214",
        f"`{name}` of {callee} is given twice",
        span,
        "once by position, once by name, or twice by name",
        "leave one of them out",
    )


def argument_count(span: Span, callee: str, least: int, most: int, count: int) -> Diagnostic:
    """Too few or too many positional arguments."""
    return error(
        "E215",
        f"`{callee}` takes {least if least == most else f'{least} to {most}'} positional arguments, not {count}",
        span,
        f"{count} given",
        "further attributes are given by name (`stride=2`)",
    )


def missing_argument(span: Span, callee: str, name: str) -> Diagnostic:
    """A function without a required argument."""
    return error("E216", f"`{callee}` needs `{name}`", span, f"`{name}` is missing", f"add `{name}=…`")


def missing_parameter(span: Span, callee: str, name: str) -> Diagnostic:
    """A block, model or adapter without a required parameter."""
    return error(
        "E217",
        f"`{callee}` needs its parameter `{name}`",
        span,
        f"`{name}` has no default",
        f"give it in the call, or for a model with `--set {name}=…`",
    )


def positional_after_keyword(span: Span) -> Diagnostic:
    """A positional argument after a keyword argument."""
    return error(
        "E218",
        "a positional argument follows a keyword argument",
        span,
        "give this one a name, or move it forward",
        "positional arguments come first",
    )


def keywords_on_layer(span: Span) -> Diagnostic:
    """A layer is applied with keyword arguments."""
    return error(
        "E219",
        "a layer takes values, not keywords",
        span,
        "this is already a layer",
        "its parameters belong into the first pair of parentheses",
    )


def not_callable(span: Span, kind: str) -> Diagnostic:
    """A call of something that is neither a block nor a function."""
    return error(
        "E220",
        f"{kind} cannot be called",
        span,
        "not a function, block or layer",
        "blocks are capitalised, functions of values are lower-case",
    )


def block_without_call(span: Span, name: str) -> Diagnostic:
    """A block is used as a layer without parentheses."""
    return error(
        "E221",
        f"`{name}` is a block: a layer is `{name}(…)`",
        span,
        "parameters are missing",
        f"write `{name}()`, with its parameters inside",
    )


def not_a_layer(span: Span, kind: str) -> Diagnostic:
    """Something that is not a layer stands where one is needed."""
    return error(
        "E222",
        f"{kind} cannot be applied",
        span,
        "expected a layer",
        "behind `>>` stands a layer: `Block(…)`, a function without its first operand, or a merge of layers",
    )


def layer_among_values(span: Span, kind: str) -> Diagnostic:
    """A merge of values has a branch that is a layer."""
    return error(
        "E223",
        "a branch is a layer while others are values",
        span,
        f"this is {kind}, not a value",
        "apply it: `x >> layer`",
    )


def no_branches(span: Span, kind: str) -> Diagnostic:
    """A merge with no branch left."""
    return error(
        "E224",
        f"every branch of this `{kind}` is switched off",
        span,
        "no branch is left",
        "one `when` at least must hold; or put the whole merge behind an `if`",
    )


def port_count(span: Span, name: str, expected: int, given: int) -> Diagnostic:
    """A layer with another number of inputs than its ports."""
    return error(
        "E225",
        f"`{name}` has {expected} {plural(expected, 'port')} but gets {given} {plural(given, 'value')}",
        span,
        f"{given} given",
        "feed several ports with `(a, b) >> Layer()`",
    )


def bad_hole(span: Span, name: str, kind: str | None, known: Iterable[str]) -> Diagnostic:
    """A hole in a label without a number or name to fill it."""
    remedy = "fill holes with a variable of a loop or a parameter: a number from 0 on, or letters and digits"
    return error(
        "E226",
        f"the label cannot be completed: `{name}` is {kind or 'unknown'} here",
        span,
        f"`{{{name}}}` stays open",
        remedy if kind else did_you_mean(name, known, remedy),
    )


def unknown_rest(span: Span, name: str | None, known: Iterable[str]) -> Diagnostic:
    """A rest in a weight type that is not bound to sizes."""
    return error(
        "E227",
        f"`...{name or ''}` stands for no list of sizes here",
        span,
        "not a list of sizes",
        did_you_mean(name or "", known, "bind it in a port type (`x: [b, c, ...s]`) or with `let`"),
    )


def unknown_dtype(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """An element type that does not exist."""
    return error(
        "E228",
        f"unknown element type `{name}`",
        span,
        "not an element type",
        did_you_mean(name, known, "element types: " + ", ".join(known)),
    )


def unknown_size_name(span: Span, name: str, known: Sequence[str]) -> Diagnostic:
    """A pinned size that the model's inputs do not have."""
    return error(
        "E229",
        f"the inputs of this model have no free size `{name}`",
        span,
        None,
        did_you_mean(name, known, "free sizes: " + (", ".join(known) or "none")),
    )


def which_model(span: Span, known: Sequence[str]) -> Diagnostic:
    """A file with several models, or none, of which one must be named."""
    title = f"{span.source.name} has {len(known)} models: which one?" if known else f"{span.source.name} has no model"
    shown = ", ".join(known[:8]) + (", …" if len(known) > 8 else "")
    remedy = (
        f"append one, `{span.source.name}:MODEL`: {shown}" if known else "only a `model` or an `adapt` can be compiled"
    )
    return Diagnostic("E230", title, help=remedy)


def unknown_shipped(name: str, known: Sequence[str]) -> Diagnostic:
    """A shipped spec that does not exist."""
    short = [full.rpartition("/")[2] for full in known]  # as people write them
    remedy = did_you_mean(name, [*known, *short], "`repc list` shows what is shipped")
    return Diagnostic("E231", f"no shipped spec `{name}`", help=remedy)


def unreadable_spec(path: str, reason: str, known: Sequence[str]) -> Diagnostic:
    """A spec file that is missing or cannot be read."""
    remedy = did_you_mean(path, known, "give the path of a .rep file, or `repc:NAME` for a shipped one (`repc list`)")
    return Diagnostic("E232", f"cannot read {path}: {reason}", help=remedy)


def unreadable_import(span: Span, path: str, reason: str) -> Diagnostic:
    """An imported file that cannot be read."""
    return error("E233", f"cannot read `{path}`: {reason}", span, "imported here", "check the path and its permissions")


def imports_too_deep(span: Span, limit: int) -> Diagnostic:
    """Files that import each other in too long a chain."""
    return error(
        "E234",
        f"imports lead more than {limit} files deep",
        span,
        "the import that went too far",
        "import the last files of the chain directly",
    )


def bad_key(span: Span, key: str) -> Diagnostic:
    """A state_dict key that is no path."""
    return error(
        "E235",
        f'"{key}" cannot be the key of a parameter',
        span,
        "not a path",
        "a key has no spaces and quotes, and segments with dots between: `lora_A.weight`",
    )


def merge_arguments(span: Span, kind: str, known: str | None) -> Diagnostic:
    """A merge with arguments that it does not take."""
    takes = f"one argument, `{known}`" if known else "no arguments"
    return error("E236", f"`{kind}` of branches takes {takes}", span, "one too many", "leave it out")


def function_without_call(span: Span, name: str) -> Diagnostic:
    """A function of numbers and lists that stands without its arguments."""
    return error("E237", f"`{name}` needs its arguments", span, "not a value", f"write `{name}(…)`")
