"""A fused graph as a file of Python that needs nothing but torch, and the tensors that belong to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from repc.backends.source.classes import Classes, ModuleClass, unused
from repc.backends.source.forward import forward
from repc.backends.source.layout import layout
from repc.backends.source.parts import Part, TensorPart, sizes
from repc.backends.source.regions import regions
from repc.backends.torch.plan import inference_plan
from repc.backends.torch.program import label_of
from repc.backends.torch.text import RESERVED, literal, variable
from repc.backends.torch.tree import plain
from repc.evaluate.dtypes import DTYPES
from repc.ir.dims import evaluate
from repc.ir.graph import Graph
from repc.ops.work import nominal_sizes


@dataclass(frozen=True, slots=True, eq=False)
class SourceArtifact:
    """`code` is the text of the file; its `load` reads `tensors` from a safetensors file beside it."""

    code: str
    tensors: Mapping[str, Tensor]


def emit(
    graph: Graph, values: Mapping[str, Tensor], *, provenance: Sequence[str] = (), weights: str = "model.safetensors"
) -> SourceArtifact:
    """Print a graph as classes of `torch.nn`.

    `values` are the stored tensors by name, `provenance` lines of a comment at the top, `weights` the name of the file
    of tensors.  The module computes bit for bit what the inference module does and has the keys of its state_dict; the
    same arguments give the same text.  Raises `Failure` where a name cannot be one of a torch module.
    """
    plan = inference_plan(graph)
    divided = regions(plan)
    classes = Classes(divided, partial(forward, plan, divided))
    root = classes.module(plan.root).module
    _name_classes(list(classes.found.values()), root, graph.name)
    tensors = {name: values[name] for name in plan.stored}
    body = [line for module in classes.found.values() for line in _class(module, _summary(module, graph))]
    body += [*_load(root.name), *_main(graph, tensors)]
    code = [
        *(f"# {line}".rstrip() for text in provenance for line in text.splitlines()),
        *_imports(root.name, weights, body),
        *body,
    ]
    return SourceArtifact("\n".join(code) + "\n", tensors)


def _name_classes(classes: Sequence[ModuleClass], root: ModuleClass, title: str) -> None:
    """Name classes for the last labels of their modules."""
    root.name = variable(title)
    taken = {root.name, *RESERVED}
    for module in classes:
        if module is not root:
            words = _common_words([label_of(path) for path in module.paths])
            if any(path.rpartition(".")[2].isdigit() for path in module.paths):
                words = _one_of(words)
            name = "".join(word[:1].upper() + word[1:] for word in words)
            module.name = unused(variable(name or "Block"), taken)
            taken.add(module.name)


def _one_of(words: Sequence[str]) -> list[str]:
    """The name of a module in a list: one of `layers` is a layer, one of `stage3` a stage block."""
    if words[-1].endswith("s") and not words[-1].endswith("ss"):
        return [*words[:-1], words[-1].removesuffix("s")]
    return [*words, "block"]


def _common_words(labels: Sequence[str]) -> list[str]:
    """The words that all labels begin with, without numbers behind them; the first label's where there are none."""
    first, *others = (label.rstrip("0123456789").rstrip("_").split("_") for label in dict.fromkeys(labels))
    shared = [word for i, word in enumerate(first) if all(other[i : i + 1] == [word] for other in others)]
    return shared or first


def _summary(module: ModuleClass, graph: Graph) -> str:
    """The types of the network, or the paths of the modules that share a class."""
    if module.paths == [""]:
        given = ", ".join(f"{name}: {graph[id].type}" for name, id in graph.inputs.items())
        return f"{given} -> {', '.join(f'{name}: {graph[id].type}' for name, id in graph.outputs.items())}"
    shown = ", ".join(module.paths[:3])
    return f"{shown} and {len(module.paths) - 3} more." if len(module.paths) > 3 else f"{shown}."


def _class(module: ModuleClass, docstring: str) -> Iterator[str]:
    parameters = ["self", *(f"{name}: {type}" for name, type in module.annotations.items())]
    arguments = module.arguments()
    members = [_member(name, part, part.construct(arguments)) for name, part in module.members]
    yield from ("", "", f"class {module.name}(nn.Module):", f'    """{docstring}"""')
    yield from _method(f"def __init__({', '.join(parameters)}) -> None:", "super().__init__()", *members)
    if module.forward:
        yield from _method(*module.forward)


def _method(head: str, *body: str) -> Iterator[str]:
    yield ""
    yield from layout(head, 4)
    for line in body:
        yield from layout(line, 8)


def _member(name: str, part: Part, text: str) -> str:
    if isinstance(part, TensorPart) and part.buffer:
        return f"self.register_buffer({literal(name)}, {text})"
    if plain(name):
        return f"self.{name} = {text}"
    method = "register_parameter" if isinstance(part, TensorPart) else "add_module"
    return f"self.{method}({literal(name)}, {text})"


def _load(title: str) -> Iterator[str]:
    yield from ("", "", f"def load(path: str | Path = WEIGHTS) -> {title}:")
    yield '    """The network with its weights, for inference."""'
    yield '    with torch.device("meta"):'
    yield f"        model = {title}()"
    yield "    # Copies: tensors lie in the file wherever they come, and kernels want them aligned."
    yield "    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}"
    yield "    model.load_state_dict(tensors, assign=True)"
    yield "    return model.eval().requires_grad_(False)"


def _main(graph: Graph, tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """An example of use: a random input of nominal size."""
    yield from ("", "", 'if __name__ == "__main__":', "    model = load()")
    nominal = nominal_sizes(graph)
    compute = next((tensor.dtype for tensor in tensors.values() if tensor.is_floating_point()), torch.float32)
    for name, id in graph.inputs.items():
        type = graph[id].type
        dtype = compute if type.dtype == "f32" else DTYPES[type.dtype]
        make = "torch.rand" if dtype.is_floating_point else "torch.zeros"
        shape = sizes(literal(tuple(evaluate(dim, nominal) for dim in type.shape)))
        yield from layout(
            f"{variable(name)} = {make}({shape}{'' if dtype == torch.float32 else f', dtype={dtype}'})", 4
        )
    result = f"model({', '.join(map(variable, graph.inputs))})"
    if len(graph.outputs) == 1:
        yield f"    print({result}.shape)"
    else:
        yield f"    for name, value in {result}.items():"
        yield "        print(name, value.shape)"


def _imports(title: str, weights: str, body: Sequence[str]) -> Iterator[str]:
    yield f'"""{title} for inference, in plain PyTorch."""'
    yield from ("", "from pathlib import Path", "", "import torch")
    if any("F." in line for line in body):
        yield "import torch.nn.functional as F"
    yield from ("from safetensors.torch import load_file", "from torch import Tensor, nn", "")
    yield f"WEIGHTS = Path(__file__).with_name({literal(weights)})"
