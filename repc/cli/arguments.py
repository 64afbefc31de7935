"""Arguments that several commands share, and what they mean."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence

from repc.cli import errors
from repc.diagnostics import Failure, Source, Span
from repc.ir.target import Bound
from repc.semantics.values import Value, numbers
from repc.syntax import parse_expression, tree

DTYPES = ("f16", "bf16", "f32", "f64")
LEVELS = ("certify", "sample")
CONSTANTS: Mapping[str, Value] = {"true": True, "false": False, "none": None}


# ---------------------------------------------------------------- declaring


def add_input(parser: ArgumentParser, *, folder: bool = False) -> None:
    """INPUT and what chooses among the models that it can mean."""
    kinds = "FILE.rep[:MODEL], repc:NAME[/MODEL], FILE.onnx, FILE.pt2, or MODULE:FACTORY, your own Python code"
    parser.add_argument("input", metavar="INPUT", help=kinds + (", or a folder that compile wrote" if folder else ""))
    add_settings(parser)
    parser.add_argument(
        "--input",
        metavar="NAME=TYPE",
        action="append",
        default=[],
        dest="example",
        help="an argument of what MODULE:FACTORY makes: x=f32[b,3,224,224]; sizes with a name stay free",
    )


def add_settings(parser: ArgumentParser) -> None:
    """Parameters and sizes."""
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set a parameter of the model")
    parser.add_argument("--size", metavar="NAME=N", action="append", default=[], help="pin a free size of an input")
    parser.add_argument(
        "--bind",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="pin an input to a number, a list, a one-hot row",
    )


def add_weights(parser: ArgumentParser) -> None:
    """A checkpoint and an adapter."""
    parser.add_argument(
        "--weights", metavar="FILE", help="checkpoint; without one, the model's own weights, or initial values"
    )
    parser.add_argument("--container", metavar="NAME", help="which state_dict of the file, such as model_ema")
    parser.add_argument("--adapter", metavar="FOLDER", help="attach what PEFT's save_pretrained wrote")


def add_target(parser: ArgumentParser) -> None:
    """A target of the spec."""
    parser.add_argument("--target", metavar="NAME", help="target of the spec; by default deploy")


def add_json(parser: ArgumentParser) -> None:
    """Output for machines."""
    parser.add_argument("--json", action="store_true", help="print JSON")


# ---------------------------------------------------------------- reading


def settings(texts: Sequence[str], form: str = "--set classes=10") -> dict[str, Value]:
    """The values of ``--set name=value``, or of another option of that `form`."""
    found: dict[str, Value] = {}
    for text in texts:
        name, source = _split(text, form)
        found[name] = _literal(parse_expression(source))
    return found


def bindings(texts: Sequence[str]) -> dict[str, Bound]:
    """The values of ``--bind input=value``."""
    found: dict[str, Bound] = {}
    for text in texts:
        name, source = _split(text, "--bind task=[0,1,0]")
        expr = parse_expression(source)
        value = numbers(_literal(expr))
        if value is None:
            raise Failure(errors.not_a_literal(expr.span))
        found[name] = value
    return found


def sizes(texts: Sequence[str]) -> dict[str, int]:
    """The values of ``--size name=number``."""
    found: dict[str, int] = {}
    for text in texts:
        name, source = _split(text, "--size h=224")
        if not source.text.isdecimal() or int(source.text) == 0:
            raise Failure(errors.not_a_setting(Span(source, 0, len(source.text)), "--size h=224"))
        found[name] = int(source.text)
    return found


def choices(text: str, known: tuple[str, ...]) -> list[str]:
    """The parts of ``onnx,torch``, each one of the known."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    wrong = [errors.unknown_kind(part, known) for part in parts if part not in known]
    if wrong or not parts:
        raise Failure(wrong or [errors.unknown_kind(text, known)])
    return parts


def _split(text: str, form: str) -> tuple[str, Source]:
    name, equals, value = text.partition("=")
    source = Source(f"--{form[2:].split(maxsplit=1)[0]} {name}", value)
    if not equals or not name.isidentifier() or not value:
        whole = Source(form.split(maxsplit=1)[0], text)
        raise Failure(errors.not_a_setting(Span(whole, 0, len(text)), form))
    return name, source


def _literal(expr: tree.Expr) -> Value:
    match expr:
        case tree.Int() | tree.Float() | tree.String():
            return expr.value
        case tree.Name(_, name) if name in CONSTANTS:
            return CONSTANTS[name]
        case tree.Unary(_, "-", tree.Int() | tree.Float() as number):
            return -number.value
        case tree.List(_, items):
            return tuple(_literal(item) for item in items)
        case _:
            raise Failure(errors.not_a_literal(expr.span))
