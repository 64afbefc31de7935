"""What shipped implementations get wrong, by the list of the project's paper on methods: a right answer or a refusal.

The reference is plain torch, written out for each case; parameters are random, and compared in float64.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

import repc
from repc.backends.torch import initial_values
from repc.driver import Fused, Model
from repc.passes import fold
from repc.verify import certify
from tests.fixtures import adapter
from tests.mutants.catalogue import MUTANTS
from tests.mutants.mutant import mutated
from tests.verify.networks import random_parameters

IMPORTS = "repc 1\nimport adapters.lora\nimport adapters.ssf\nimport std.conv\n"
IMAGE = "x: f32[b, 4, h, w]"
CLOSE = 1e-12


Spec = Callable[..., Model]


@pytest.fixture
def spec(tmp_path: Path) -> Spec:
    """Writes a file with a model M that makes a value of x, and loads it."""

    def write(value: str, port: str = IMAGE, rest: str = "", model: str = "M") -> Model:
        path = tmp_path / "m.rep"
        path.write_text(f"{IMPORTS}model M({port}) {{ return {value} }}\n{rest}", encoding="utf-8")
        return repc.load(path, model)

    return write


def weights(model: Model) -> dict[str, Tensor]:
    """Random values in float64: γ negative and zero, statistics and biases of any value."""
    given = random_parameters(model.graph)
    return {name: value.double() if value.is_floating_point() else value for name, value in given.items()}


def deployed(model: Model, given: Mapping[str, Tensor]) -> Fused:
    return model.fuse(given, dtype="f64")


def image(*shape: int) -> Tensor:
    return torch.randn(shape or (2, 4, 7, 10), dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def norm(y: Tensor, given: Mapping[str, Tensor], path: str) -> Tensor:
    mean, var, weight, bias = (given[f"{path}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(y, mean, var, weight, bias, eps=1e-5)


def assert_makes(fused: Fused, x: Tensor, expected: Tensor) -> None:
    with torch.no_grad():
        found = fused.module()(x)
    torch.testing.assert_close(found, expected, rtol=CLOSE, atol=CLOSE)


# ------------------------------------------------------------------------------------------------ 1 to 7: kernels


def test_1_the_identity_of_a_grouped_kernel_is_one_of_each_group(spec: Spec) -> None:
    model = spec("sum { conv: x >> Conv(4, 3, pad=1, groups=2, bias=false) | x }")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts() == {"Conv": 1}
    assert_makes(fused, x, F.conv2d(x, given["conv.weight"], padding=1, groups=2) + x)
    dirac = fused.values["conv.weight"] - given["conv.weight"]
    assert dirac.nonzero().tolist() == [[c, c % 2, 1, 1] for c in range(4)]


def test_2_a_norm_folds_into_a_dilated_convolution_that_stays_dilated(spec: Spec) -> None:
    model = spec("x >> conv: Conv(6, 3, pad=[2, 3], dilation=[2, 3], bias=false) >> bn: BatchNorm()")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts() == {"Conv": 1}
    conv = F.conv2d(x, given["conv.weight"], padding=(2, 3), dilation=(2, 3))
    assert_makes(fused, x, norm(conv, given, "bn"))


@pytest.mark.parametrize("groups", [1, 2])
def test_3_a_norm_scales_the_output_axis_of_a_transposed_convolution(spec: Spec, groups: int) -> None:
    model = spec(f"x >> conv: ConvTranspose(4, 3, stride=2, groups={groups}) >> bn: BatchNorm()")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts() == {"ConvTranspose": 1}
    conv = F.conv_transpose2d(x, given["conv.weight"], given["conv.bias"], stride=2, groups=groups)
    assert_makes(fused, x, norm(conv, given, "bn"))


def test_4_a_norm_that_nothing_absorbs_stays(spec: Spec) -> None:
    model = spec("relu(x) >> bn: BatchNorm() >> Sigmoid()")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts() == {"Relu": 1, "BatchNormalization": 1, "Sigmoid": 1}
    assert_makes(fused, x, norm(x.relu(), given, "bn").sigmoid())


def test_5_a_convolution_and_a_norm_with_a_relu_between_them_are_no_pair(spec: Spec) -> None:
    model = spec("x >> conv: Conv(4, 3) >> ReLU() >> bn: BatchNorm() >> Sigmoid()")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts()["BatchNormalization"] == 1
    assert_makes(fused, x, norm(F.conv2d(x, given["conv.weight"], given["conv.bias"]).relu(), given, "bn").sigmoid())
    assert ("F1", "conv -> relu -> bn", "relu is not linear") in [
        (refusal.rule, refusal.edge, refusal.reason) for refusal in fused.trace.refusals
    ]


def test_6_the_identity_beside_a_depthwise_convolution_keeps_it_depthwise(spec: Spec) -> None:
    model = spec("sum { conv: x >> Conv(4, 3, pad=1, groups=4) | bn: x >> BatchNorm() }")
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.values["conv.weight"].shape == (4, 1, 3, 3)
    conv = F.conv2d(x, given["conv.weight"], given["conv.bias"], padding=1, groups=4)
    assert_makes(fused, x, conv + norm(x, given, "bn"))


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_7_what_is_deployed_pads_and_dilates_as_what_was_trained(spec: Spec, mode: str) -> None:
    model = spec(
        f'sum {{ wide: x >> Conv(4, 3, pad=[1, 2], dilation=[1, 2], mode="{mode}") | point: x >> Conv(4, 1) }}'
    )
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts()["Conv"] == 1
    assert "Add" not in fused.counts()
    padded = F.pad(x, (2, 2, 1, 1), mode="constant" if mode == "zeros" else mode)
    wide = F.conv2d(padded, given["wide.weight"], given["wide.bias"], dilation=(1, 2))
    assert_makes(fused, x, wide + F.conv2d(x, given["point.weight"], given["point.bias"]))
    assert model.fuse(given).verify()


# ------------------------------------------------------------------------------------------------ 8 to 10: use


@pytest.mark.parametrize(("name", "dtype"), [("f16", torch.float16), ("bf16", torch.bfloat16), ("f64", torch.float64)])
def test_8_a_model_of_one_type_is_deployed_in_one_type(spec: Spec, name: str, dtype: torch.dtype) -> None:
    model = spec("sum { conv: x >> Conv(4, 3, pad=1) | bn: x >> BatchNorm() } >> last: BatchNorm() >> ReLU()")
    given = {key: value.to(dtype) if value.is_floating_point() else value for key, value in weights(model).items()}
    fused = model.fuse(given, dtype=name)
    exact = model.fuse(given, dtype="f64")
    assert {value.dtype for value in fused.state_dict().values()} == {dtype}
    assert all(torch.equal(value, exact.values[key].to(dtype)) for key, value in fused.values.items())
    with torch.no_grad():
        assert fused.module()(image().to(dtype)).dtype == dtype


def test_9_folding_knows_no_training_mode(spec: Spec) -> None:
    model = spec("x >> conv: Conv(4, 3) >> bn: BatchNorm() >> Dropout()")
    net = model.module(seed=0).double().train()
    net(image())
    assert net.training
    fused = deployed(model, net.state_dict())
    with torch.no_grad():
        assert_makes(fused, image(), net.eval()(image()))


def test_9_folding_twice_changes_nothing(spec: Spec) -> None:
    model = spec("sum { conv: x >> Conv(4, 3, pad=1) | bn: x >> BatchNorm() } >> last: BatchNorm()")
    once, _ = fold(model.graph)
    twice, trace = fold(once)
    assert trace.steps == []
    assert certify(model.graph, twice)


def test_9_a_network_that_is_one_block_folds(spec: Spec) -> None:
    assert spec("x >> Conv(4, 3) >> BatchNorm(affine=false)").fuse().counts() == {"Conv": 1}


def test_10_even_and_rectangular_kernels_keep_their_places(spec: Spec) -> None:
    model = spec(
        "sum { even: x >> Conv(4, [2, 4], pad=[[0, 1], [1, 2]]) | row: x >> Conv(4, [1, 3], pad=[0, 1])"
        " | point: x >> Conv(4, 1) }"
    )
    given, x = weights(model), image()
    fused = deployed(model, given)
    assert fused.counts() == {"Conv": 1}
    even = F.conv2d(F.pad(x, (1, 2, 0, 1)), given["even.weight"], given["even.bias"])
    row = F.conv2d(x, given["row.weight"], given["row.bias"], padding=(0, 1))
    assert_makes(fused, x, even + row + F.conv2d(x, given["point.weight"], given["point.bias"]))


def test_10_partitions_that_are_not_square(spec: Spec) -> None:
    tile = "reshape(reshape(x, [n, 60, 1, 1]) >> fc: Conv(60, 1, groups=4), [n, 4, 3, 5])"
    model = spec(f"sum {{ {tile} | conv: x >> Conv(4, 3, pad=1, groups=4) }}", "x: f32[n, 4, 3, 5]")
    given, x = weights(model), image(2, 4, 3, 5)
    fused = deployed(model, given)
    assert fused.counts()["Conv"] == 1
    dense = F.conv2d(x.reshape(2, 60, 1, 1), given["fc.weight"], given["fc.bias"], groups=4).reshape(x.shape)
    assert_makes(fused, x, dense + F.conv2d(x, given["conv.weight"], given["conv.bias"], padding=1, groups=4))


# ------------------------------------------------------------------------------------------------ 11 and 12: adapters

ADAPTED = "adapt M as N { at conv.weight expect 1 use lora: LoRAConv(r=2, alpha=6) }\n"


def test_11_an_adapter_inherits_padding_mode_and_dilation(spec: Spec) -> None:
    conv = 'x >> conv: Conv(4, 3, pad=2, dilation=2, mode="reflect")'
    model = spec(conv, rest=ADAPTED, model="N")
    given, x = weights(model), image()
    delta = torch.einsum("or,rikl->oikl", given["conv.lora.lora_B.weight"].flatten(1), given["conv.lora.lora_A.weight"])
    merged = given["conv.weight"] + 3 * delta
    fused = deployed(model, given)
    torch.testing.assert_close(fused.values["conv.weight"], merged, rtol=CLOSE, atol=CLOSE)
    assert_makes(fused, x, F.conv2d(F.pad(x, (2,) * 4, mode="reflect"), merged, given["conv.bias"], dilation=2))


def test_11_an_adapter_that_ignores_groups_is_refused(spec: Spec, tmp_path: Path) -> None:
    """A dense update of a grouped kernel: its first factor reads all channels, which no group does."""
    spec("x >> conv: Conv(4, 3, groups=2)")
    factors = {"lora_A": torch.randn(2, 4, 3, 3), "lora_B": torch.randn(4, 2, 1, 1)}
    folder = saved(tmp_path / "adapter", {f"conv.{name}.weight": value for name, value in factors.items()})
    model = repc.load(tmp_path / "m.rep", "M", adapter=folder)
    base = {"conv.weight": torch.randn(4, 2, 3, 3), "conv.bias": torch.randn(4)}
    with pytest.raises(repc.Failure, match=r"E613 .*wrong shape"):
        model.fuse(base)


def saved(folder: Path, tensors: Mapping[str, Tensor], **settings: object) -> Path:
    """A folder as PEFT writes it."""
    folder.mkdir()
    config = json.loads((adapter("lora") / "adapter_config.json").read_text())
    config |= {"r": 2, "lora_alpha": 6, "target_modules": ["conv"], **settings}
    (folder / "adapter_config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))
    named = {f"base_model.model.{key}": value.contiguous() for key, value in tensors.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("settings", "scale"), [({}, 3.0), ({"use_rslora": True}, 6 / 2**0.5), ({"lora_alpha": ...}, 8 / 2)], ids=str
)
def test_12_the_scale_of_an_adapter_is_the_one_that_it_was_trained_with(
    spec: Spec, tmp_path: Path, settings: dict[str, object], scale: float
) -> None:
    """The default of a missing alpha is PEFT's own."""
    spec("x >> conv: Conv(4, 3)")
    a, b = torch.randn(2, 4, 3, 3), torch.randn(4, 2, 1, 1)
    folder = saved(tmp_path / "adapter", {"conv.lora_A.weight": a, "conv.lora_B.weight": b}, **settings)
    base = {"conv.weight": torch.randn(4, 4, 3, 3), "conv.bias": torch.randn(4)}
    fused = repc.load(tmp_path / "m.rep", "M", adapter=folder).fuse(base, dtype="f64")
    merged = base["conv.weight"].double() + scale * torch.einsum("or,rikl->oikl", b.flatten(1).double(), a.double())
    torch.testing.assert_close(fused.values["conv.weight"], merged, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("tensors", "settings", "code"),
    [
        ({"head.weight": torch.zeros(5, 4)}, {"modules_to_save": ["head"]}, "E4"),
        ({"conf.lora_A.weight": torch.zeros(2, 4, 3, 3), "conf.lora_B.weight": torch.zeros(4, 2, 1, 1)}, {}, "E4"),
        ({"conv.lora_C.weight": torch.zeros(2)}, {}, "E62"),
    ],
    ids=["a module saved whole", "a module that the base lacks", "a key of no known part"],
)
def test_12_what_an_adapter_holds_is_used_or_refused(
    spec: Spec, tmp_path: Path, tensors: dict[str, Tensor], settings: dict[str, object], code: str
) -> None:
    spec("x >> conv: Conv(4, 3)")
    known = {"conv.lora_A.weight": torch.randn(2, 4, 3, 3), "conv.lora_B.weight": torch.randn(4, 2, 1, 1)}
    folder = saved(tmp_path / "adapter", known | tensors, **settings)
    with pytest.raises(repc.Failure) as failure:
        repc.load(tmp_path / "m.rep", "M", adapter=folder)
    assert {d.code[: len(code)] for d in failure.value.diagnostics} == {code}
    assert all(d.help for d in failure.value.diagnostics)


