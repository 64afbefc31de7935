"""The emitted file: it formats, loads, has the same keys and computes the same bits as the inference module."""

import importlib.util
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from repc.backends.source import emit
from repc.backends.torch import inference_module, train_module
from repc.ir.graph import Graph
from repc.ops import (
    Affine,
    Binary,
    Conv,
    Detach,
    Divide,
    Expand,
    Fill,
    Function,
    Linear,
    MatMul,
    Multiply,
    Permute,
    Reshape,
    Softmax,
)
from repc.ops.build import fill
from tests.backends.networks import B, Builder, H, W, repvgg, repvgg_deploy, stored_values

ROOT = Path(__file__).parents[3]


def residual() -> Graph:
    """A list that is no chain (its middle result is an output), a module with two results, a foreign weight."""
    build = Builder("Residual")
    x = build.input("image", B, 3, H, W)
    first = build.relu(build.conv(x, "blocks.0.conv", 4, bias=True), "blocks.0")
    second = build.conv(first, "blocks.1.conv", 4, bias=True)
    halves = [build.relu(build.conv(second, f"split.{name}.conv", 4), f"split.{name}") for name in ("up", "down")]
    joined = build.concat(*halves)
    shared = build.node(Conv((1, 1), ((0, 0), (0, 0)), (1, 1)), "again", x=joined, weight=build.weight("w", 4, 8, 1, 1))
    scaled = build.node(Affine(1), "again", x=shared, weight=build.weight("again.scale", 4), bias=build.weight("b", 4))
    return build.output(middle=first, last=build.sum(second, scaled))


def tangled() -> Graph:
    """A module that cannot run as one call: its second part needs what another module makes of its first."""
    build = Builder("Tangled")
    x = build.conv(build.input("image", B, 3, H, W), "a.first", 4)
    x = build.relu(build.conv(x, "b.conv", 4), "b")
    return build.output(y=build.relu(build.conv(x, "a.second", 4), "a"))


def attention() -> Graph:
    """Sizes inside of a module, two of them unknown; constants; several operands of one part."""
    build = Builder("Attention")
    n = H * W
    tokens = build.node(Reshape((B, 8, n)), x=build.conv(build.input("image", B, 3, H, W), "stem", 8, bias=True))
    tokens = build.node(Permute((0, 2, 1)), x=tokens)
    for i in range(2):
        path = f"layers.{i}.attn"
        q, k, v = (
            build.node(Reshape((B, n, 2, 4)), path, x=build.linear(tokens, f"{path}.{name}", 8)) for name in "qkv"
        )
        q, k, v = (build.node(Permute((0, 2, 1, 3)), path, x=part) for part in (q, k, v))
        scores = build.node(MatMul(), path, a=q, b=build.node(Permute((0, 1, 3, 2)), path, x=k))
        weights = build.node(
            Softmax(3), path, x=build.node(Affine(1), path, x=scores, weight=build.weight(f"{path}.t", 2))
        )
        mixed = build.node(Permute((0, 2, 1, 3)), path, x=build.node(MatMul(), path, a=weights, b=v))
        mixed = build.node(Reshape((B, n, 8)), path, x=mixed)
        tokens = build.sum(tokens, build.linear(mixed, f"{path}.out", 8))
    grid = build.node(Reshape((B, H, W, 8)), "grid", x=tokens)
    half = build.node(Expand((B, H, W, 8)), x=build.node(Fill((8,), Fraction(1, 2))))
    scaled = build.node(Multiply(), "grid", a=grid, b=build.weight("grid.gain", 8))
    return build.output(y=build.sum(scaled, half))


def numbers() -> Graph:
    """Operands that are single numbers, in the network and in a module of its own."""
    build = Builder("Numbers")
    x = build.conv(build.input("image", B, 3, H, W), "act.conv", 4, bias=True)
    x = build.node(Divide(), "act", a=x, b=fill((), Fraction(7, 5)))
    x = build.node(Binary("maximum"), "act", a=x, b=fill((), Fraction(-1, 3)))
    x = build.conv(x, "head", 4)
    return build.output(y=build.node(Divide(), a=fill((), 1), b=build.node(Function("exp"), x=x)))


def odd_names() -> Graph:
    """Labels that Python does not know as names, and a long sum."""
    build = Builder("class")
    x = build.input("in", B, 4)
    for label in ("odd.3x3", "odd.1", "0"):
        x = build.linear(x, label, 4)
    x = build.linear(x, "lambda", 4)
    x = build.node(Multiply(), "mixed", a=x, b=build.weight("mixed.gain", 4))
    x = build.linear(x, "mixed.0", 4)
    x = build.node(Detach(), x=x)
    long = "a_label_that_is_quite_long"
    terms = [build.node(Linear(), x=x, weight=build.weight(f"{long}.{name}", 4, 4)) for name in "abcdef"]
    return build.output(**{"a": build.sum(x, *terms), "def": x})


NETWORKS = {
    "deployed": repvgg_deploy(),
    "unfused": repvgg(dropout=0.1),
    "residual": residual(),
    "tangled": tangled(),
    "attention": attention(),
    "odd names": odd_names(),
    "numbers": numbers(),
}


