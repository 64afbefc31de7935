"""The forward pass of a graph as the text of one Python function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from repc.backends.torch.plan import Key, Plan
from repc.backends.torch.program import Step, steps, write
from repc.backends.torch.text import variable
from repc.ir.dims import free_dimension
from repc.ir.graph import Graph


def forward_text(plan: Plan, training: bool, function: str = "forward") -> str:
    """``forward(self, inputs)`` in straight lines, or a function of another name."""
    graph = plan.graph
    names: dict[Key, str] = {id: variable(name) for name, id in graph.inputs.items()}
    body = list(steps(plan, training))
    lines, results = write(body, names, list(graph.outputs.values()), plan.root.reference, free=True)
    prologue = [
        f"check(self, self._program.ports, [{', '.join(names.values())}])",
        *size_lines(graph, body, names),
        *like_lines(plan, lines),
    ]
    text = "\n    ".join([*prologue, *lines, f"return {result_text(graph, results)}"])
    return f"def {function}({', '.join(['self', *names.values()])}):\n    {text}\n"


def size_lines(graph: Graph, body: Sequence[Step], names: Mapping[Key, str]) -> list[str]:
    """Lines that read off the inputs the free dimensions that the steps need."""
    places = {
        free_dimension(dim): f"{names[id]}.shape[{axis}]"
        for id in reversed(graph.inputs.values())
        for axis, dim in enumerate(graph[id].type.shape)
    }
    return [f"{variable(free)} = {places[free]}" for free in sorted({free for step in body for free in step.sizes})]


def like_lines(plan: Plan, lines: Sequence[str]) -> list[str]:
    """A line that names the tensor whose element type and device constants take, where there are constants."""
    if not any("like." in line for line in lines):
        return []
    stored = [tensor.name for tensor in plan.stored.values() if tensor.type.dtype == "f32"]
    given = [name for name, id in plan.graph.inputs.items() if plan.graph[id].type.dtype == "f32"]
    if stored:
        return [f"like = {plan.root.reference(stored[0])}"]
    return [f"like = {variable(given[0]) if given else 'torch.empty(())'}"]


def result_text(graph: Graph, results: Sequence[str]) -> str:
    """One output is returned as it is, several by their names."""
    if len(results) == 1:
        return results[0]
    named = zip(graph.outputs, results, strict=True)
    return "{" + ", ".join(f'"{name}": {result}' for name, result in named) + "}"
