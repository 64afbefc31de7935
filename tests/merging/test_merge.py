"""Adapters merged into checkpoints without a spec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.diagnostics import Diagnostic, Failure
from repc.merging import Merged, merge
from tests.fixtures import DATA, adapter

CASES = sorted(folder.name for folder in (DATA / "adapters").iterdir() if folder.is_dir())
BY_THE_LIBRARY = {"lora-pissa": 2e-6}
"""The library takes its singular vectors in float32."""


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.double() - expected.double()).abs().max() / expected.double().abs().max())


def merged(case: str, compat: bool = False) -> Merged:
    folders = [folder for folder in (adapter(case), adapter(case) / "second") if folder.is_dir()]
    return merge(adapter(case) / "base.safetensors", folders, compat=compat)


@pytest.mark.parametrize("case", CASES)
def test_every_recorded_adapter_merges(case: str) -> None:
    folder, ours = adapter(case), merged(case)
    formula = folder / "formula.safetensors"
    right = load_file(formula if formula.exists() else folder / "merged.safetensors")
    base = load_file(folder / "base.safetensors")
    assert sorted(ours.tensors) == sorted(right)
    for key, wanted in right.items():
        assert ours.tensors[key].dtype == base[key].dtype
        if base[key].dtype is torch.bfloat16:  # rounded once
            assert torch.equal(ours.tensors[key], wanted.bfloat16())
        elif key in ours.changed:
            assert relative(ours.tensors[key], wanted) < BY_THE_LIBRARY.get(case, 1e-6)
        else:
            assert torch.equal(ours.tensors[key], base[key])
    assert {key for key in right if not torch.equal(ours.tensors[key], base[key])} == ours.changed


def test_the_arithmetic_of_the_library_on_request() -> None:
    case = "lora-multihead-attention"
    ours, wanted = merged(case, compat=True), load_file(adapter(case) / "merged.safetensors")
    assert max(relative(ours.tensors[key], wanted[key]) for key in wanted) < 1e-6
    assert ours.notes == ("attn.out_proj: the update is added twice, as PEFT does (compat)",)
    assert merged(case).notes == ("attn.out_proj: the update is added once; PEFT adds it twice, which `compat` keeps",)


def written(folder: Path, config: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(
        {f"base_model.model.{key}": t.contiguous() for key, t in tensors.items()}, folder / "adapter_model.safetensors"
    )
    return folder


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert relative(actual, expected) < 1e-6


# ------------------------------------------------------------------------------------ what is not recorded


def test_a_missing_bias_stays_missing_unless_it_gets_a_value(tmp_path: Path) -> None:
    base, scale = {"q.weight": random(6, 4)}, random(6, 1)
    scaled = merge(base, [written(tmp_path / "ia3", {"peft_type": "IA3"}, {"q.ia3_l": scale})])
    assert scaled.tensors.keys() == base.keys()
    close(scaled.tensors["q.weight"], base["q.weight"] * scale)
    a, b, beta = random(2, 4), random(6, 2), random(6)
    parts = {"q.lora_A.weight": a, "q.lora_B.weight": b, "q.lora_B.bias": beta}
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "lora_bias": True}
    moved = merge(base, [written(tmp_path / "lora", config, parts)])
    close(moved.tensors["q.bias"], 1.5 * beta)


def test_trained_biases_replace_those_of_the_base(tmp_path: Path) -> None:
    base = {"q.weight": random(6, 4), "q.bias": random(6), "k.bias": random(5)}
    parts = {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(6, 2)}
    biases = {"q.base_layer.bias": random(6) + 1, "k.bias": random(5) - 1}
    config = {"peft_type": "LORA", "r": 2, "bias": "all"}
    ours = merge(base, [written(tmp_path, config, {**parts, **biases})]).tensors
    assert torch.equal(ours["q.bias"], biases["q.base_layer.bias"])
    assert torch.equal(ours["k.bias"], biases["k.bias"])


def test_counters_of_a_saved_module_are_not_replaced(tmp_path: Path) -> None:
    base = {"bn.weight": random(3), "bn.running_mean": random(3), "bn.num_batches_tracked": torch.tensor(5)}
    own = {"bn.weight": -random(3), "bn.running_mean": random(3) + 2, "bn.num_batches_tracked": torch.tensor(9)}
    ours = merge(base, [written(tmp_path, {"peft_type": "LORA", "modules_to_save": ["bn"]}, own)])
    assert ours.changed == {"bn.weight", "bn.running_mean"}
    assert torch.equal(ours.tensors["bn.running_mean"], own["bn.running_mean"])
    assert ours.notes == ("1 num_batches_tracked of the adapter not used, since nothing reads them",)


def test_weights_kept_as_in_and_out_are_turned_for_every_linear_method(tmp_path: Path) -> None:
    w = random(4, 6)
    b, scale = random(6), random(6, 1)
    ours = merge(
        {"q.weight": w, "q.bias": b},
        [written(tmp_path / "a", {"peft_type": "IA3", "fan_in_fan_out": True}, {"q.ia3_l": scale})],
    )
    close(ours.tensors["q.weight"], w * scale.T)
    close(ours.tensors["q.bias"], b * scale[:, 0])
    parts = {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(6, 2), "q.lora_magnitude_vector": random(6)}
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_dora": True, "fan_in_fan_out": True}
    new = w.T + parts["q.lora_B.weight"] @ parts["q.lora_A.weight"]
    wanted = parts["q.lora_magnitude_vector"][:, None] * new / new.norm(dim=1, keepdim=True)
    close(merge({"q.weight": w}, [written(tmp_path / "b", config, parts)]).tensors["q.weight"], wanted.T)


@pytest.mark.parametrize("terms", [4, 5, 7])
def test_the_series_of_a_rotation(terms: int, tmp_path: Path) -> None:
    """On a kernel, of which a row is everything that makes one output."""
    w, q = random(5, 2, 3, 2), 0.2 * random(3, 6)
    s = torch.zeros(3, 4, 4)
    rows, columns = torch.triu_indices(4, 4, 1)
    s[:, rows, columns] = q
    s = s - s.transpose(1, 2)
    r = torch.eye(4) + 2 * sum(torch.matrix_power(s, k) for k in range(1, terms - 1)) + torch.matrix_power(s, terms - 1)
    config = {"peft_type": "OFT", "use_cayley_neumann": True, "num_cayley_neumann_terms": terms}
    ours = merge({"c.weight": w}, [written(tmp_path, config, {"c.oft_R.weight": q})]).tensors["c.weight"]
    close(ours, torch.einsum("kab,okb->oka", r, w.reshape(5, 3, 4)).reshape(w.shape))


def test_reflections_of_orthogonal_vectors(tmp_path: Path) -> None:
    w, u = random(5, 6), random(6, 3)
    q, _ = torch.linalg.qr(u.double())
    config = {"peft_type": "HRA", "r": 3, "apply_GS": True}
    ours = merge({"c.weight": w}, [written(tmp_path, config, {"c.hra_u": u})]).tensors["c.weight"]
    close(ours, w.double() @ (torch.eye(6) - 2 * q @ q.T))


@pytest.mark.parametrize("variant", ["road_2", "road_4"])
def test_rotations_with_more_angles(variant: str, tmp_path: Path) -> None:
    w, b, size = random(8, 3), random(8), 8 if variant == "road_2" else 16
    theta, alpha = random(size), random(size) + 2
    c, s = alpha * theta.cos(), alpha * theta.sin()
    if variant == "road_4":
        c, s = c.reshape(2, 2, 4)[:, 0].flatten(), s.reshape(2, 2, 4)[:, 1].flatten()
    rows = torch.cat([w, b[:, None]], 1)
    halves = rows.reshape(2, 2, 2, 4)
    partner = torch.stack((-halves[:, 1], halves[:, 0]), 1).reshape(8, 4)
    wanted = c[:, None] * rows + s[:, None] * partner
    config = {"peft_type": "ROAD", "group_size": 4, "variant": variant}
    folder = written(tmp_path, config, {"q.road_theta": theta, "q.road_alpha": alpha})
    ours = merge({"q.weight": w, "q.bias": b}, [folder]).tensors
    close(ours["q.weight"], wanted[:, :3])
    close(ours["q.bias"], wanted[:, 3])


def test_kernels_in_tucker_form(tmp_path: Path) -> None:
    w = random(6, 4, 3, 2)
    config = {"peft_type": "LOHA", "r": 2, "alpha": 3, "use_effective_conv2d": True}
    half = [(random(2, 2, 3, 2) + k, random(2, 6) + k, random(2, 4) - k) for k in range(2)]
    parts = {
        f"c.hada_{name.format(k + 1)}": t
        for k, ts in enumerate(half)
        for name, t in zip(("t{}", "w{}_a", "w{}_b"), ts, strict=True)
    }
    first, second = (torch.einsum("ijkl,ip,jr->prkl", *factors) for factors in half)
    ours = merge({"c.weight": w}, [written(tmp_path / "a", config, parts)]).tensors["c.weight"]
    close(ours, w + 1.5 * first * second)
    t, a, b, one = random(2, 2, 3, 2), random(2, 3), random(2, 2), random(2, 2) + 1
    parts = {"c.lokr_w1": one, "c.lokr_t2": t, "c.lokr_w2_a": a, "c.lokr_w2_b": b}
    wanted = w + 1.5 * torch.kron(one[..., None, None], torch.einsum("ijkl,ip,jr->prkl", t, a, b).contiguous())
    ours = merge({"c.weight": w}, [written(tmp_path / "b", {**config, "peft_type": "LOKR"}, parts)]).tensors["c.weight"]
    close(ours, wanted)


def test_kernels_of_one_dimension_in_tucker_form(tmp_path: Path) -> None:
    """PEFT keeps their cores as if they were n x 1, and reshapes what comes out."""
    w, config = random(6, 4, 3), {"r": 2, "alpha": 3, "use_effective_conv2d": True}
    half = [(random(2, 2, 3, 1) + k, random(2, 6) + k, random(2, 4) - k) for k in range(2)]
    parts = {
        f"c.hada_{name.format(k + 1)}": t
        for k, ts in enumerate(half)
        for name, t in zip(("t{}", "w{}_a", "w{}_b"), ts, strict=True)
    }
    first, second = (torch.einsum("ijkl,ip,jr->prkl", *factors) for factors in half)
    folder = written(tmp_path / "a", {"peft_type": "LOHA", **config}, parts)
    close(merge({"c.weight": w}, [folder]).tensors["c.weight"], w + 1.5 * (first * second)[..., 0])
    t, a, b, one = random(2, 2, 3, 1), random(2, 3), random(2, 2), random(2, 2) + 1
    parts = {"c.lokr_w1": one, "c.lokr_t2": t, "c.lokr_w2_a": a, "c.lokr_w2_b": b}
    wanted = w + 1.5 * torch.kron(one[..., None], torch.einsum("ijkl,ip,jr->prk", t, a, b).contiguous())
    folder = written(tmp_path / "b", {"peft_type": "LOKR", **config}, parts)
    close(merge({"c.weight": w}, [folder]).tensors["c.weight"], wanted)
    w = random(6, 4, 3, 1)  # whose cores look the same
    close(merge({"c.weight": w}, [tmp_path / "b"]).tensors["c.weight"], w + (wanted - random(6, 4, 3))[..., None])


@pytest.mark.parametrize("whole", ["first", "second", "both"])
def test_whole_factors_of_a_kronecker_product(whole: str, tmp_path: Path) -> None:
    w, parts = random(6, 8), {"lokr_w1": random(3, 2), "lokr_w2": random(2, 4)}
    if whole == "second":
        del parts["lokr_w1"]
        parts |= {"lokr_w1_a": random(3, 5), "lokr_w1_b": random(5, 2)}
    if whole == "first":
        del parts["lokr_w2"]
        parts |= {"lokr_w2_a": random(2, 5), "lokr_w2_b": random(5, 4)}
    one = parts.get("lokr_w1", parts.get("lokr_w1_a", w) @ parts.get("lokr_w1_b", w.T))
    two = parts.get("lokr_w2", parts.get("lokr_w2_a", w) @ parts.get("lokr_w2_b", w.T))
    config = {"peft_type": "LOKR", "r": 5, "alpha": 2}
    folder = written(tmp_path, config, {f"q.{part}": t for part, t in parts.items()})
    close(merge({"q.weight": w}, [folder]).tensors["q.weight"], w + 0.4 * torch.kron(one, two))


def test_products_with_the_weight(tmp_path: Path) -> None:
    w, a, b = random(6, 8), random(3, 8), random(6, 3)
    folder = written(tmp_path, {"peft_type": "HIRA", "r": 3}, {"q.hira_A": a, "q.hira_B": b})
    close(merge({"q.weight": w}, [folder]).tensors["q.weight"], w + w * (b @ a))


def test_ranks_of_length_one(tmp_path: Path) -> None:
    w, a, b, n = random(6, 8), random(3, 8), random(6, 3), random(8) + 2
    b[:, 1] = 1e-6  # shorter than the least length
    strength = torch.tensor([1.7])
    c = strength / 3 / a.norm(dim=1) / b.norm(dim=0).clamp(min=1e-4)
    parts = {"delora_A": a, "delora_B": b, "delora_lambda": strength, "delora_w_norm": n}
    folder = written(tmp_path, {"peft_type": "DELORA", "r": 3}, {f"q.{part}": t for part, t in parts.items()})
    close(merge({"q.weight": w}, [folder]).tensors["q.weight"], w + (b @ torch.diag(c) @ a) * n)


def test_few_columns_of_a_row_for_several_outputs(tmp_path: Path) -> None:
    w, m = random(6, 8), random(3, 2)
    folder = written(tmp_path, {"peft_type": "MISS", "r": 3, "mini_r": 2, "init_weights": "mini"}, {"q.miss_block": m})
    wanted = w + m.repeat(1, 3)[torch.arange(8) % 3].T
    close(merge({"q.weight": w}, [folder]).tensors["q.weight"], wanted)


# ------------------------------------------------------------------------------------ refusals


def faults(base: dict[str, torch.Tensor], folders: list[Path]) -> tuple[Diagnostic, ...]:
    with pytest.raises(Failure) as failure:
        merge(base, folders)
    return failure.value.diagnostics


def test_an_adapter_of_another_base(tmp_path: Path) -> None:
    parts = {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(6, 2)}
    folder = written(tmp_path, {"peft_type": "LORA", "r": 2}, parts)
    (found,) = faults({"k.weight": random(6, 4)}, [folder])
    assert (found.code, found.notes) == ("E642", ("q",))
    (found,) = faults({"q.weight": random(6, 5)}, [folder])
    assert found.code == "E613"


@pytest.mark.parametrize(("own", "others", "prefix"), [("a.q", "model.a.q", "model."), ("h.a.q", "a.q", "h.")])
def test_an_adapter_of_the_same_base_saved_by_another_class(own: str, others: str, prefix: str, tmp_path: Path) -> None:
    parts = {f"{own}.lora_A.weight": random(2, 4), f"{own}.lora_B.weight": random(6, 2)}
    folder = written(tmp_path, {"peft_type": "LORA", "r": 2}, parts)
    (found,) = faults({f"{others}.weight": random(6, 4), "norm.weight": random(4)}, [folder])
    assert (found.code, found.notes) == ("E642", (f"{own}: did you mean {others}?",))
    assert f"`{prefix}`" in str(found.help)


def test_files_of_kohya_beside_folders_of_peft(tmp_path: Path) -> None:
    down, up, a, b = random(2, 4), random(6, 2), random(3, 4), random(6, 3)
    key = "lora_unet_a_q"
    style = tmp_path / "style.safetensors"
    save_file({f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up, f"{key}.alpha": torch.tensor(5.0)}, style)
    parts = {"a.q.lora_A.weight": a, "a.q.lora_B.weight": b}
    folder = written(tmp_path / "peft", {"peft_type": "LORA", "r": 3, "lora_alpha": 6}, parts)
    base, wanted = {"a.q.weight": random(6, 4)}, 2.5 * up @ down + 2 * b @ a
    for adapters in ([style, folder], [folder, style]):
        close(merge(base, adapters).tensors["a.q.weight"], base["a.q.weight"] + wanted)
    save_file(base, tmp_path / "base.safetensors")
    report = merge(tmp_path / "base.safetensors", [style], tmp_path / "out.safetensors")
    close(load_file(tmp_path / "out.safetensors")["a.q.weight"], base["a.q.weight"] + 2.5 * up @ down)
    assert str(style) in report.inputs


def test_a_file_out_of_a_folder_of_peft(tmp_path: Path) -> None:
    folder = written(tmp_path, {"peft_type": "LORA", "r": 2}, {"q.lora_A.weight": random(2, 4)})
    (found,) = faults({"q.weight": random(6, 4)}, [folder / "adapter_model.safetensors"])
    assert (found.code, found.help) == ("E624", f"this is a file of a folder that PEFT saved: give {folder}")


def test_packed_weights_of_a_quantised_base(tmp_path: Path) -> None:
    parts = {"q.lora_A.weight": random(2, 4), "q.lora_B.weight": random(6, 2)}
    folder = written(tmp_path, {"peft_type": "LORA", "r": 2}, parts)
    (found,) = faults({"q.weight": torch.zeros(12, 1, dtype=torch.uint8)}, [folder])
    assert (found.code, found.notes) == ("E635", ("q.weight: whole numbers",))


def test_many_misfits_do_not_fill_the_screen(tmp_path: Path) -> None:
    parts = {f"{i}.lora_A.weight": random(2, 5) for i in range(30)}
    parts |= {f"{i}.lora_B.weight": random(6, 2) for i in range(30)}
    folder = written(tmp_path, {"peft_type": "LORA", "r": 2}, parts)
    (found,) = faults({f"{i}.weight": random(6, 4) for i in range(30)}, [folder])
    assert (found.code, len(found.notes), found.notes[-1]) == ("E613", 21, "and 10 more")


def test_an_adapter_relative_to_a_base_that_another_one_changes() -> None:
    base = load_file(adapter("lora-pissa") / "base.safetensors")
    pissa, lora = adapter("lora-pissa"), adapter("lora")
    (found,) = faults(base, [lora, pissa])
    assert (found.code, found.notes) == ("E628", ("block.fc1", "block.fc2"))
    both, first = merge(base, [pissa, lora]).tensors, merge(base, [pissa]).tensors
    second = merge(base, [lora]).tensors
    for key in ("block.fc1.weight", "block.fc2.weight"):
        close(both[key], first[key] + second[key] - base[key])


def test_a_missing_folder(tmp_path: Path) -> None:
    shutil.copyfile(adapter("lora") / "adapter_config.json", tmp_path / "adapter_config.json")
    assert faults({"q.weight": random(6, 5)}, [tmp_path])[0].code == "E620"
