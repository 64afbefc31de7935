"""Expansions: the grown network computes the same for all weights, and folds back to what it was made of."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from repc.evaluate import evaluate, run
from repc.evaluate.floating import TorchField
from repc.ir.expr import parameters
from repc.ir.graph import Graph
from repc.ir.node import NodeId, Parameter
from repc.ir.storage import storage
from repc.ir.trace import Step
from repc.ops import build
from repc.passes import fold
from repc.passes.expand import Growth, Unfit, add_identity, become, branches, deepen, linear_part, widen
from repc.passes.expand.solve import Form, solved
from repc.semantics import FileLibrary, block_of, elaborate_block, load, open_spec
from repc.verify import certify
from tests.passes.build import EXACT, Net, span
from tests.passes.draw import Draw, quick


def start(net: Net, *outputs: NodeId) -> Growth:
    """A deployed network, whose parameters are declared."""
    graph = net.output(*outputs).graph
    for path, param in parameters(expr for id in graph for expr in graph[id].weights.values()).items():
        zeros = build.fill(param.type.concrete(), 0)
        graph.parameters[path] = Parameter(path, param.type, zeros, buffer=False, trainable=True, span=span(path))
    return Growth(graph.copy())


def block(spec: str, graph: Graph, site: NodeId, **attributes: Any) -> Graph:
    """A shipped block at the source of an operator."""
    opened = open_spec(spec)
    module = load(opened.source, FileLibrary())
    assert opened.model is not None
    definition, _ = block_of(module, opened.model)
    port = definition.ports[0].name
    return elaborate_block(module, opened.model, attributes, {port: graph[graph[site].inputs[0]].type})


def put(growth: Growth, site: NodeId, spec: str, **attributes: Any) -> Unfit | None:
    part = linear_part(block(spec, growth.graph, site, **attributes))
    return part if isinstance(part, Unfit) else become(growth, site, part)


def values(growth: Growth, net: Net) -> dict[str, Tensor]:
    """What is drawn is random, no default; variances are positive."""
    random = torch.Generator().manual_seed(3)
    drawn: dict[str, Tensor] = {}
    for path, parameter in growth.graph.parameters.items():
        value = torch.randn(parameter.type.concrete(), dtype=torch.float64, generator=random)
        drawn[path] = value.abs() + 0.1 if path.endswith("running_var") else value + value.sign() * 0.1
    drawn |= net.values
    return drawn | evaluate(growth.made, TorchField(), drawn)


def outputs(graph: Graph, weights: dict[str, Tensor]) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    inputs = {
        name: torch.randn(graph[id].type.concrete(), dtype=torch.float64, generator=random)
        for name, id in graph.inputs.items()
    }
    found = run(graph, TorchField(), inputs, weights)
    return [found[id] for id in graph.outputs.values()]


def check(net: Net, growth: Growth) -> Graph:
    """It computes the same in float64 and in the field, for all weights; the grown network folded is returned."""
    before, whole = net.graph, growth.over_the_start()
    weights = values(growth, net)
    for old, new in zip(outputs(before, net.values), outputs(growth.graph, weights), strict=True):
        assert old.any()
        assert float((old - new).abs().max() / old.abs().max()) < EXACT
    steps = [Step("expand", "", (), "", facts=tuple(growth.facts))]
    assert certify(before, whole, steps)
    folded, _ = fold(growth.graph)
    for old, new in zip(outputs(before, net.values), outputs(folded, weights), strict=True):
        assert float((old - new).abs().max() / old.abs().max()) < EXACT
    return folded


def kinds(graph: Graph) -> Counter[str]:
    return Counter(graph[id].op.name for id in graph)


def folds_back(net: Net, growth: Growth) -> None:
    """Fuse after expand is the identity: the same operators with the same weights."""
    folded = check(net, growth)
    assert kinds(folded) == kinds(net.graph)
    made = evaluate(storage(folded).tensors, TorchField(), values(growth, net))
    kernels = sorted((tensor for tensor in made.values() if tensor.dim() > 1), key=lambda t: float(t.sum()))
    expected = sorted((tensor for tensor in net.values.values() if tensor.dim() > 1), key=lambda t: float(t.sum()))
    for old, new in zip(expected, kernels, strict=True):
        torch.testing.assert_close(new, old, rtol=0, atol=1e-10)


# ---------------------------------------------------------------- blocks

BLOCKS = [
    ("repc:repvgg/RepVGGBlock", {}, {}),
    ("repc:repvgg/RepVGGBlock", {"stride": 2, "groups": 2}, {"stride": 2, "groups": 2}),
    ("repc:mobileone/MobileOneBlock", {"groups": 4}, {"k": 3, "groups": 4, "branches": 3}),
    ("repc:acnet/ACBlock", {"stride": 2}, {"k": 3, "stride": 2}),
    ("repc:dbb/DBB", {}, {"k": 3}),
    ("repc:dbb/DBB", {"groups": 4, "stride": 2}, {"k": 3, "groups": 4, "stride": 2}),
    ("repc:orepa/OREPA", {"groups": 2}, {"k": 3, "groups": 2}),
    ("repc:qarepvgg/QARepVGGBlockV2", {}, {"mean": True}),
    ("repc:ecb/ECB", {}, {}),
]


@pytest.mark.parametrize(("spec", "site", "given"), BLOCKS, ids=str)
def test_a_block_folds_back(spec: str, site: dict[str, Any], given: dict[str, Any]) -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 9, 7), "body.conv", 4, padding=1, **site)
    growth = start(net, net.relu(y))
    assert put(growth, y, spec, co=4, **given) is None
    assert len(growth.graph) > len(net.graph)
    folds_back(net, growth)


@st.composite
def sites(draw: Draw) -> tuple[Net, NodeId, dict[str, Any]]:
    """A convolution of any rank, with rectangular kernels, strides, dilation and groups."""
    rank = draw(st.integers(1, 3))
    net, groups = Net(draw(st.integers(0, 99))), draw(st.sampled_from([1, 2, 4]))
    k = [draw(st.integers(1, 4)) for _ in range(rank)]
    stride, dilation = ([draw(st.integers(1, 2)) for _ in range(rank)] for _ in range(2))
    pad = [draw(st.integers(0, 2)) for _ in range(rank)]
    x = net.input(2, 4, *(draw(st.integers(7, 9)) for _ in range(rank)))
    pads, bias = [(p, p) for p in pad], draw(st.booleans())
    y = net.conv(x, "conv", 8, k, padding=pads, stride=stride, dilation=dilation, groups=groups, bias=bias)
    lists = {"k": k, "stride": stride, "dilation": dilation, "pad": pad}
    return net, y, {"co": 8, "groups": groups, **{name: tuple(given) for name, given in lists.items()}}


@quick
@given(sites())
def test_a_branch_of_zeros_folds_back(site: tuple[Net, NodeId, dict[str, Any]]) -> None:
    """Here the branch is random as everything else."""
    net, y, attributes = site
    growth = start(net, y)
    assert put(growth, y, "repc:zero/ZeroBranch", **attributes) is None
    folds_back(net, growth)


def test_it_takes_the_labels_of_the_block_where_the_operator_has_the_name_that_the_block_gives_it() -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 5, 5), "stage.0.rbr_reparam", 4, padding=1)
    growth = start(net, y)
    assert put(growth, y, "repc:repvgg/RepVGGBlock", co=4) is None
    assert growth.graph[y].path == "stage.0.rbr_reparam"
    assert {"stage.0.rbr_dense.conv.weight", "stage.0.rbr_1x1.bn.bias"} <= growth.graph.parameters.keys()
    assert "stage.0.rbr_reparam.weight" not in growth.graph.parameters


def test_a_tied_weight_stays_for_its_other_reader() -> None:
    net = Net()
    x = net.input(1, 4, 5, 5)
    y = net.conv(x, "a", 4, padding=1)
    z = net.conv(net.relu(y), "b", 4, padding=1, weight=net.graph[y].weights["weight"])
    growth = start(net, z)
    assert put(growth, y, "repc:repvgg/RepVGGBlock", co=4) is None
    assert "a.weight" in growth.graph.parameters
    check(net, growth)


# ---------------------------------------------------------------- refusals


def reason(net: Net, y: NodeId, spec: str, **attributes: Any) -> str:
    unfit = put(start(net, y), y, spec, **attributes)
    assert unfit is not None
    return unfit.reason


def test_a_small_kernel_holds_no_large_branch() -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 5, 5), "conv", 4, (1, 1))
    assert "a 1x1 kernel cannot hold a 3x3 one" in reason(net, y, "repc:repvgg/RepVGGBlock", co=4)


def test_another_frame_is_named() -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 5, 5), "conv", 4)
    assert "with padding [[1, 1], [1, 1]] instead of [[0, 0]" in reason(net, y, "repc:repvgg/RepVGGBlock", co=4)
    assert "with groups 2 instead of 1" in reason(net, y, "repc:zero/ZeroBranch", co=4, pad=0, groups=2)
    assert "shape [8, 4, 3, 3] instead of [4, 4, 3, 3]" in reason(net, y, "repc:zero/ZeroBranch", co=8, pad=0)


def test_what_is_not_linear_is_no_block_for_it() -> None:
    net = Net()
    y = net.conv(net.input(1, 4, 5, 5), "conv", 4, (1, 1))
    assert "folds to no linear operator" in reason(net, y, "repc:repvit/SqueezeExcite")


LOW_RANK = """\
repc 1
import std.conv
block LowRank<co>(x: [b, ci, ...s]) = x >> down: Conv(2, bias=false) >> up: Conv(co)
block NoBias<co>(x: [b, ci, ...s]) = x >> Conv(co, bias=false)
"""


def test_what_makes_up_for_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "low.rep").write_text(LOW_RANK)
    net = Net()
    y = net.conv(net.input(1, 4, 5, 5), "conv", 4, (1, 1))
    assert "enters the folded weight by itself" in reason(net, y, f"{tmp_path}/low.rep:LowRank", co=4)
    assert reason(net, y, f"{tmp_path}/low.rep:NoBias", co=4) == "it has no bias, which the operator has"


def test_a_key_that_is_taken_is_named() -> None:
    net = Net()
    x = net.input(1, 4, 5, 5)
    y = net.conv(x, "conv", 4, padding=1)
    z = net.conv(net.relu(y), "conv.rbr_1x1.conv", 4)
    growth = start(net, z)
    unfit = put(growth, y, "repc:repvgg/RepVGGBlock", co=4)
    assert unfit is not None
    assert unfit.reason == "there is a parameter conv.rbr_1x1.conv.weight already"


# ---------------------------------------------------------------- layers


@pytest.mark.parametrize("groups", [1, 4])
def test_an_identity_behind_a_convolution_folds_back(groups: int) -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 9), "conv", 8, (3,), stride=2, groups=groups)
    growth = start(net, net.relu(y))
    add_identity(growth, y)
    folds_back(net, growth)


def test_an_identity_behind_a_linear_layer_folds_back() -> None:
    net = Net()
    y = net.linear(net.input(3, 5, 6), "fc", 4)
    growth = start(net, net.relu(y), y)
    add_identity(growth, y)
    assert growth.graph.parameters["fc_more.weight"].type.shape == (4, 4)
    folds_back(net, growth)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 2)])
def test_a_deeper_network_computes_the_same(kernel: tuple[int, int]) -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 9, 7), "conv", 6, kernel, groups=2)
    growth = start(net, net.conv(net.relu(y), "next", 3))
    assert deepen(growth, y) is None
    assert kinds(growth.graph) - kinds(net.graph) == Counter({"conv": 1, "function": 1})
    check(net, growth)


def test_only_a_relu_can_be_twice() -> None:
    net = Net()
    y = net.conv(net.input(2, 4, 9), "conv", 4, (3,))
    unfit = deepen(start(net, y), y)
    assert unfit is not None
    assert "relu(relu(x)) = relu(x)" in unfit.reason


def wide(net: Net, transposed: bool) -> tuple[NodeId, NodeId]:
    """All that keeps channels apart, between two operators."""
    y = net.conv(net.input(2, 4, 9, 7), "conv", 6)
    z = net.relu(net.batch_norm(y, "bn"))
    z = net.affine(net.conv(z, "depthwise", 6, padding=1, groups=6), "scale")
    z = net.avg_pool(z, "pool", padding=1)
    return y, net.conv_transpose(z, "next", 3) if transposed else net.conv(z, "next", 3, padding=1)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("channels", [7, 20])
def test_a_wider_network_computes_the_same(channels: int, transposed: bool) -> None:
    net = Net()
    y, z = wide(net, transposed)
    growth = start(net, z)
    assert widen(growth, y, channels) is None
    assert growth.graph.parameters["conv.weight"].type.shape[0] == channels
    assert growth.graph.parameters["bn.running_var"].type.shape == (channels,)
    check(net, growth)


def test_copies_of_a_channel_get_unequal_gradients() -> None:
    net = Net()
    y = net.linear(net.input(2, 3), "a", 2)
    growth = start(net, net.linear(net.relu(y), "b", 2))
    assert widen(growth, y, 4) is None
    weight = values(growth, net)["b.weight"]
    torch.testing.assert_close(weight[:, 2:], 2 * weight[:, :2])


def test_a_sum_reads_all_channels_as_they_are() -> None:
    net = Net()
    x = net.input(2, 4, 9)
    y = net.conv(x, "conv", 4, (1,))
    unfit = widen(start(net, net.sum(x, y)), y, 8)
    assert unfit is not None
    assert unfit.reason == "sum (sum) reads its channels, and not each by itself"
    unfit = widen(start(net, y), y, 8)
    assert unfit is not None
    assert "output" in unfit.reason


# ---------------------------------------------------------------- wrong twins


def grown(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, wrong: Any) -> bool:
    """Whether the proof takes a wrong expansion for a right one."""
    net = Net()
    y = net.conv(net.input(2, 4, 9, 7), "conv", 4, padding=1)
    growth = start(net, y)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, wrong)
        assert put(growth, y, "repc:repvgg/RepVGGBlock", co=4) is None
    return bool(certify(net.graph, growth.over_the_start()))


RIGHT = Form.solution
TWINS = {
    "factor forgotten": (Form, "solution", lambda form, value: RIGHT(Form(None, form.rest), value)),
    "rest forgotten": (Form, "solution", lambda form, value: RIGHT(Form(form.factor, None), value)),
    "bias not made up for": (
        branches,
        "solved",
        lambda expr, value, fixed: solved(expr, build.fill(value.type.shape, 0) if fixed else value, fixed),
    ),
}


@pytest.mark.parametrize("twin", TWINS)
def test_the_proof_refutes_a_wrong_expansion(twin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not grown(monkeypatch, *TWINS[twin])


def test_a_sum_with_coefficients_is_solved() -> None:
    net = Net()
    p, q = net.param("p", 3), net.param("q", 3)
    expr = build.combine([(Fraction(-2), p), (Fraction(1, 3), q)])
    found = solved(expr, q, set())
    assert found is not None
    param, value = found
    assert param is p
    given = {"p": net.values["p"], "q": net.values["q"]}
    given["p"] = evaluate({"": value}, TorchField(), given)[""]
    torch.testing.assert_close(evaluate({"": expr}, TorchField(), given)[""], net.values["q"])
    assert solved(build.mul(p, p), q, set()) is None
