"""Files in the key style of kohya and LyCORIS, against their formulas."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import repc
from repc.checkpoints import read_kohya
from repc.diagnostics import Diagnostic, Failure

NET = """\
repc 1

import std.conv

block Unit(x: [b, c, h, w]) {
  let y = x >> proj_in: Conv(6, [3, 2], pad=1) >> norm: GroupNorm(2) >> Tanh()
  return mean(y, axis=[2, 3]) >> attn1.to_q: Linear(8) >> Tanh() >> to_out.0: Linear(5, bias=false)
}

model Net(x: f32[b, 4, h, w]) = x >> mid_block.0: Unit()
"""
CONV, LINEAR, OUT = (
    "lora_unet_mid_block_0_proj_in",
    "lora_unet_mid_block_0_attn1_to_q",
    "lora_unet_mid_block_0_to_out_0",
)


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + len(shape)), dtype=torch.float64)


def tucker(t: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.einsum("pqkl,po,qi->oikl", t, a, b)


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.rep").write_text(NET)
    return tmp_path


def merged(net: Path, tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor], repc.Model]:
    """The base, the merged weights, and the adapted model."""
    save_file({key: t.contiguous() for key, t in tensors.items()}, net / "a.safetensors")
    model = repc.load(net / "net.rep", adapter=net / "a.safetensors")
    plain = repc.load(net / "net.rep")
    base = {path: random(*p.type.concrete()) for path, p in plain.graph.parameters.items()}
    return base, model.fuse(base, dtype="f64").values, model


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-10, atol=1e-10)


def test_factors_of_linear_layers_and_kernels(net: Path) -> None:
    a, b, c, d = random(2, 6), random(8, 2), random(3, 4, 3, 2), random(6, 3, 1, 1)
    tensors = {
        f"{LINEAR}.lora_down.weight": a,
        f"{LINEAR}.lora_up.weight": b,
        f"{LINEAR}.alpha": torch.tensor(3.0),
        f"{CONV}.lora_down.weight": c,
        f"{CONV}.lora_up.weight": d,
    }
    base, ours, model = merged(net, tensors)
    close(ours["mid_block.0.attn1.to_q.weight"], base["mid_block.0.attn1.to_q.weight"] + 1.5 * b @ a)
    delta = torch.einsum("or,rikl->oikl", d[..., 0, 0], c)
    close(ours["mid_block.0.proj_in.weight"], base["mid_block.0.proj_in.weight"] + delta)
    close(ours["mid_block.0.to_out.0.weight"], base["mid_block.0.to_out.0.weight"])
    assert model.adapter is not None
    assert model.adapter.spec.endswith(
        """\
