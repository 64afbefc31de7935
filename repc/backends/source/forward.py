"""The `forward` of every module that has one."""

from __future__ import annotations

from collections.abc import Sequence

from repc.backends.source.regions import Region, Regions
from repc.backends.torch.forward import like_lines, result_text, size_lines
from repc.backends.torch.plan import Key, Plan
from repc.backends.torch.program import write
from repc.backends.torch.text import variable
from repc.backends.torch.tree import Branch


def forward(plan: Plan, divided: Regions, branch: Branch) -> tuple[str, ...]:
    """The method of a module, its first line and its body, or nothing where another module runs its steps."""
    region = divided.by_path.get(branch.path)
    if region is None:
        return ()
    return _of_network(plan, region) if region.branch is plan.root else _of_module(plan, region)


def _of_network(plan: Plan, region: Region) -> tuple[str, ...]:
    graph = plan.graph
    names: dict[Key, str] = {id: variable(name) for name, id in graph.inputs.items()}
    lines, results = write(region.steps, names, list(graph.outputs.values()), plan.root.reference, free=False)
    lines = [*size_lines(graph, region.steps, names), *like_lines(plan, lines), *lines]
    kind = "Tensor" if len(results) == 1 else "dict[str, Tensor]"
    return _method(list(names.values()), (), kind, lines, result_text(graph, results))


def _of_module(plan: Plan, region: Region) -> tuple[str, ...]:
    names, prefix = _argument_names(region), f"{region.branch.path}."

    def reference(path: str) -> str:
        return region.branch.reference(path.removeprefix(prefix))

    lines, results = write(region.steps, names, region.results, reference, free=False)
    if any("like." in line for line in lines):
        given = [names[key] for key in region.reads if plan.type_of(key).dtype == "f32"]
        lines = [f"like = {given[0] if given else 'torch.empty(())'}", *lines]
    kind = "Tensor" if len(results) == 1 else f"tuple[{', '.join(['Tensor'] * len(results))}]"
    return _method(list(names.values()), region.sizes, kind, lines, ", ".join(results))


def _argument_names(region: Region) -> dict[Key, str]:
    """A module calls its only operand x, more of them x0, x1, …, and tensors of other modules w0, w1, …."""
    values = [key for key in region.reads if not isinstance(key, str)]
    tensors = [key for key in region.reads if isinstance(key, str)]
    names: dict[Key, str] = {key: f"x{i}" if len(values) > 1 else "x" for i, key in enumerate(values)}
    names.update({key: f"w{i}" for i, key in enumerate(tensors)})
    return {key: names[key] for key in region.reads}


def _method(
    inputs: Sequence[str], sizes: Sequence[str], kind: str, lines: Sequence[str], result: str
) -> tuple[str, ...]:
    """What is named and returned at once is returned without a name."""
    arguments = ["self", *(f"{name}: Tensor" for name in inputs), *(f"{variable(size)}: int" for size in sizes)]
    head = f"def forward({', '.join(arguments)}) -> {kind}:"
    if lines and lines[-1].startswith(f"{result} = "):
        return (head, *lines[:-1], f"return {lines[-1].removeprefix(f'{result} = ')}")
    return (head, *lines, f"return {result}")
