"""Where nodes of a file are, for people: a path in the network, and a line of a listing of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

import onnx

from repc.diagnostics import Source, Span

STACK, SCOPES = "pkg.torch.onnx.stack_trace", "pkg.torch.onnx.name_scopes"
KEY = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
"""What a key of a state_dict looks like, as exporters keep it: ``layer1.0.conv.weight``."""
LAST_CALL = re.compile(r'File "([^"]+)", line (\d+)')


def listing(name: str, nodes: Sequence[onnx.NodeProto]) -> tuple[Source, list[Span]]:
    """A text with a line for each node: its results, operator, operands and author; and the place of each line."""
    lines = [_line(node) for node in nodes]
    source = Source(name, "\n".join(lines))
    spans: list[Span] = []
    start = 0
    for line in lines:
        spans.append(Span(source, start, start + len(line)))
        start += len(line) + 1
    return source, spans


def _line(node: onnx.NodeProto) -> str:
    call = f"{', '.join(node.output)} = {node.op_type}({', '.join(node.input)})"
    calls = LAST_CALL.findall(metadata(node).get(STACK, ""))
    remarks = [part for part in (node.name, *(f"{file}:{line}" for file, line in calls[-1:])) if part]
    return (f"{call}  # {' '.join(remarks)}" if remarks else call).replace("\n", " ")


def metadata(node: onnx.NodeProto) -> dict[str, str]:
    """What an exporter noted about a node."""
    return {entry.key: entry.value for entry in node.metadata_props}


def path_of(node: onnx.NodeProto, weights: Sequence[str]) -> str:
    """Where a node is in the network: with its weights, in the scope that its exporter noted, or by its name."""
    owners = {name.rpartition(".")[0] for name in weights if KEY.fullmatch(name)}
    if len(owners) == 1:
        return owners.pop()
    scopes = re.findall(r"'([^']*)'", metadata(node).get(SCOPES, ""))
    if len(scopes) > 1:
        return scopes[-2]
    scope, slash, _ = node.name.rpartition("/")
    if slash:
        return _dotted([part for part in scope.split("/") if part])
    return node.name or next(filter(None, node.output), "")


def _dotted(scopes: Sequence[str]) -> str:
    """``/layer1/layer1.0/conv`` as the path ``layer1.0.conv``: a list's name is in those of its elements."""
    kept = [a for a, b in pairwise([*scopes, ""]) if not b.startswith(f"{a}.")]
    return ".".join(kept)