adapt Net as Net_kohya {
  at mid_block.0.attn1.to_q.weight expect 1 use kohya: LoRA(r=2, alpha=3)
  at mid_block.0.proj_in.weight expect 1 use kohya: LoRAConv(r=3, alpha=3)
}
"""
    )
    assert model.adapter.notes == ("a.safetensors: no alpha in 1 of 2 modules: it is then the rank",)


def test_a_kernel_between_two_factors(net: Path) -> None:
    a, m, b = random(2, 4, 1, 1), random(2, 2, 3, 2), random(6, 2, 1, 1)
    tensors = {f"{CONV}.lora_down.weight": a, f"{CONV}.lora_mid.weight": m, f"{CONV}.lora_up.weight": b}
    base, ours, _ = merged(net, tensors)
    close(
        ours["mid_block.0.proj_in.weight"],
        base["mid_block.0.proj_in.weight"] + tucker(m, b[..., 0, 0].T, a[..., 0, 0]),
    )


def test_products_of_lycoris(net: Path) -> None:
    first, second = [(random(2, 2, 3, 2) + k, random(2, 6) - k, random(2, 4) + k) for k in (0, 1)]
    names = [(f"hada_t{k}", f"hada_w{k}_a", f"hada_w{k}_b") for k in (1, 2)]
    tensors = {
        f"{CONV}.{name}": t
        for parts, ts in zip(names, (first, second), strict=True)
        for name, t in zip(parts, ts, strict=True)
    }
    w1, w2_a, w2_b = random(4, 2), random(2, 3), random(3, 3)
    tensors |= {f"{LINEAR}.lokr_w1": w1, f"{LINEAR}.lokr_w2_a": w2_a, f"{LINEAR}.lokr_w2_b": w2_b}
    tensors |= {f"{LINEAR}.alpha": torch.tensor(6.0), f"{CONV}.alpha": torch.tensor(1.0)}
    whole = random(5, 4), random(1, 2)
    tensors |= {f"{OUT}.lokr_w1": whole[0], f"{OUT}.lokr_w2": whole[1], f"{OUT}.alpha": torch.tensor(64.0)}
    base, ours, _ = merged(net, tensors)
    product = tucker(*first) * tucker(*second)
    close(ours["mid_block.0.proj_in.weight"], base["mid_block.0.proj_in.weight"] + 0.5 * product)
    place = "mid_block.0.attn1.to_q.weight"
    close(ours[place], base[place] + 2 * torch.kron(w1, w2_a @ w2_b))
    place = "mid_block.0.to_out.0.weight"
    close(ours[place], base[place] + torch.kron(*whole))


def test_scales_and_rotations_of_lycoris(net: Path) -> None:
    scales, bound, blocks = random(8) - 1, 0.1, 0.1 * random(2, 3, 3)
    b1, b2, a1, a2 = random(5, 2), random(2, 8), random(8, 2), random(2, 8)
    tensors = {
        f"{LINEAR}.weight": scales,
        f"{LINEAR}.on_input": torch.tensor(False),
        f"{CONV}.oft_blocks": blocks,
        f"{CONV}.rescale": random(6, 1, 1, 1),
        f"{CONV}.alpha": torch.tensor(bound, dtype=torch.float64),
        **{f"{OUT}.{name}.weight": t for name, t in (("a1", a1), ("a2", a2), ("b1", b1), ("b2", b2))},
        f"{OUT}.alpha": torch.tensor(3.0),
    }
    base, ours, model = merged(net, tensors)
    close(ours["mid_block.0.attn1.to_q.weight"], (1 + scales)[:, None] * base["mid_block.0.attn1.to_q.weight"])
    place = "mid_block.0.to_out.0.weight"
    close(ours[place], base[place] + 1.5 * (base[place] @ a1 @ a2 + b1 @ b2))
    skew = blocks - blocks.transpose(1, 2)
    skew = skew * min(1.0, 6 * bound / (skew.norm().item() + 1e-8))
    one = torch.eye(3, dtype=torch.float64)
    turned = torch.linalg.inv(one + skew) @ (one - skew) @ base["mid_block.0.proj_in.weight"].reshape(2, 3, -1)
    close(ours["mid_block.0.proj_in.weight"], tensors[f"{CONV}.rescale"] * turned.reshape(6, 4, 3, 2))
    assert model.adapter is not None
    assert model.adapter.relative == {"mid_block.0.to_out.0"}
    assert model.adapter.notes == ()


@pytest.mark.parametrize(
    ("shape", "on_input", "block"),
    [((8,), False, "ScaledByIA3(0)"), ((6,), True, "ScaledByIA3(1)"), ((1, 4, 1, 1), True, "ScaledByIA3(1)")],
)
def test_the_side_that_is_scaled(shape: tuple[int, ...], on_input: bool, block: str, net: Path) -> None:
    place = CONV if len(shape) > 1 else LINEAR
    tensors = {f"{place}.weight": random(*shape), f"{place}.on_input": torch.tensor(on_input)}
    _, _, model = merged(net, tensors)
    assert model.adapter is not None
    assert f" use kohya: {block}\n" in model.adapter.spec


def test_several_rotations_one_after_another(net: Path) -> None:
    _, ours, model = merged(net, {f"{LINEAR}.oft_blocks": random(2, 4, 2, 2), f"{LINEAR}.alpha": torch.tensor(0.0)})
    assert model.adapter is not None
    assert " use kohya: ButterflyOFT(2, 4, 0)\n" in model.adapter.spec
    assert ours["mid_block.0.attn1.to_q.weight"].isfinite().all()


@pytest.mark.parametrize("outputs", [True, False])
def test_magnitudes_apart(outputs: bool, net: Path) -> None:
    a, b = random(2, 4, 3, 2), random(6, 2, 1, 1)
    m = random(6, 1, 1, 1) if outputs else random(1, 4, 1, 1)
    tensors = {f"{CONV}.lora_down.weight": a, f"{CONV}.lora_up.weight": b, f"{CONV}.dora_scale": m}
    base, ours, model = merged(net, tensors)
    v = base["mid_block.0.proj_in.weight"] + torch.einsum("or,rikl->oikl", b[..., 0, 0], a)
    length = v.square().sum((1, 2, 3) if outputs else (0, 2, 3), keepdim=True).sqrt()
    close(ours["mid_block.0.proj_in.weight"], m * v / length)
    assert model.adapter is not None
    assert model.adapter.relative == {"mid_block.0.proj_in"}


def test_whole_differences_of_weights_biases_and_norms(net: Path) -> None:
    norm = "lora_unet_mid_block_0_norm"
    tensors = {
        f"{LINEAR}.diff": random(8, 6),
        f"{LINEAR}.diff_b": random(8),
        f"{norm}.w_norm": random(6),
        f"{norm}.b_norm": random(6) + 1,
    }
    base, ours, _ = merged(net, tensors)
    for key, part in {
        "attn1.to_q.weight": f"{LINEAR}.diff",
        "attn1.to_q.bias": f"{LINEAR}.diff_b",
        "norm.weight": f"{norm}.w_norm",
        "norm.bias": f"{norm}.b_norm",
    }.items():
        close(ours[f"mid_block.0.{key}"], base[f"mid_block.0.{key}"] + tensors[part])


def test_modules_are_found_below_the_roots_of_their_prefix(tmp_path: Path) -> None:
    factors = {"lora_down.weight": torch.ones(1, 3), "lora_up.weight": torch.ones(2, 1)}
    for prefix, module in {
        "lora_te1": "text_encoder.layers.0",
        "lora_te": "cond_stage_model.transformer.layers.0",
        "lora_unet": "model.diffusion_model.layers.0",
        "lycoris": "layers.0",
    }.items():
        save_file({f"{prefix}_layers_0.{part}": t for part, t in factors.items()}, tmp_path / "a.safetensors")
        found = read_kohya(tmp_path / "a.safetensors", [module, "other"])
        assert found.modules == {module}
        assert found.key_map[f"{prefix}_layers_0.lora_up.weight"] == f"{module}.kohya.lora_B.weight"


# ------------------------------------------------------------------------------------ refusals


def faults(folder: Path, tensors: dict[str, Tensor], modules: list[str]) -> tuple[Diagnostic, ...]:
    save_file(tensors, folder / "a.safetensors")
    with pytest.raises(Failure) as failure:
        read_kohya(folder / "a.safetensors", modules)
    assert all(d.help for d in failure.value.diagnostics)
    return failure.value.diagnostics


FACTORS = {"lora_unet_a_b.lora_down.weight": torch.ones(1, 3), "lora_unet_a_b.lora_up.weight": torch.ones(2, 1)}


def test_a_name_of_two_modules_or_of_none(tmp_path: Path) -> None:
    (found,) = faults(tmp_path, FACTORS, ["a.b", "a_b", "c"])
    assert (found.code, found.notes) == ("E629", ("lora_unet_a_b: a.b or a_b",))
    (found,) = faults(tmp_path, FACTORS, ["c"])
    assert (found.code, found.notes) == ("E629", ("lora_unet_a_b: no module of the base",))
    twice = FACTORS | {key.replace("lora_unet", "lycoris"): t.clone() for key, t in FACTORS.items()}
    (found,) = faults(tmp_path, twice, ["a.b"])
    assert (found.code, found.notes) == ("E629", ("a.b: adapted twice",))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("lora_unet_a_b.oft_blocks", "E624"),
        ("lora_unet_a_b.hada_w1_a", "E624"),
        ("unet.a.b.lora_up.weight", "E624"),
        ("lora_unet_a_b.lora_mid.weight", "E626"),
    ],
)
def test_every_key_is_consumed_or_an_error(key: str, code: str, tmp_path: Path) -> None:
    (found,) = faults(tmp_path, FACTORS | {key: torch.ones(2, 2, 3)}, ["a.b"])
    assert found.code == code
    assert found.notes


def test_factors_that_are_incomplete_or_have_no_scale(tmp_path: Path) -> None:
    down = {key: t for key, t in FACTORS.items() if "down" in key}
    (found,) = faults(tmp_path, down, ["a.b"])
    assert (found.code, found.notes) == ("E625", ("a.b.lora_up.weight",))
    (found,) = faults(tmp_path, FACTORS | {"lora_unet_a_b.alpha": torch.tensor(torch.nan)}, ["a.b"])
    assert (found.code, found.notes) == ("E626", ("a.b: alpha is no number",))
    (found,) = faults(
        tmp_path, {"lora_unet_a_b.diff": torch.ones(2, 3), "lora_unet_a_b.alpha": torch.ones(())}, ["a.b"]
    )
    assert (found.code, found.notes) == ("E624", ("lora_unet_a_b.alpha []: there are no factors",))
