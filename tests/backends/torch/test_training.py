"""The training module against the same network written by hand: outputs, gradients, statistics, state_dict."""

from fractions import Fraction
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from repc.backends.torch import train_module
from repc.diagnostics import Failure
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.ir.expr import Param, apply
from repc.ir.graph import Graph
from repc.ir.types import TensorType
from repc.ops import BatchNorm, Conv, Detach, Dropout, Fill, Linear, Multiply, Pad, Random, RMSNorm
from repc.ops.build import mul, reduce, scale, sub
from tests.backends.networks import EPS, B, Builder, H, W, lora, repvgg


class Branch(nn.Module):
    def __init__(self, ci: int, co: int, k: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(ci, co, k, stride, k // 2, bias=False)
        self.bn = nn.BatchNorm2d(co)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Block(nn.Module):
    def __init__(self, ci: int, co: int, stride: int) -> None:
        super().__init__()
        self.rbr_dense = Branch(ci, co, 3, stride)
        self.rbr_1x1 = Branch(ci, co, 1, stride)
        if stride == 1:
            self.rbr_identity = nn.BatchNorm2d(co)

    def forward(self, x: Tensor) -> Tensor:
        y = self.rbr_dense(x) + self.rbr_1x1(x)
        return F.relu(y + self.rbr_identity(x) if hasattr(self, "rbr_identity") else y)


class RepVGG(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stage0 = Block(3, 4, 2)
        self.stage1 = nn.Sequential(Block(4, 4, 1), Block(4, 4, 1))
        self.linear = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.stage1(self.stage0(x)).mean((2, 3)))


def steps(module: nn.Module, batches: list[Tensor]) -> list[Tensor]:
    """Outputs of a few training steps."""
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.05, momentum=0.9)
    outputs = []
    for batch in batches:
        optimizer.zero_grad()
        outputs.append(module(batch))
        outputs[-1].square().mean().backward()
        optimizer.step()
    return outputs


def same(ours: nn.Module, theirs: nn.Module, tolerance: float = 1e-12) -> None:
    expected = theirs.state_dict()
    assert list(ours.state_dict()) == list(expected)
    for key, value in ours.state_dict().items():
        assert torch.allclose(value, expected[key], rtol=tolerance, atol=tolerance), key
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        ours_, theirs_ = parameter.grad, gradients[name]
        assert ours_ is not None
        assert theirs_ is not None
        assert torch.allclose(ours_, theirs_, rtol=tolerance, atol=tolerance), name


def test_it_trains_as_the_network_written_by_hand() -> None:
    ours, theirs = train_module(repvgg(), seed=1).double(), RepVGG().double()
    theirs.load_state_dict(ours.state_dict(), strict=True)
    batches = [torch.randn(4, 3, 9, 12, dtype=torch.float64) for _ in range(3)]
    for mine, other in zip(steps(ours, batches), steps(theirs, batches), strict=True):
        assert torch.allclose(mine, other, rtol=1e-12)
    same(ours, theirs)
    assert ours.stage0.rbr_dense.bn.num_batches_tracked == 6
    assert torch.allclose(ours.eval()(batches[0]), theirs.eval()(batches[0]), rtol=1e-12)


def test_it_is_made_of_the_layers_that_people_expect() -> None:
    network = train_module(repvgg())
    kinds = {type(module) for module in network.modules()} - {type(network)}
    assert kinds == {nn.Module, nn.ModuleList, nn.Conv2d, nn.BatchNorm2d, nn.Linear}
    assert str(network).startswith("RepVGG(")
    assert network.stage1[0].rbr_dense.conv.extra_repr() == Branch(4, 4, 3, 1).conv.extra_repr()
    seen = []
    network.stage1[1].rbr_1x1.conv.register_forward_hook(lambda module, args, result: seen.append(result.shape))
    network(torch.randn(2, 3, 8, 8))
    assert seen == [(2, 4, 4, 4)]


def test_statistics_are_shared_between_processes_after_the_usual_conversion() -> None:
    network = nn.SyncBatchNorm.convert_sync_batchnorm(train_module(repvgg(), seed=0))
    plain = train_module(repvgg(), seed=0)
    assert sum(isinstance(module, nn.SyncBatchNorm) for module in network.modules()) == 8
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(network.eval()(x), plain.eval()(x))


def test_keys_come_in_the_order_of_the_spec_with_their_types() -> None:
    graph = repvgg()
    network = train_module(graph)
    assert list(network.state_dict()) == list(graph.parameters)
    for key, value in network.state_dict().items():
        assert value.dtype == (torch.int64 if key.endswith("num_batches_tracked") else torch.float32)


def test_in_evaluation_it_is_the_graph() -> None:
    graph = repvgg(dropout=0.5)
    network = train_module(graph, seed=3).double().eval()
    x = torch.randn(2, 3, 7, 10, dtype=torch.float64)
    (expected,) = run(graph, TorchField(), {"image": x}, dict(network.state_dict())).values()
    assert torch.allclose(network(x), expected, rtol=1e-12)


def test_dropout_drops_in_training_only() -> None:
    build = Builder()
    network = train_module(build.output(y=build.node(Dropout(0.25), x=build.input("x", B))))
    x = torch.ones(10_000)
    dropped = network(x)
    assert torch.equal(dropped.unique(), torch.tensor([0, 4 / 3]))
    assert 0.2 < (dropped == 0).float().mean() < 0.3
    assert torch.equal(network.eval()(x), x)


def test_an_adapted_weight_trains_through_its_expression() -> None:
    network = train_module(lora(), seed=0)
    network.double()
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["fc.weight", "fc.bias"]
    fc, out = network.fc, network.out
    assert type(network.fc) is nn.Module
    assert type(network.out) is nn.Linear
    x = torch.randn(5, 6, dtype=torch.float64)
    a, b = (p.detach().requires_grad_() for p in (fc.lora.A.weight, fc.lora.B.weight))
    expected = out(F.relu(F.linear(x, fc.weight + 1.5 * (b @ a), fc.bias)))
    expected.sum().backward()
    network(x).sum().backward()
    assert torch.allclose(network(x), expected, rtol=1e-12)
    assert a.grad is not None
    assert b.grad is not None
    assert torch.allclose(fc.lora.A.weight.grad, a.grad, rtol=1e-12)
    assert torch.allclose(fc.lora.B.weight.grad, b.grad, rtol=1e-12)
    assert fc.weight.grad is None


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("counted", [True, False])
def test_batch_norm_with_computed_weights_keeps_its_statistics(momentum: float | None, counted: bool) -> None:
    build = Builder()
    operands = build.statistics("bn", 3)
    operands["weight"] = scale(operands["weight"], Fraction(2))
    if not counted:
        del operands["num_batches_tracked"], build.graph.parameters["bn.num_batches_tracked"]
    x = build.input("x", B, 3, H, W)
    network = train_module(build.output(y=build.node(BatchNorm(EPS, momentum), "bn", x=x, **operands)), seed=0)
    theirs: Any = nn.BatchNorm2d(3, momentum=momentum)
    theirs.load_state_dict(network.bn.state_dict(), strict=counted)
    theirs.weight.data *= 2
    if not counted:
        theirs.num_batches_tracked = None
    for _ in range(3):
        batch = torch.randn(4, 3, 5, 5)
        assert torch.allclose(network(batch), theirs(batch), rtol=1e-5)
    assert torch.allclose(network.bn.running_var, theirs.running_var)
    assert torch.allclose(network.bn.running_mean, theirs.running_mean)
    if counted:
        assert network.bn.num_batches_tracked == theirs.num_batches_tracked == 6
    network.bn.eval()
    theirs.eval()
    assert torch.allclose(network(batch), theirs(batch), rtol=1e-5)


def test_no_gradient_passes_a_detached_weight() -> None:
    """A pad value that is read from another layer's parameters: constant for the gradient, current in its value."""
    build = Builder()
    x = build.batch_norm(build.input("x", B, 2, H, W), "bn")
    weights = build.graph[x].weights
    value = apply(Detach(), x=sub(weights["bias"], mul(weights["running_mean"], weights["weight"])))
    widths = ((0, 0), (0, 0), (1, 1), (1, 1))
    network = train_module(build.output(y=build.node(Pad(widths), x=x, value=value)), seed=0)
    bn = network.bn
    assert type(network.bn) is nn.BatchNorm2d
    network.eval()(torch.zeros(1, 2, 3, 3))[..., 0, 0].sum().backward()
    assert not bn.bias.grad.any()
    expected = bn.bias - bn.running_mean * bn.weight
    assert torch.allclose(network(torch.zeros(1, 2, 3, 3))[0, :, 0, 0], expected)


def test_tied_keys_share_one_tensor() -> None:
    build = Builder()
    x = build.input("x", B, 4)
    shared = build.weight("encoder.weight", 4, 4, aliases=("decoder.weight",))
    x = build.node(Linear(), "encoder", x=x, weight=shared)
    x = build.node(Linear(), "decoder", x=x, weight=shared, bias=build.weight("decoder.bias", 4))
    network = train_module(build.output(y=x), seed=0)
    assert list(network.state_dict()) == ["encoder.weight", "decoder.weight", "decoder.bias"]
    assert network.decoder.weight is network.encoder.weight
    assert len(list(network.parameters())) == 2
    x = torch.randn(3, 4)
    expected = F.linear(x @ network.encoder.weight.T, network.encoder.weight, network.decoder.bias)
    assert torch.allclose(network(x), expected)


def test_a_weight_used_by_two_layers_is_a_layer_once() -> None:
    build = Builder()
    x = build.input("x", B, 2, H, W)
    weight = build.weight("conv.weight", 2, 2, 3, 3)
    for stride in (1, 2):
        x = build.node(Conv((stride, stride), ((1, 1), (1, 1)), (1, 1)), "conv", x=x, weight=weight)
    network = train_module(build.output(y=x), seed=0)
    assert type(network.conv) is nn.Conv2d
    x = torch.randn(1, 2, 6, 6)
    assert torch.equal(network(x), F.conv2d(network.conv(x), network.conv.weight, stride=2, padding=1))


def test_a_buffer_as_weight_is_no_layer() -> None:
    """`nn.RMSNorm` has a parameter there; the spec says that it does not train."""
    build = Builder()
    scale_ = build.buffer("norm.weight", 4)
    network = train_module(build.output(y=build.node(RMSNorm(1, EPS), "norm", x=build.input("x", B, 4), weight=scale_)))
    assert list(network.state_dict()) == ["norm.weight"]
    assert not list(network.parameters())
    x = torch.randn(3, 4)
    assert torch.allclose(network(x), F.rms_norm(x, (4,), network.norm.weight, 1e-5))


def initialised() -> Graph:
    """The initial value of g is the norm of that of v, which is declared after it."""
    build = Builder()
    v = Param("v", TensorType((4, 6)))
    g = build.weight("g", 4, 1, init=reduce(v, "norm", (1,), keep=True))
    build.weight("v", 4, 6, init=apply(Random("uniform", (4, 6), 1.0, 2.0)))
    bias = build.weight("b", 4, init=apply(Fill((4,), Fraction(1, 2))))
    return build.output(y=build.node(Linear(), x=build.input("x", B, 6), weight=mul(v, g), bias=bias))


def test_initial_values_follow_their_expressions_and_the_seed() -> None:
    network = train_module(initialised(), seed=5)
    assert 1 <= network.v.min() < network.v.max() < 2
    assert torch.allclose(network.g, network.v.norm(dim=1, keepdim=True))
    assert torch.equal(network.b, torch.full((4,), 0.5))
    again, other = train_module(initialised(), seed=5), train_module(initialised(), seed=6)
    assert torch.equal(network.v, again.v)
    assert not torch.equal(network.v, other.v)
    torch.manual_seed(9)
    first = train_module(initialised()).v
    torch.manual_seed(9)
    assert torch.equal(first, train_module(initialised()).v)


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("block.forward",), "E721 block.forward cannot be stored in a torch module: 'forward'"),
        (("training.weight",), "E721 training.weight cannot be stored in a torch module: 'training'"),
        (("a.b", "a.b.c"), "E722 a.b is a tensor and also contains tensors"),
        (("a.b.c", "a.b"), "E722 a.b is a tensor and also contains tensors"),
    ],
)
def test_a_path_that_no_module_can_have_is_an_error(paths: tuple[str, ...], message: str) -> None:
    build = Builder()
    x = build.input("x", 1)
    for path in paths:
        x = build.node(Multiply(), a=x, b=build.weight(path, 1))
    with pytest.raises(Failure, match=message):
        train_module(build.output(y=x))


@pytest.mark.parametrize(
    "labels", [("0", "2"), ("1x1", "3x3"), ("in", "__x"), ("0", "name"), ("items", "7"), ("0", "1")]
)
@pytest.mark.parametrize("prefix", ["layers.", ""])
def test_labels_that_are_no_python_names(labels: tuple[str, str], prefix: str) -> None:
    build = Builder()
    x = build.input("x", B, 3)
    for label in labels:
        x = build.linear(x, prefix + label, 3)
    network = train_module(build.output(y=x), seed=0)
    assert list(network.state_dict()) == list(build.graph.parameters)
    x = torch.randn(2, 3)
    layers = dict((network.layers if prefix else network).named_children())
    assert torch.equal(network(x), layers[labels[1]](layers[labels[0]](x)))
