"""``repc expand``: deployed operators as blocks to train on, with the same function."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from repc.cli import errors
from repc.cli.arguments import add_input, add_json, add_target, add_weights, settings
from repc.cli.build import as_compiled
from repc.cli.layout import listed, plural, row, size
from repc.cli.recipe import Recipe
from repc.cli.screen import GREEN, Screen
from repc.diagnostics import Failure

if TYPE_CHECKING:
    from repc.backends.spec import Lifted
    from repc.driver import Expanded
    from repc.verify import Proof

EXAMPLES = """\
examples:
  repc expand deployed.onnx --site 'layer1.*.conv1' --as repvgg -o train.rep
  repc expand build/a0 --site 'stage4.**' --as dbb -o train.rep
  repc expand net.rep:Net --weights net.safetensors --site body.conv --as mine.rep:Block --with branches=3 -o train.rep
  repc expand net.onnx --site body.1 --as wider --with channels=96 -o train.rep

WHAT is repvgg, mobileone, acnet, dbb, orepa, zero (a branch that starts as zero); identity (a layer behind that starts
as one), deeper (that and a relu), wider (more channels); or a block of a spec, FILE.rep:BLOCK or repc:FILE/BLOCK.  A
block takes co, k, stride, pad, dilation and groups from the operator, where it has parameters of these names.

The model is folded first, and --site names operators of the folded form.  Weights are drawn as the block says, but for
one kernel and one bias, which make up for the rest.  The whole is proved to compute the same and written as a spec with
a checkpoint beside it.  It is equal in evaluation mode: in training, batch norms use the statistics of the batch."""

DTYPES = ("f32", "f64")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser, folder=True)
    add_weights(parser)
    add_target(parser)
    parser.add_argument("--site", metavar="PATTERN", required=True, help="path of what is expanded, * and ** allowed")
    parser.add_argument("--as", metavar="WHAT", required=True, dest="into", help="what it becomes")
    parser.add_argument(
        "--with", metavar="NAME=VALUE", action="append", default=[], dest="given", help="set a parameter of WHAT"
    )
    parser.add_argument("--seed", type=int, metavar="N", default=0, help="of the weights that are drawn; by default 0")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="type of the checkpoint; by default f32")
    parser.add_argument("-o", "--output", metavar="FILE.rep", required=True, help="the spec to write")
    parser.add_argument("--force", action="store_true", help="replace files that are there")
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Fold, expand, prove, write."""
    from repc.checkpoints import write
    from repc.evaluate.dtypes import DTYPES as TORCH
    from repc.ir.files import write_whole

    output = Path(args.output)
    weights = output.with_suffix(".safetensors")
    folder = Path(args.input)
    recipe = as_compiled(args, folder).recipe if folder.is_dir() else Recipe.of(args)
    with screen.progress() as say:
        there = [errors.already_there(path, force=True) for path in (output, weights) if path.exists()]
        if there and not args.force:
            raise Failure(there)
        say(f"reading {args.input}", None)
        model = recipe.model()
        fused = model.fuse(model.parameters(recipe.weights, recipe.container), recipe.target, dtype=recipe.dtype)
        say(f"expanding {args.site}", None)
        given = settings(args.given, "--with branches=3")
        found = fused.expand(args.site, args.into, seed=args.seed, **given)
        proof = found.prove(lambda text, share: say(f"proving: {text}", share))
        lifted = found.model.lift()
        if proof:
            say("writing", None)
            dtype = TORCH[args.dtype]
            tensors = {path: t.to(dtype) if t.is_floating_point() else t for path, t in lifted.parameters.items()}
            write(weights, tensors)
            write_whole(output, lifted.text.encode())
    if args.json:
        screen.json(_record(found, proof, output, weights))
    else:
        screen.result(_text(args.into, found, proof, lifted, screen))
        if proof:
            screen.result(row("Wrote", f"{output} · {plural(lifted.lines, 'line')}\n{_sized(weights)}"))
            screen.remark(f"Next: repc verify {output} --weights {weights}")
    return 0 if proof else 1


def _record(found: Expanded, proof: Proof, output: Path, weights: Path) -> dict[str, Any]:
    return {
        "sites": [{"path": path, "operators": count} for path, count in found.sites.items()],
        "left_out": list(found.left),
        "equal": proof.equal,
        "segments": len(proof.segments),
        "miss": proof.miss,
        "spec": str(output) if proof else None,
        "weights": str(weights) if proof else None,
    }


def _text(into: str, found: Expanded, proof: Proof, lifted: Lifted, screen: Screen) -> str:
    sites = [f"{path} 1 -> {count}" for path, count in found.sites.items()]
    rows = [row("Expanded", f"{plural(len(sites), 'operator')} as {into}: {listed(sites)}")]
    if found.left:
        rows.append(row("Left out", f"{listed(found.left)} at the end of the block, which the network has itself"))
    if found.model.own is not None:
        rows.append(row("Weights", f"{plural(len(lifted.parameters), 'tensor')}, of which folding makes the old ones"))
    from repc.evaluate.proof import CHANCE

    wrong = proof.first_wrong
    if wrong is not None:
        rows.append(row("Proved", f"no: {wrong[0].label}: {wrong[1].reason}"))
    else:
        count = plural(len(proof.segments), "segment")
        rows.append(row("Proved", f"{screen.paint('the same function', GREEN)} · {count}, P(miss) < {CHANCE:.0e}"))
    return "\n".join(rows)


def _sized(path: Path) -> str:
    return f"{path} · {size(path.stat().st_size)}"
