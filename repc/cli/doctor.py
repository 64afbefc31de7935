"""``repc doctor``: what repc runs on, and what of it is missing."""

from __future__ import annotations

import os
import platform
import shutil
from argparse import ArgumentParser, Namespace
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from repc.cli.arguments import add_json
from repc.cli.crash import versions
from repc.cli.screen import GREEN, RED, YELLOW, Screen

EXAMPLES = """\
examples:
  repc doctor
  repc doctor --json

Exit code 1 where something is missing that repc needs."""

COLOURS = {"ok": GREEN, "absent": YELLOW, "missing": RED}


@dataclass(frozen=True, eq=False)
class Finding:
    """One line: `state` is ok, absent (and not needed) or missing (and needed)."""

    what: str
    found: str
    state: str = "ok"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_json(parser)


def run(args: Namespace, screen: Screen) -> int:
    """Look at everything; 1 where something needed is missing."""
    findings = [Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    for name, version in versions().items():
        findings.append(Finding(name, version or "not installed", "ok" if version else "missing"))
    if not any(f.state == "missing" for f in findings):
        findings += _runtimes()
    findings.append(_tool("dot", "graphviz; not needed: draws what `repc show --dot` prints"))
    if args.json:
        screen.json([asdict(finding) for finding in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for f in findings:
            screen.result(f"  {f.what:<{width}}  {screen.paint(f'{f.state:<7}', COLOURS[f.state])}  {f.found}")
    return 1 if any(f.state == "missing" for f in findings) else 0


def _runtimes() -> list[Finding]:
    import onnx
    import torch

    onnxruntime: Any = import_module("onnxruntime")  # it has no types
    return [
        Finding("ONNX opset", f"up to {onnx.defs.onnx_opset_version()}"),
        Finding("ORT providers", ", ".join(onnxruntime.get_available_providers())),
        Finding("torch devices", "cpu" + (", cuda" if torch.cuda.is_available() else "")),
        Finding("threads", f"torch {torch.get_num_threads()}, cores {os.cpu_count()}"),
    ]


def _tool(name: str, use: str) -> Finding:
    place = shutil.which(name)
    return Finding(name, place or use, "ok" if place else "absent")
