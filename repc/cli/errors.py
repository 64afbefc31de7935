"""What can be wrong with a command line (E91x), a folder that `repc compile` wrote (E92x), or of user code (E94x)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from repc.diagnostics import Diagnostic, Label, Span, nearest

SPECS = "give FILE.rep, FILE.rep:MODEL, or repc:NAME/MODEL for a shipped spec"
ACCEPTED = f"{SPECS}, or FILE.onnx, FILE.pt2, MODULE:FACTORY"


def not_a_spec(text: str, kind: str) -> Diagnostic:
    """The input is a model, and the command looks at the text of a spec.

    Specs are `FILE.rep`, `FILE.rep:MODEL`, or `repc:NAME/MODEL` for one that is shipped.
    """
    return Diagnostic("E910", f"{text} is {kind}, not a spec", help=SPECS)


def wrong_kind(text: str, kind: str, remedy: str) -> Diagnostic:
    """The input is of a kind that repc knows and that is no model."""
    return Diagnostic("E910", f"{text} is {kind}, not a model", help=remedy)


def not_a_setting(span: Span, form: str) -> Diagnostic:
    """An option that takes NAME=VALUE was given something else."""
    return Diagnostic("E911", "expected NAME=VALUE", Label(span, ""), help=f"write it as in `{form}`")


def not_a_literal(span: Span) -> Diagnostic:
    """A parameter is set to a number, true, false, none, a string in double quotes, or a list of these."""
    return Diagnostic(
        "E912",
        f"`{span.text}` is no plain value",
        Label(span, "not a literal"),
        help='give a number, true, false, none, "text", or a list of these: --set depth=[2,4]',
    )


def unreadable(path: str, reason: str) -> Diagnostic:
    """A file that a command was given cannot be read."""
    return Diagnostic("E913", f"cannot read {path}: {reason}", help="check the path")


def no_such_site(pattern: str, model: str, known: Sequence[str]) -> Diagnostic:
    """A path pattern that no operator of the model is at.

    Paths are the labels of the spec, joined by dots; `*` stands for one segment, `**` for any number.
    """
    meant = nearest(pattern, known)
    return Diagnostic(
        "E914",
        f"nothing in {model} is at `{pattern}`",
        help=f"did you mean {meant}?" if meant else "`repc explain INPUT` lists the sites",
    )


def bad_name(name: str) -> Diagnostic:
    """The name of a new spec becomes the name of a file and of a model."""
    remedy = "begin with a capital letter, then letters, digits and _: MyBlock"
    return Diagnostic("E915", f"{name!r} cannot be the name of a block or model", help=remedy)


def already_there(path: Path, force: bool = False) -> Diagnostic:
    """A new spec would replace a file, which a person may have edited."""
    remedy = "choose another name, or say --force to replace it" if force else "choose another name, or another folder"
    return Diagnostic("E916", f"{path} exists already", help=remedy)


def unknown_topic(topic: str, known: Sequence[str]) -> Diagnostic:
    """A code or rule that does not exist."""
    meant = nearest(topic.upper(), known)
    return Diagnostic(
        "E917", f"no rule or code {topic}", help=f"did you mean {meant}?" if meant else "`repc rule` lists all of them"
    )


def unknown_kind(kind: str, known: Sequence[str]) -> Diagnostic:
    """Something to write, or to compare against, that does not exist."""
    meant = nearest(kind, known)
    return Diagnostic(
        "E918", f"{kind!r} is none of {', '.join(known)}", help=f"did you mean {meant}?" if meant else None
    )


def no_output() -> Diagnostic:
    """A merge writes a whole checkpoint, so that it is said where."""
    return Diagnostic("E919", "there is no output", help="give -o OUT, or --dry-run to see what would change")


def not_a_size(text: str) -> Diagnostic:
    """An amount of memory is a whole number with a unit, or of bytes."""
    return Diagnostic("E911", f"{text!r} is no amount of memory", help="write it as in `--memory 400M`, or with K or G")


def not_positive(option: str, given: int) -> Diagnostic:
    """A count of something that at least one is needed of."""
    return Diagnostic("E911", f"{option} {given} is no count", help="give a number from 1 on, or leave it out")


def idle_options(options: Sequence[str], wanted: str) -> Diagnostic:
    """Options that nothing would read in this form of the command."""
    return Diagnostic("E922", f"{', '.join(options)} has no effect {wanted}", help="leave it out")


def not_a_build(folder: Path, reason: str) -> Diagnostic:
    """A folder without the report.json that `repc compile` writes, or with a damaged one."""
    return Diagnostic("E920", f"{folder} was not written by repc compile: {reason}", help="compile the model again")


def other_weights(weights: str, folder: Path) -> Diagnostic:
    """The checkpoint has changed since the folder was compiled, so that the two cannot be compared."""
    return Diagnostic(
        "E921", f"{weights} is not what {folder} was compiled from", help="compile it again, or restore the checkpoint"
    )


def no_such_module(module: str, missing: str) -> Diagnostic:
    """MODULE:FACTORY names a Python module that cannot be found, here or among the installed packages."""
    return Diagnostic(
        "E940", f"there is no Python module {missing}", help=f"run repc where `import {module}` works, or install it"
    )


def no_such_object(module: str, name: str, known: Sequence[str]) -> Diagnostic:
    """A module without what MODULE:FACTORY names."""
    meant = nearest(name, known)
    remedy = f"did you mean {module}:{meant}?" if meant else "give the name of a function that makes a module"
    return Diagnostic("E941", f"{module} has no {name}", help=remedy)


def code_failed(what: str, reason: str, places: Sequence[str]) -> Diagnostic:
    """The user's own code raised an exception."""
    return Diagnostic("E942", f"{what} raised {reason}", help="see to that code first", notes=tuple(places))


def no_module(text: str, found: str) -> Diagnostic:
    """A factory that gives something else than a module."""
    help = "let it return a torch.nn.Module, or a module and example arguments"
    return Diagnostic("E943", f"{text} gives {found}, not a module", help=help)


def no_example(text: str, module: str) -> Diagnostic:
    """A module is imported by running it on an example, and neither the factory nor the command line has one."""
    help = "give --input x=f32[b,3,224,224], or let the factory return (module, (x,))"
    return Diagnostic("E944", f"there is no example input of {module}, which {text} makes", help=help)


def not_an_example(span: Span, known: Sequence[str]) -> Diagnostic:
    """The type of an argument is its name, the type of its elements, and its sizes, of which some may be free."""
    help = f"write it as in `--input x=f32[b,3,224,224]`, with one of {', '.join(known)}"
    return Diagnostic("E945", "expected NAME=TYPE[SIZES]", Label(span, ""), help=help)


def not_for(option: str, text: str, kind: str) -> Diagnostic:
    """An option that means nothing for this kind of input."""
    return Diagnostic("E946", f"{option} means nothing for {text}, {kind}", help="leave it out")


def no_such_size(name: str, known: Sequence[str]) -> Diagnostic:
    """A size is pinned that no --input leaves free."""
    meant = nearest(name, known)
    remedy = f"did you mean {meant}?" if meant else "give the argument a size of that name: --input x=f32[b,3,h,w]"
    return Diagnostic("E947", f"no --input has a size {name}", help=remedy)


def no_such_argument(name: str, text: str, known: Sequence[str]) -> Diagnostic:
    """An --input that `forward` does not take."""
    meant = nearest(name, known)
    remedy = f"did you mean {meant}?" if meant else f"it takes {', '.join(known) or 'nothing by name'}"
    return Diagnostic("E948", f"the module of {text} takes no argument {name}", help=remedy)