def test_12_an_adapter_on_a_tied_weight_changes_every_use_of_it(spec: Spec) -> None:
    tied = "model T(x: f32[b, 4]) { weight W: [4, 4] = ones  return linear(relu(linear(x, W)), W) }\n"
    model = spec("x", rest=tied + "adapt T as N { at W expect 1 use lora: LoRA(r=2, alpha=6) }\n", model="N")
    given, x = weights(model), image(3, 4)
    key = next(path.removesuffix("lora_A.weight") for path in given if path.endswith("lora_A.weight"))
    merged = given["W"] + 3 * given[f"{key}lora_B.weight"] @ given[f"{key}lora_A.weight"]
    assert_makes(deployed(model, given), x, F.linear(F.linear(x, merged).relu(), merged))


# ------------------------------------------------------------------------------------------------ 13 and 14: checks


def test_13_initial_values_hide_wrong_folds_and_verification_does_not_look_at_them_alone(spec: Spec) -> None:
    model = spec("x >> conv: Conv(4, 3, bias=false) >> bn: BatchNorm() >> ssf: SSF() >> ReLU()")
    initial, x = initial_values(model.graph.parameters, seed=0), image()
    right = model.fuse(initial, dtype="f64")
    hidden = 0
    faults = [mutant for mutant in MUTANTS if mutant.witness.name == "conv, norm"]
    for mutant in faults:
        graph, trace = mutated(model.graph, mutant.patches)
        wrong = Fused(model, right.target, right.parameters, graph, trace, "f64")
        with torch.no_grad():
            hidden += torch.allclose(wrong.module()(x), right.module()(x), rtol=1e-3)
        assert not wrong.verify(against=())
    assert hidden >= 7
    assert right.verify(against=())


