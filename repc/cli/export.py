"""``repc export``: the ONNX file alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from repc.cli.arguments import DTYPES, add_input, add_target, add_weights
from repc.cli.compile import fold
from repc.cli.layout import row, size
from repc.cli.recipe import Recipe
from repc.cli.screen import Screen

EXAMPLES = """\
examples:
  repc export repc:repvgg/RepVGG_A0 --weights repvgg_a0.pth -o a0.onnx
  repc export net.rep:Net --weights net.safetensors --opset 20 --dtype f16 -o net.onnx
  repc export net.rep:Net --train-form -o before.onnx
  repc export train.onnx -o folded.onnx

Folds and writes, and checks nothing: `repc compile` does.  Weights beyond 2 GB go into a file beside it."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser)
    add_weights(parser)
    add_target(parser)
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the file to write")
    parser.add_argument(
        "--opset", type=int, metavar="N", help="ONNX opset; by default the target's or a file's own, else 18"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="type of the weights; by default f32, or a file's own")
    parser.add_argument("--train-form", action="store_true", help="every branch apart, in evaluation mode")


def run(args: Namespace, screen: Screen) -> int:
    """Write the file."""
    with screen.progress() as say:
        fused, _ = fold(Recipe.of(args), say)
        if args.train_form:
            fused = fused.unfolded()
        say("writing", None)
        written = fused.save_onnx(args.output)
    lines = [f"{path}   {size(Path(path).stat().st_size)}" for path in written]
    screen.result(row("Wrote", "\n".join(lines)))
    return 0
