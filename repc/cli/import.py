"""``repc import``: a model that another tool wrote as a spec to read and to change."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from repc.cli import errors
from repc.cli.arguments import add_input
from repc.cli.layout import listed, plural, row, size
from repc.cli.recipe import Recipe
from repc.cli.screen import Screen
from repc.diagnostics import Failure

if TYPE_CHECKING:
    from repc.backends.spec import Lifted
    from repc.driver import Model

EXAMPLES = """\
examples:
  repc import resnet.onnx -o resnet.rep
  repc import exported.pt2 -o net.rep --force
  repc import mynets:build --input x=f32[b,3,224,224] -o net.rep
  repc import repc:repvgg/RepVGG_A0 -o a0.rep

Blocks have the names of the classes, labels are the keys of the state_dict, equal modules are one block, and runs of
them a `repeat`.  What is written is elaborated and compared with the model.  The weights of a model that brings some
are written beside the spec, with the suffix .safetensors."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser)
    parser.add_argument("-o", "--output", metavar="FILE.rep", required=True, help="the spec to write")
    parser.add_argument("--force", action="store_true", help="replace files that are there")


def run(args: Namespace, screen: Screen) -> int:
    """Write the spec, and the weights where the model has some."""
    from repc.checkpoints import write
    from repc.ir.files import write_whole

    output = Path(args.output)
    weights = output.with_suffix(".safetensors")
    with screen.progress() as say:
        say(f"reading {args.input}", None)
        model = Recipe.of(args).model()
        written = [output, weights] if model.own else [output]
        there = [errors.already_there(path, force=True) for path in written if path.exists()]
        if there and not args.force:
            raise Failure(there)
        say(f"lifting {model.name}", None)
        lifted = model.lift()
        say("writing", None)
        if model.own:
            write(weights, lifted.parameters)
        write_whole(output, lifted.text.encode())
    screen.result(_text(model, lifted, output, weights))
    command = f"repc compile {output} --weights {weights}" if model.own else f"repc compile {output}"
    screen.remark(f"Next: repc check {output} · {command}")
    return 0


def _text(model: Model, lifted: Lifted, output: Path, weights: Path) -> str:
    """What was made of the model."""
    from repc.ops.opaque import opaque_names

    counts = [plural(lifted.lines, "line"), plural(lifted.blocks, "block"), plural(lifted.repeats, "repeat")]
    rows = [row("Model", f"{lifted.graph.name} · {plural(len(lifted.graph), 'node')}")]
    rows.append(row("Spec", f"{output} · {' · '.join(counts)}"))
    opaque = Counter(opaque_names(lifted.graph).values())
    if opaque:
        calls = [name if count == 1 else f"{name} {count}" for name, count in opaque.most_common()]
        rows.append(row("Opaque", f"{plural(lifted.opaque, 'call')} as in the original: {listed(calls)}"))
    if model.own:
        constants = model.own.constants
        besides = f" · {plural(len(constants), 'constant')} that no state_dict holds" if constants else ""
        tensors = plural(len(lifted.parameters), "tensor")
        rows.append(row("Weights", f"{weights} · {tensors} · {size(weights.stat().st_size)}{besides}"))
        rows += [row("Note", note) for note in model.own.notes]
    return "\n".join([*rows, row("Checked", "the spec means the same graph")])