def test_14_a_network_that_contracts_hides_nothing_from_a_comparison_at_cuts(spec: Spec) -> None:
    """The wrong branch is a millionth of the output, far below any tolerance there."""
    model = spec("x + 1 / 1000000 * sigmoid(x >> conv: Conv(4, 3, pad=1) >> bn: BatchNorm())")
    right = model.fuse(weights(model), dtype="f64")
    (mutant,) = [mutant for mutant in MUTANTS if str(mutant) == "F1 no β"]
    graph, trace = mutated(model.graph, mutant.patches)
    wrong = Fused(model, right.target, right.parameters, graph, trace, "f64")
    with torch.no_grad():
        assert torch.allclose(wrong.module()(image()), right.module()(image()), rtol=1e-5, atol=1e-6)
    report = wrong.verify(against=())
    assert not report
    assert "bn" in str(report)


def test_14_a_network_that_is_ill_conditioned_is_judged_by_its_own_noise(spec: Spec) -> None:
    """Tiny variances amplify the rounding of any evaluation in float32; the fold is as right as the network."""
    model = spec("x >> a: Conv(4, 3) >> b: BatchNorm() >> c: Conv(4, 3) >> d: BatchNorm() >> e: Conv(4, 1)")
    given = {name: value * (1e-8 if "running_var" in name else 1) for name, value in weights(model).items()}
    fused = model.fuse(given)
    with torch.no_grad():
        exact = deployed(model, given).module()(image())
        found = fused.module()(image().float())
    assert float((found - exact).abs().max()) > 1e-3
    assert fused.verify(against=())