def values_of(graph: Graph, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    return stored_values(graph, train_module(graph, seed=0).state_dict(), dtype)


def load(code: str, tensors: dict[str, Tensor], folder: Path) -> ModuleType:
    (folder / "model.py").write_text(code, encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    spec = importlib.util.spec_from_file_location("model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def sample(graph: Graph, dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sizes = {"b": 2, "h": 6, "w": 8}
    shapes = [
        [d if isinstance(d, int) else d.evaluate(sizes) for d in graph[i].type.shape] for i in graph.inputs.values()
    ]
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_computes_the_same_bits_under_the_same_keys(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    graph = NETWORKS[name]
    values = values_of(graph, dtype)
    artifact, expected = emit(graph, values), inference_module(graph, values)
    network = load(artifact.code, dict(artifact.tensors), tmp_path).load()
    assert list(network.state_dict()) == list(expected.state_dict())
    for key, value in expected.state_dict().items():
        assert torch.equal(network.state_dict()[key], value), key
    given = sample(graph, dtype)
    ours, theirs = network(*given), expected(*given)
    if isinstance(theirs, Tensor):
        ours, theirs = {"": ours}, {"": theirs}
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[output], theirs[output]) for output in theirs)
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_formatted_and_free_of_lint(name: str) -> None:
    code = emit(NETWORKS[name], values_of(NETWORKS[name]), provenance=["Made by a test."]).code
    for command in (["format", "--diff"], ["check", "--select", "E,F,W,I,B,UP,PIE,SIM"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--isolated", "--stdin-filename", "model.py", "-"]
        result = subprocess.run(ruff, input=code, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr


def test_equal_blocks_are_written_once() -> None:
    code = emit(repvgg_deploy(), values_of(repvgg_deploy()), provenance=["repc 0.1\nspec abc"]).code
    assert code.startswith('# repc 0.1\n# spec abc\n"""RepVGG for inference, in plain PyTorch."""\n')
    assert code[code.index("class") : code.index("def load")] == EXPECTED


EXPECTED = '''\
class StageBlock(nn.Module):
    """stage0, stage1.0, stage1.1 and 4 more."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.rbr_reparam = nn.Conv2d(
            in_channels, out_channels, 3, stride=stride, padding=1
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.rbr_reparam(x)
        return F.relu(x)


class RepVGG(nn.Module):
    """image: f32[b, 3, h, w] -> logits: f32[b, 5]"""

    def __init__(self) -> None:
        super().__init__()
        self.stage0 = StageBlock(3, 4, stride=2)
        self.stage1 = nn.Sequential(
            StageBlock(4, 4, stride=2),
            StageBlock(4, 4, stride=1),
        )
        self.stage2 = nn.Sequential(
            StageBlock(4, 8, stride=2),
            *(StageBlock(8, 8, stride=1) for _ in range(3)),
        )
        self.linear = nn.Linear(8, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stage0(image)
        x = self.stage1(x)
        x = self.stage2(x)
        x = F.adaptive_avg_pool2d(x, 1)
        x = x.flatten(1)
        return self.linear(x)


'''


def test_a_large_network_stays_short() -> None:
    deep = repvgg_deploy((2, 4, 14, 1), (4, 4, 8, 16))
    assert len(emit(deep, values_of(deep)).code.splitlines()) < 75


def test_arguments_that_change_together_are_one_parameter() -> None:
    build = Builder("Pairs")
    x = build.input("image", B, 2, H, W)
    for i, width in enumerate((4, 6)):
        x = build.conv(build.conv(x, f"pair{i}.wide", width), f"pair{i}.square", width)
    code = emit(build.output(y=x), values_of(build.graph)).code
    assert "class Pair(nn.Module):" in code
    assert "nn.Conv2d(channels, channels, 3, padding=1, bias=False)" in code
    assert "self.pair1 = Pair(4, 6)" in code


def test_a_foreign_weight_is_passed_to_the_module_that_uses_it() -> None:
    code = emit(residual(), values_of(residual())).code
    assert "split = self.again(split, self.w, self.b)" in code
    assert "def forward(self, x: Tensor, w0: Tensor, w1: Tensor) -> Tensor:" in code
    assert "split, split_1 = self.split(blocks)" in code
    assert "self.blocks = nn.ModuleList([Block(3, bias=True), Block2()])" in code


def test_a_module_that_cannot_run_as_one_call_is_dissolved() -> None:
    lines = [line.strip() for line in emit(tangled(), values_of(tangled())).code.splitlines()]
    place = lines.index("x = self.a.first(image)")
    assert lines[place : place + 4] == [
        "x = self.a.first(image)",
        "x = self.b(x)",
        "x = self.a.second(x)",
        "return F.relu(x)",
    ]


def test_computed_sizes_are_passed_into_modules() -> None:
    code = emit(attention(), values_of(attention())).code
    assert "x = self.grid(x, h, w)" in code
    assert "def forward(self, x: Tensor, h: int, w: int) -> Tensor:" in code
    assert code.count("class Attn(nn.Module):") == code.count("class Layer(nn.Module):") == 1


@pytest.mark.slow
def test_the_text_does_not_depend_on_the_process_and_runs_alone(tmp_path: Path) -> None:
    make = (
        "from tests.backends.source.test_emit import *\n"
        "from pathlib import Path\n"
        "for i, graph in enumerate(NETWORKS.values()):\n"
        "    folder = Path({folder!r}) / str(i)\n"
        "    folder.mkdir()\n"
        "    artifact = emit(graph, values_of(graph))\n"
        "    load(artifact.code, dict(artifact.tensors), folder)\n"
    )
    texts = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-c", make.format(folder=str(folder))], cwd=ROOT, env=env, check=True)
        texts.append([path.read_text() for path in sorted(folder.glob("*/model.py"))])
    assert len(texts[0]) == len(NETWORKS)
    assert texts[0] == texts[1]
    command = [sys.executable, "-I", tmp_path / "1" / "0" / "model.py"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout == "torch.Size([1, 5])\n"
