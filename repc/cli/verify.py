"""``repc verify``: is what is deployed what was trained?"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from repc.cli import errors
from repc.cli.arguments import DTYPES, LEVELS, add_input, add_json, add_target, add_weights, choices
from repc.cli.build import CERTIFICATE, Build, as_compiled
from repc.cli.compile import fold
from repc.cli.layout import row
from repc.cli.recipe import Recipe
from repc.cli.screen import GREEN, RED, Screen
from repc.diagnostics import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from repc.driver import Fused
    from repc.verify import Options, Report

EXAMPLES = """\
examples:
  repc verify build/a0
  repc verify repc:repvgg/RepVGG_A0 --weights repvgg_a0.pth --inputs 16
  repc verify build/a0 --against ort --json
  repc verify build/a0/certificate.json --level sample
  repc verify net.onnx
  repc verify repc:repvgg/RepVGG_A0 --weights repvgg_a0.pth --artifact other.onnx

A folder that compile wrote, or its certificate, is checked as it lies there, against its spec and checkpoint.  A file
that something else made is proved to be the model where its weights and values can be told, else it is compared.
Exit code 0 where all is equivalent, 1 where not."""

AGAINST = ("ort", "torch")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_input(parser, folder=True)
    add_weights(parser)
    add_target(parser)
    parser.add_argument("--dtype", choices=DTYPES, help="type of the deployed weights; by default f32, or a file's own")
    parser.add_argument("--against", metavar="RUNTIMES", default="ort,torch", help="of ort,torch; by default both")
    parser.add_argument(
        "--level", choices=LEVELS, default="certify", help="prove the fold, or compare on sample inputs only"
    )
    parser.add_argument("--artifact", metavar="FILE", help="an ONNX file of the same model, whoever made it")
    parser.add_argument("--inputs", type=int, default=8, metavar="N", help="how many inputs; by default 8")
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Compare; 0 where everything is equal enough."""
    from repc.verify import Options

    against = choices(args.against, AGAINST)
    folder = Path(args.input)
    folder = folder.parent if folder.name == CERTIFICATE else folder
    build = as_compiled(args, folder, dtype=args.dtype) if folder.is_dir() else None
    changed = build.changed() if build else []
    if changed:
        return _refuse(folder, changed, args.json, screen)
    with screen.progress() as say:
        fused, _ = fold(build.recipe if build else Recipe.of(args), say)
        if build:
            _check_weights(build, fused)
        say("verifying", None)
        options = Options(level=args.level, samples=args.inputs)

        def told(text: str, share: float) -> None:
            say(f"verifying: {text}", share)

        if args.artifact:
            report = fused.verify_file(args.artifact, options, told)
        else:
            report = _compare(fused, build, against, options, told)
    if args.json:
        screen.json(report.to_dict())
    else:
        screen.result(_painted(report, screen))
        if build and not args.artifact:
            screen.result("".join(_checker(build)))
    return 0 if report else 1


def _checker(build: Build) -> Iterator[str]:
    """How somebody else checks the certificate of the folder, if there is one."""
    if build.file(CERTIFICATE):
        options = {"spec": build.recipe.input, "weights": build.recipe.weights, "container": build.recipe.container}
        options |= {"adapter": build.recipe.adapter, "artifact": str(build.folder / "model.onnx")}
        words = [f"--{name} {value}" for name, value in options.items() if value]
        yield f"  Re-check independently: python -m repc.checker {build.folder / CERTIFICATE} {' '.join(words)}"


def _refuse(folder: Path, changed: list[str], json: bool, screen: Screen) -> int:
    """Files that are not what was written: nothing can be said about them."""
    if json:
        screen.json({"equivalent": False, "changed": changed})
    else:
        names = ", ".join(changed)
        screen.result(row("Changed", f"{names} of {folder}: not what repc compile wrote\ncompile it again"))
        screen.result(f"\n  {screen.paint('NOT EQUIVALENT', RED)}")
    return 1


def _check_weights(build: Build, fused: Fused) -> None:
    """The checkpoint must be the one that the folder was made from."""
    if fused.provenance()["repc.weights.sha256"] != build.report["weights"]["sha256"]:
        raise Failure(errors.other_weights(fused.parameters.source, build.folder))


def _compare(
    fused: Fused, build: Build | None, against: list[str], options: Options, say: Callable[[str, float], None]
) -> Report:
    from repc.checkpoints import read as read_tensors

    file = build.file("model.onnx") if build else None
    stored = build.file("model.safetensors") if build else None
    return fused.verify(
        options,
        say,
        file=file,
        tensors=dict(read_tensors(stored)) if stored else None,
        against=tuple(against),
    )


def _painted(report: Report, screen: Screen) -> str:
    return str(report).replace(report.verdict, screen.paint(report.verdict, GREEN if report else RED))
