"""``repc compile``: from a spec and a checkpoint to what is deployed, checked on the way."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from repc.cli import summary
from repc.cli.arguments import DTYPES, LEVELS, add_input, add_json, add_target, add_weights, choices
from repc.cli.build import write_certificate, writing
from repc.cli.inputs import kind_of
from repc.cli.recipe import Recipe
from repc.cli.screen import Say, Screen

if TYPE_CHECKING:
    from repc.driver import Fused
    from repc.verify import Report

EXAMPLES = """\
examples:
  repc compile repc:repvgg/RepVGG_A0 --weights repvgg_a0.pth -o build/a0
  repc compile net.rep:Net --weights net.safetensors --set classes=10 --target official --to torch
  repc compile repc:mlp/MLP --weights mlp.safetensors --adapter lora/ -o build/mlp
  repc compile net.rep:Net --size h=224 --size w=224 --dtype f16 --opset 20
  repc compile net.onnx -o build/net
  repc compile package.models:make --input x=f32[b,3,224,224] -o build/net

Writes model.onnx and certificate.json (onnx), model.py and model.safetensors (source), model.safetensors (weights),
model.pth (torch) and report.json into a folder, all of them or none.  Exit code 1, and nothing written, where the
target's expectations are missed or the folded form is not equivalent to the train form."""

KINDS = ("onnx", "torch", "source", "weights")
BY_BACKEND = {"onnx": ["onnx", "source"], "torch": ["torch", "source"], "source": ["source"]}

UNCERTIFIED = "the checker would have to run your code; compile a file of torch.export.save, .pt2, for a certificate"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser)
    add_weights(parser)
    add_target(parser)
    parser.add_argument("--to", metavar="KINDS", help="of onnx,torch,source,weights; by default what the target is for")
    parser.add_argument("-o", "--output", metavar="DIR", help="folder to write; by default build/MODEL")
    parser.add_argument(
        "--opset", type=int, metavar="N", help="ONNX opset; by default the target's or a file's own, else 18"
    )
    parser.add_argument("--dtype", choices=DTYPES, help="type of the deployed weights; by default f32, or a file's own")
    check = parser.add_mutually_exclusive_group()
    check.add_argument(
        "--verify",
        choices=(*LEVELS, "none"),
        default="certify",
        help="prove the fold, or look at sample inputs only",
    )
    check.add_argument("--no-verify", action="store_const", const="none", dest="verify", help="the same as none there")
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Fold, check, write; say what was done."""
    started = perf_counter()
    recipe = Recipe.of(args)
    wanted = choices(args.to, KINDS) if args.to else None
    with screen.progress() as say:
        fused, folding = fold(recipe, say)
        wanted = wanted or possible(BY_BACKEND[fused.target.backend], fused)
        missed = fused.missed()
        report = None
        if not missed and args.verify != "none":
            say("verifying", None)
            report = _verified(fused, args.verify, say)
        good = not missed and (report is None or bool(report))
        proved = fused.certificate(report) if good and report is not None and "onnx" in wanted else None
        code = proved is not None and kind_of(recipe.input) == "factory"
        record = {**summary.record(fused, report, missed), "uncertified": UNCERTIFIED if code else None}
        folder = Path(args.output or f"build/{recipe.label or fused.model.name}")
        if good:
            say("writing", None)
            with writing(folder, recipe, record) as staging:
                write(fused, wanted, staging)
                if proved and record["uncertified"] is None:
                    write_certificate(staging, proved, recipe)
    if args.json:
        screen.json(record)
    else:
        screen.result(summary.text(record, folding, screen))
        screen.result(_end(folder, record, missed, report, screen, perf_counter() - started))
    return 0 if good else 1


def fold(recipe: Recipe, say: Say) -> tuple[Fused, float]:
    """The folded model with its weights, and the seconds that folding took."""
    say(f"reading {recipe.input}", None)
    model = recipe.model()
    target = model.target(recipe.target)
    if recipe.opset is not None:
        target = replace(target, opset=recipe.opset)
    if recipe.weights or not model.own:
        say(f"reading {recipe.weights or 'initial weights'}", None)
    parameters = model.parameters(recipe.weights, recipe.container)
    say(f"folding {model.name}", None)
    started = perf_counter()
    fused = model.fuse(parameters, target, dtype=recipe.dtype)
    return fused, perf_counter() - started


def possible(kinds: list[str], fused: Fused) -> list[str]:
    """What can be written of a model with opaque operators: ONNX if they are from ONNX, torch if from torch."""
    found = [kind for kind in kinds if kind in fused.expressible]
    return found or list(fused.expressible[:1])


def write(fused: Fused, kinds: list[str], folder: Path) -> None:
    """The files of a build."""
    from repc.checkpoints import write as write_tensors

    if "onnx" in kinds:
        fused.save_onnx(folder / "model.onnx")
    if "source" in kinds:
        artifact = fused.source()
        (folder / "model.py").write_text(artifact.code, encoding="utf-8")
    if "source" in kinds or "weights" in kinds:
        write_tensors(folder / "model.safetensors", fused.state_dict(), fused.provenance())
    if "torch" in kinds:
        write_tensors(folder / "model.pth", fused.state_dict())


def _verified(fused: Fused, level: Literal["sample", "certify"], say: Say) -> Report:
    from repc.verify import Options

    return fused.verify(Options(level=level), lambda text, share: say(f"verifying: {text}", share))


def _end(
    folder: Path, record: summary.Record, missed: object, report: Report | None, screen: Screen, seconds: float
) -> str:
    if missed or (report is not None and not report):
        return summary.refusal(record, report, screen)
    return summary.written(folder, record, seconds)
