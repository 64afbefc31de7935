"""``repc merge``: adapters into the checkpoint that they were trained on, of any size, without a spec."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from time import perf_counter
from typing import TYPE_CHECKING

from repc.cli import errors
from repc.cli.arguments import add_json, settings
from repc.cli.layout import row, size, table
from repc.cli.screen import YELLOW, Screen
from repc.diagnostics import Failure

if TYPE_CHECKING:
    from repc.merging import MergeReport

EXAMPLES = """\
examples:
  repc merge llama/ lora/ -o merged/
  repc merge base.safetensors style.safetensors subject/ -o merged.safetensors
  repc merge llama/ lora/ --dry-run
  repc merge gpt2/ lora/ --tied untie --arithmetic f64 -o merged/
  repc merge base/ math/ code/ --with repc:ties --set density=0.2 -o merged/

BASE is a .safetensors file, a torch file, or a folder with model.safetensors or shards and their index, whose
configuration and tokenizer go along.  ADAPTER is a folder that PEFT's save_pretrained wrote, or a file of kohya's
scripts or of LyCORIS; several are all active.
With --with they are whole models, combined by repc:task, soup, ties, dare, della, breadcrumbs, slerp or your own.
The base is never in memory as a whole: tensors are read, computed and written by rows.  A merge that was killed goes on
where it was when the same command is run again; until then .OUT.part, beside OUT, keeps what is finished.  The hashes
of what went in and came out, as of xxh128sum, and the expression of every tensor that changed, are written beside the
weights; --hash sha256 takes those that hubs show."""

SIZE = re.compile(r"(\d+)([KMG]?)")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("base", metavar="BASE", help="checkpoint: FILE.safetensors, FILE.pt, or a folder")
    parser.add_argument(
        "adapters",
        metavar="ADAPTER",
        nargs="+",
        help="folder that PEFT's save_pretrained wrote, file of kohya's or LyCORIS, or a model",
    )
    parser.add_argument("--with", metavar="SPEC", dest="method", help="combine models: repc:ties, FILE.rep:BLOCK")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="set a parameter of it")
    parser.add_argument(
        "--buffers", choices=("keep", "average"), help="what becomes of running statistics when models are combined"
    )
    parser.add_argument("-o", "--output", metavar="OUT", help="what to write: a folder, or FILE.safetensors of a file")
    parser.add_argument("--dry-run", action="store_true", help="say what would change, from headers alone")
    parser.add_argument("--force", action="store_true", help="replace OUT where it exists")
    parser.add_argument(
        "--arithmetic", choices=("f32", "f64"), default="f32", help="what is computed in before the one rounding"
    )
    parser.add_argument("--compat", action="store_true", help="PEFT's own arithmetic where it is not the mathematics")
    parser.add_argument(
        "--tied", choices=("untie", "share"), help="what becomes of two tensors that are one when one changes"
    )
    parser.add_argument(
        "--base-precision",
        choices=("trained", "full"),
        help="for adapters of a quantised base: merge into what quantisation leaves of the weights, or into these",
    )
    parser.add_argument("--quantised", choices=("nf4", "int8"), help="how that base was quantised; by default nf4")
    parser.add_argument("--memory", metavar="SIZE", help="what tensors in work may use, as in 400M; by default 512M")
    parser.add_argument("--threads", type=int, metavar="N", help="threads that compute; by default all cores")
    parser.add_argument("--measure-all", action="store_true", help="measure rounding on all rows, not on 1 in 64")
    parser.add_argument(
        "--hash",
        choices=("xxh128", "sha256", "none"),
        default="xxh128",
        help="how the manifest hashes the files; with none a merge that was killed begins anew",
    )
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Merge, and say what was done."""
    from repc.merging import Options, combining, merge_files, planning

    if args.output is None and not args.dry_run:
        raise Failure(errors.no_output())
    _check_options(args)
    options = Options(
        arithmetic=args.arithmetic,
        tied=args.tied,
        memory=None if args.memory is None else _bytes(args.memory),
        threads=args.threads,
        hash=None if args.hash == "none" else args.hash,
        force=args.force,
        **({"every": 1} if args.measure_all else {}),
    )
    planner = (
        planning(
            args.adapters,
            compat=args.compat,
            base_precision=args.base_precision,
            quantised=args.quantised or "nf4",
        )
        if args.method is None
        else combining(args.adapters, args.method, settings(args.set), args.buffers)
    )
    started = perf_counter()
    out = None if args.dry_run else args.output
    with screen.progress() as say:
        report = merge_files(args.base, planner, out, options, say)
    if args.json:
        screen.json(report.to_dict())
        return 0
    if args.dry_run:
        screen.result(_changes(report) + "\n\n")
    screen.result("\n".join(row(label, text) for label, text in _summary(report, screen)))
    if out is not None:
        screen.result(f"\n  Done in {perf_counter() - started:.1f} s.")
    return 0


def _check_options(args: Namespace) -> None:
    """Nothing that is said is passed over."""
    if args.threads is not None and args.threads < 1:
        raise Failure(errors.not_positive("--threads", args.threads))
    for names, wanted, idle in (
        (("set", "buffers"), "without --with", args.method is None),
        (("compat", "base_precision", "quantised", "tied"), "on models that --with combines", args.method is not None),
        (("quantised",), "without --base-precision", args.base_precision is None),
    ):
        said = [f"--{name.replace('_', '-')}" for name in names if getattr(args, name)]
        if idle and said:
            raise Failure(errors.idle_options(said, wanted))


def _bytes(text: str) -> int:
    found = SIZE.fullmatch(text.upper().removesuffix("B"))
    if found is None or int(found[1]) == 0:
        raise Failure(errors.not_a_size(text))
    return int(found[1]) * UNITS[found[2]]


def _changes(report: MergeReport) -> str:
    rows = [("tensor", "type", "new value")]
    for key, change in report.changes.items():
        first, *more = change.expression.split("\n")
        shape = f"{change.dtype} {list(change.shape)}"
        rows.append((key, shape, first + (" …" if more else "")))
    return table(rows, "<<<")


def _summary(report: MergeReport, screen: Screen) -> Iterator[tuple[str, str]]:
    for label, text in report.summary():
        yield label, screen.paint(text, YELLOW) if label == "Warning" else text
    if report.out is not None:
        width = max(len(name) for name, _ in report.written())
        yield "Wrote", "\n".join(f"{name:<{width}}   {size(count):>7}" for name, count in report.written())
