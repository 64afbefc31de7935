"""The whole path of a spec: text, tree, graph, fold, proof, torch, ONNX.  Whatever is not as it should be raises."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from repc.backends.onnx import build
from repc.backends.torch import inference_module, train_module
from repc.diagnostics import Failure, Source
from repc.evaluate import run
from repc.evaluate.floating import TorchField
from repc.evaluate.stored import deployed
from repc.ir.graph import Graph
from repc.ir.trace import Trace
from repc.passes import Options as Fold
from repc.passes import fold
from repc.semantics import FileLibrary, elaborate, load
from repc.syntax import parse
from repc.syntax.printer import print_file
from repc.verify import Options, verify
from repc.verify.runs import tensors_of
from repc.verify.sampling import Batch, batches
from tests.fuzz.networks import Network
from tests.mutants.refute import FAR, apart, difference, proved, weights_of
from tests.verify.networks import random_parameters

REFUSALS = ("E712", "E713", "E723")
"""What a backend may say of a network that it cannot express."""
NOISE = 1e-3  # relative, in float32
TORCH_LIMITS = ("more than 1 value per channel", "smaller than kernel size")
"""Of norms by the statistics of a single value, and of pools in 3-d whose kernel exceeds what it pads."""


def check(network: Network, *, runtime: bool = False) -> list[str]:
    """Drive a network and its symmetric forms through the path; see `check_text`."""
    train, refusals = _checked(network.text(), runtime)
    for symmetry in network.symmetries:
        other = graph(network.text(symmetry))
        assert difference(train, other) < FAR, f"{symmetry}: another function"
        verdict(other)
    return refusals


def check_text(text: str, *, runtime: bool = False) -> list[str]:
    """Drive a spec whose model is M through the path, with `runtime` to an ONNX file in ONNX Runtime.

    The codes of the diagnostics by which a backend refused it are returned.
    """
    return _checked(text, runtime)[1]


def _checked(text: str, runtime: bool) -> tuple[Graph, list[str]]:
    train = graph(text)
    fused, trace = verdict(train)
    return train, [*modules(train, fused), *(emitted(train, fused, trace) if runtime else ())]


def graph(text: str) -> Graph:
    """The training graph of the text as it is printed."""
    file = parse(Source("fuzz.rep", text))
    printed = print_file(file)
    module = load(Source("fuzz.rep", printed), FileLibrary())
    assert module.file == file, f"printed as something else:\n{printed}"
    return elaborate(module, "M")


def verdict(train: Graph) -> tuple[Graph, Trace]:
    """The fold, which is right in float64 and by proof; so is what folding makes that looks at the weights."""
    plain, bold = fold(train), fold(train, Fold(objective="operators", values=weights_of(train)))
    _check_fold(train, *plain)
    if _done(bold) != _done(plain):
        _check_fold(train, *bold)
    return plain


def _done(found: tuple[Graph, Trace]) -> list[tuple[str, str, str]]:
    return [(step.rule, step.path, step.detail) for step in found[1].steps]


def _check_fold(train: Graph, fused: Graph, trace: Trace) -> None:
    off = difference(train, fused)
    assert off < FAR, f"folded is off: by {off}"
    proof = proved(train, fused, trace)
    rules = ", ".join(sorted({step.rule for step in trace.steps}))
    assert proof is not None, f"{rules} relies on what does not hold"
    assert proof, f"a right fold by {rules} is refuted: {proof.first_wrong}"


def modules(train: Graph, fused: Graph) -> list[str]:
    """The torch modules of both graphs compute in float64 what the evaluator does."""
    given = {name: x.double() if x.is_floating_point() else x for name, x in random_parameters(train).items()}
    refusals: list[str] = []
    for made, module in ((train, _trained), (fused, _deployed)):
        try:
            network = module(made, given)
        except Failure as failure:
            refusals += _codes(failure)
            continue
        for batch in batches(train, Options(samples=2), torch.float64):
            exact = run(made, TorchField(), batch.inputs, given)
            for id, value in zip(made.outputs.values(), _outputs(network, batch), strict=False):
                off = apart(value, exact[id])
                assert off < FAR, f"{module.__name__} module: off by {off}"
    return refusals


def _outputs(network: nn.Module, batch: Batch) -> list[Tensor]:
    """What a module makes of a batch; nothing where torch says that it does not take such sizes."""
    try:
        with torch.no_grad():
            return tensors_of(network(*batch.inputs.values()))
    except (ValueError, RuntimeError) as error:
        if not any(limit in str(error) for limit in TORCH_LIMITS):
            raise
        return []


def _trained(train: Graph, given: Mapping[str, Tensor]) -> nn.Module:
    network = train_module(train).double()
    network.load_state_dict(given)
    return network.eval()


def _deployed(fused: Graph, given: Mapping[str, Tensor]) -> nn.Module:
    return inference_module(fused, deployed(fused, given, torch.float64))


def emitted(train: Graph, fused: Graph, trace: Trace) -> list[str]:
    """The report on an ONNX file says that it is equivalent, or that a rounding error is larger than expected.

    That happens where a network is conditioned badly, as a norm is of a channel that is constant.
    """
    given = random_parameters(train)
    values = deployed(fused, given, torch.float32)
    try:
        model = build(fused, values)
        report = verify(train, fused, given, values, model=model, steps=trace.steps)
    except Failure as failure:
        return _codes(failure)
    failed = [check for check in report.checks if not check.passed]
    assert all(check.figures and max(figure.error for figure in check.figures) < NOISE for check in failed), str(report)
    return ["noise"] * bool(failed)


def _codes(failure: Failure) -> list[str]:
    codes = [diagnostic.code for diagnostic in failure.diagnostics]
    if not set(codes) <= {*REFUSALS}:
        raise failure
    return codes
