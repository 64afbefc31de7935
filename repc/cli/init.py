"""``repc init``: a small spec to start from, which checks and compiles as it is."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from pathlib import Path

from repc.cli import errors
from repc.cli.screen import Screen
from repc.diagnostics import Failure, Source

EXAMPLES = """\
examples:
  repc init MyBlock
  repc init MyNet --template model
  repc init MyTuning --template adapter -o tuned.rep"""

BLOCK = """\
repc 1

import std.conv

# What you train: a 3x3 convolution, a 1x1 convolution and the identity, each with its own norm.
# What you deploy: one 3x3 convolution.  `as fused` is what that is called.
block {name}<co, stride = 1>(x: [b, ci, h, w]) =
  sum as fused {{
      dense: x >> conv: Conv(co, 3, stride=stride, pad=1, bias=false) >> bn: BatchNorm()
    | point: x >> conv: Conv(co, 1, stride=stride, bias=false) >> bn: BatchNorm()
    | identity: x >> BatchNorm() when stride == 1 and ci == co
  }} >> ReLU()

# A model gives the inputs types, so that the block can be compiled alone.
model {name}Alone<co = 16>(x: f32[b, 16, h, w]) =
  x >> block: {name}(co)

# `expect` makes a fold that is not complete an error.
target deploy = onnx of {name}Alone {{
  expect {{ Conv == 1 BatchNormalization == 0 Add == 0 }}
}}
"""

MODEL = """\
repc 1

import std.conv

block ConvBN<co, stride = 1>(x: [b, ci, h, w]) =
  x
    >> conv: Conv(co, 3, stride=stride, pad=1, bias=false)
    >> bn: BatchNorm()
    >> ReLU()

# Labels name parameters: this network has the keys stem.conv.weight, body.0.conv.weight, ….
model {name}<classes = 10, width = [16, 32, 64]>(image: f32[b, 3, h, w]) =
  image
    >> stem: ConvBN(width[0])
    >> body: repeat i in 1..len(width) {{ ConvBN(width[i], stride=2) }}
    >> GlobalAvgPool()
    >> head: Linear(classes)

target deploy = onnx of {name} {{
  opset = 18
  expect {{ BatchNormalization == 0 }}
}}
"""

ADAPTER = """\
repc 1

import adapters.lora
import models.mlp

# A low-rank update of a weight.  Like every block it is a function; here of a weight instead of an activation.
block Update<r = 4, alpha = 8>(W: [o, i]) {{
  weight A: [r, i] = kaiming_uniform(a=sqrt(5))
  weight B: [o, r] = zeros
  return W + (alpha / r) * (B @ A)
}}

# The base does not know that it is adapted.  `expect` says how many places the pattern means.
adapt MLP as {name} {{
  at block.fc*.weight expect 2 use update: Update(r=4)
}}

# The update is computed once: what is deployed is the base network with other weights.
target deploy = onnx of {name} {{}}
"""

TEMPLATES = {"block": BLOCK, "model": MODEL, "adapter": ADAPTER}
NAME = re.compile(r"[A-Z]\w*", re.ASCII)


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="what the block, model or adapted model is called")
    parser.add_argument("--template", choices=tuple(TEMPLATES), default="block", help="what to start from")
    parser.add_argument("-o", "--output", metavar="FILE", help="by default NAME.rep in small letters")


def run(args: Namespace, screen: Screen) -> int:
    """Write the file, unless it is there."""
    from repc.ir.files import write_whole
    from repc.syntax.printer import format_text

    if not NAME.fullmatch(args.name):
        raise Failure(errors.bad_name(args.name))
    path = Path(args.output or f"{args.name.lower()}.rep")
    if path.exists():
        raise Failure(errors.already_there(path))
    text = TEMPLATES[args.template].format(name=args.name)
    write_whole(path, format_text(Source(str(path), text)).encode())
    screen.result(f"wrote {path}")
    screen.remark(f"Next: repc check {path} · repc compile {path}")
    return 0
