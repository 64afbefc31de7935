"""Adapters as PEFT saves them, beside the recorded ones: which block they become, and what the base tells."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from repc.checkpoints import read_peft
from repc.diagnostics import Diagnostic, Failure
from repc.merging import merge

Shape = tuple[int, ...]


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + len(shape)), dtype=torch.float64)


def saved(
    folder: Path, kind: str, tensors: Mapping[str, Tensor], prefix: str = "base_model.model.", **config: Any
) -> Path:
    """A folder of PEFT, where names that begin with a slash are of no module."""
    keys = {f"base_model.{k[1:]}" if k.startswith("/") else f"{prefix}{k}": t.clone() for k, t in tensors.items()}
    save_file(keys, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": kind, **config}))
    return folder


def merged(base: Mapping[str, Tensor], folder: Path) -> Mapping[str, Tensor]:
    return merge(dict(base), [folder]).tensors


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-10, atol=1e-10)


def factors(module: str, rows: int, columns: int, r: int = 2) -> dict[str, Tensor]:
    return {f"{module}.lora_A.weight": random(r, columns), f"{module}.lora_B.weight": random(rows, r)}


# ------------------------------------------------------------------------------------ which block

LINEAR = {"weight": (6, 8), "bias": (6,)}
KERNEL = {"weight": (6, 4, 3, 3), "bias": (6,)}
ROWS = {"weight": (9, 4)}
GLORA = {f"glora_{k}.{x}": s for k in "AB" for x, s in (("Xd", (6, 3)), ("Xu", (3, 8)))}
NONE = {"glora_A.zeros": (6, 8), "glora_B.zeros": (6, 8), "glora_C.zeros": (8, 1), "glora_D.X": (1,), "glora_E.X": (1,)}
PAIR = {"lora_A.weight": (2, 8), "lora_B.weight": (6, 2)}
KERNELS = {"lora_A.weight": (2, 4, 3, 3), "lora_B.weight": (6, 2, 1, 1)}
EMBEDDED = {"lora_embedding_A": (2, 9), "lora_embedding_B": (4, 2)}

BLOCKS: tuple[tuple[str, str, dict[str, Any], dict[str, Shape], dict[str, Shape]], ...] = (
    ("LoRABiasConv(r=2, alpha=8)", "LORA", {"r": 2, "lora_bias": True}, {**KERNELS, "lora_B.bias": (6,)}, KERNEL),
    ("DoRAEmbedding(r=2, alpha=8)", "LORA", {"r": 2, "use_dora": True},
     {**EMBEDDED, "lora_magnitude_vector": (4,)}, ROWS),
    ("LoRAEmbedding(r=2, alpha=8)", "LORA", {"r": 2, "init_lora_weights": "pissa"}, EMBEDDED, ROWS),
    ("LoRA(r=2, alpha=8)", "LORA", {"r": 2, "init_lora_weights": "mica"}, PAIR, LINEAR),
    ("OLoRA(r=2, alpha=8)", "LORA", {"r": 2, "init_lora_weights": "OLoRA"}, PAIR, LINEAR),
    ("LoRAKaSA(r=2, alpha=8)", "LORA", {"r": 2, "kasa_config": {"beta": 1}}, {**PAIR, "lora_diag": (2,)}, LINEAR),
    ("PiSSA(r=2, alpha=8) >> Magnitudes()", "LORA", {"r": 2, "init_lora_weights": "pissa", "use_dora": True},
     {**PAIR, "lora_magnitude_vector": (6,)}, LINEAR),
    ("LoRABlocksA(2, r=4, alpha=8)", "LORA", {"r": 4, "use_bdlora": {"target_modules_bd_a": ["fc"], "nblocks": 2}},
     {"lora_A.weight": (4, 4), "lora_B.weight": (6, 4)}, LINEAR),
    ("LoRABlocksB(2, r=4, alpha=8)", "LORA", {"r": 4, "use_bdlora": {"target_modules_bd_b": ["c"], "nblocks": 2}},
     {"lora_A.weight": (4, 8), "lora_B.weight": (6, 2)}, LINEAR),
    ("LoRA(r=2, alpha=8)", "LORA", {"r": 2, "use_bdlora": {"target_modules_bd_b": ["up"], "nblocks": 2}}, PAIR, LINEAR),
    ("HiRAConv(r=2)", "HIRA", {"r": 5}, {"hira_A": (2, 4, 3, 3), "hira_B": (6, 2, 1, 1)}, KERNEL),
    ("HiRAEmbedding(r=2)", "HIRA", {}, {"hira_embedding_A": (2, 9), "hira_embedding_B": (4, 2)}, ROWS),
    ("GraLoRA(2, 4, 64)", "GRALORA", {"r": 4}, {"gralora_A": (2, 4, 4), "gralora_B": (2, 4, 3)}, LINEAR),
    ("GraLoRAHybrid(2, 4, 1, 64)", "GRALORA", {"r": 4, "hybrid_r": 1},
     {"gralora_A": (2, 4, 4), "gralora_B": (2, 4, 3), "gralora_A_general.weight": (1, 8),
      "gralora_B_general.weight": (6, 1)}, LINEAR),
    ('GLoRA("lora", "lora", "vector", 3)', "GLORA", {"r": 3},
     {**GLORA, "glora_C.Xd": (8, 3), "glora_C.Xu": (3, 1), "glora_D.X": (6,), "glora_E.X": (6,)}, LINEAR),
    ('GLoRA("none", "none", "constant", 3)', "GLORA", {"r": 3}, NONE, LINEAR),
    ("BEFT()", "BEFT", {}, {"beft_bias": (1, 6)}, LINEAR),
    ("DEFTRelu(3)", "DEFT", {}, {"deft_P": (6, 3), "deft_R": (3, 8)}, LINEAR),
    ("DEFTRelu(3, 5 / 3)", "DEFT", {"alpha": 5}, {"deft_P": (6, 3), "deft_R": (3, 8)}, LINEAR),
    ("DEFT(3, 5 / 3)", "DEFT", {"alpha": 5, "decomposition_method": "qr"},
     {"deft_P": (6, 3), "deft_R": (3, 8)}, LINEAR),
    ("DEFT(3)", "DEFT", {"decomposition_method": "qr"}, {"deft_P": (6, 3), "deft_R": (3, 8)}, LINEAR),
    ("PaRaRelu(3)", "DEFT", {"para": True}, {"deft_P": (6, 3)}, LINEAR),
    ("PaRa(3)", "DEFT", {"para": True, "decomposition_method": "qr"}, {"deft_P": (6, 3)}, LINEAR),
    ('PEANuT(3, 1, 0.5, "silu")', "PEANUT", {"r": 3, "depth": 1, "scaling": 0.5, "act_fn": "silu"},
     {"peanut_A.weight": (3, 6), "peanut_B.weight": (6, 3), "peanut_encoders.0.weight": (3, 3),
      "peanut_decoders.0.weight": (3, 3)}, LINEAR),
    ("OSF(2)", "OSF", {},
     {"osf_svd_params.U_low": (6, 2), "osf_svd_params.S_low": (2,), "osf_svd_params.V_low": (2, 8)}, LINEAR),
    ("OFTShared(int((1 + sqrt(1 + 8 * 6)) / 2), none)", "OFT", {"block_share": True, "use_cayley_neumann": False},
     {"oft_R.weight": (1, 6)}, LINEAR),
    ("OFTSharedNeumann(int((1 + sqrt(1 + 8 * 6)) / 2), 4, 0.01)", "OFT",
     {"block_share": True, "num_cayley_neumann_terms": 3, "coft": True, "eps": 0.01}, {"oft_R.weight": (1, 6)}, LINEAR),
    ("OFT(2, 0.01)", "OFT", {"use_cayley_neumann": False, "coft": True, "eps": 0.01}, {"oft_R.weight": (2, 6)}, LINEAR),
    ("OFTNeumann(9, 5, none)", "OFT", {}, {"oft_R.weight": (9, 6)}, KERNEL),
    ("OFTEmbeddingNeumann(2, 5, none)", "OFT", {}, {"oft_embedding_R.weight": (2, 1)}, ROWS),
    ("BOFT(2, 2)", "BOFT", {"boft_n_butterfly_factor": 2}, {"boft_R": (2, 2, 4, 4), "boft_s": (6, 1)}, LINEAR),
    ("BOFTConv(1, 9)", "BOFT", {"boft_n_butterfly_factor": 2}, {"boft_R": (1, 9, 4, 4), "boft_s": (1, 6)}, KERNEL),
    ("MiSS(2)", "BONE", {"r": 2}, {"bone_block": (2, 6)}, LINEAR),
    ("MiSSBat(2)", "BONE", {"r": 2, "init_weights": "bat"}, {"bone_block": (3, 2, 2)}, LINEAR),
    ("HRA(r=2)", "HRA", {"r": 2}, {"hra_u": (36, 2)}, KERNEL),
    ("WaveFT(5, scaling=25, seed=3)", "WAVEFT", {"random_loc_seed": 3}, {"waveft_spectrum": (5,)}, LINEAR),
    ("WaveFTDirect(5, scaling=25, seed=777)", "WAVEFT", {"use_idwt": False}, {"waveft_spectrum": (5,)}, LINEAR),
)  # fmt: skip
"""A line for each: the block, the method, its settings, the tensors of a module, and those of the base."""


@pytest.mark.parametrize(
    ("block", "kind", "config", "parts", "base"),
    BLOCKS,
    ids=[f"{case[1]} {case[0]} {number}" for number, case in enumerate(BLOCKS)],
)
def test_what_is_saved_becomes_a_block(
    block: str, kind: str, config: dict[str, Any], parts: dict[str, Shape], base: dict[str, Shape], tmp_path: Path
) -> None:
    folder = saved(tmp_path, kind, {f"fc.{part}": random(*shape) for part, shape in parts.items()}, **config)
    assert f" expect 1 use {kind.lower()}: {block}\n" in read_peft(folder).spec
    state = {f"fc.{leaf}": random(*shape) for leaf, shape in base.items()}
    ours = merged(state, folder)
    assert any(not torch.equal(ours[key], state[key]) for key in state)
    assert all(tensor.isfinite().all() for tensor in ours.values())


# ------------------------------------------------------------------------------------ what the base tells


@pytest.mark.parametrize("transposed", [False, True])
def test_factors_of_stacked_experts(transposed: bool, tmp_path: Path) -> None:
    """Three experts, ranks 2 and 3 by a pattern; the inner adapter is that of the parameter declared first."""
    up, down = random(3, 10, 4), random(3, 4, 5)
    inner = {"e.base_layer.lora_A.weight": random(9, 4), "e.base_layer.lora_B.weight": random(10, 9)}
    outer = {"e.lora_A.weight": random(6, 5), "e.lora_B.weight": random(4, 6)}
    folder = saved(
        tmp_path, "LORA", {**inner, **outer}, r=2, lora_alpha=4, use_rslora=True,
        target_parameters=["e.down", "e.up"], rank_pattern={"up": 3},
    )  # fmt: skip
    turn = (0, 2, 1) if transposed else (0, 1, 2)
    ours = merged({"e.up": up.permute(turn), "e.down": down.permute(turn)}, folder)
    for key, base, parts, r in (("e.up", up, inner, 3), ("e.down", down, outer, 2)):
        a, b = parts.values()
        delta = torch.stack([b[:, e::3] @ a[r * e : r * (e + 1)] for e in range(3)])
        close(ours[key], (base + 4 / math.sqrt(r) * delta).permute(turn))


def faults(base: Mapping[str, Tensor], folder: Path) -> tuple[Diagnostic, ...]:
    with pytest.raises(Failure) as failure:
        merged(base, folder)
    assert all(d.help for d in failure.value.diagnostics)
    return failure.value.diagnostics


def test_experts_that_the_base_does_not_tell_apart(tmp_path: Path) -> None:
    tensors = {"e.lora_A.weight": random(6, 4), "e.lora_B.weight": random(4, 6)}
    folder = saved(tmp_path, "LORA", tensors, r=2, target_parameters=["up"])
    for base, reason in (
        ({"e.up": random(3, 4, 4)}, "of these sizes there are several"),
        ({"e.up": random(3, 4, 5)}, "none of these sizes"),
        ({"e.0.up.weight": random(4, 4), "e.gate": random(3)}, "the base has none of this module"),
    ):
        (found,) = faults(base, folder)
        assert found.code == "E626"
        assert found.notes[0].startswith(f"e: of the parameters up: {reason}")


def test_a_whole_second_factor_of_a_1d_kernel_is_shifted(tmp_path: Path) -> None:
    """As PEFT multiplies, in training and in merging."""
    whole, low = random(2, 2), (random(2, 3), random(3, 2))
    second = random(3, 2, 3)
    base = {"one.weight": random(6, 4, 3), "two.weight": random(6, 4, 3)}
    tensors = {"one.lokr_w1": whole, "two.lokr_w1_a": low[0], "two.lokr_w1_b": low[1]}
    tensors |= {"one.lokr_w2": second, "two.lokr_w2": second}
    ours = merged(base, saved(tmp_path, "LOKR", tensors, r=3, alpha=6))
    for name, first in (("one.weight", whole), ("two.weight", low[0] @ low[1])):
        close(ours[name], base[name] + 2 * torch.kron(first, second).reshape(6, 4, 3))


def test_convolutions_with_groups_are_refused_by_name(tmp_path: Path) -> None:
    tensors = {"fc.lora_A.weight": random(2, 4, 3, 3), "fc.lora_B.weight": random(6, 1, 1, 1)}
    (found,) = faults({"fc.weight": random(6, 2, 3, 3)}, saved(tmp_path, "LORA", tensors, r=2))
    assert (found.code, found.notes[0].partition(",")[0]) == ("E626", "fc: a convolution with groups")


@pytest.mark.parametrize(("size", "count"), [(3, 1), (1, 0)])
def test_rotations_that_peft_trains_otherwise_are_told(size: int, count: int, tmp_path: Path) -> None:
    folder = saved(tmp_path, "OFT", {"fc.oft_R.weight": random(size * size, 6)})
    notes = merge({"fc.weight": random(6, 4, size, size)}, [folder]).notes
    assert [note.partition(",")[0] for note in notes] == ["fc: kernels are turned"] * count


def test_the_ranks_of_an_attention_are_those_of_its_whole(tmp_path: Path) -> None:
    tensors = {**factors("at", 12, 4), **factors("at.base_layer.out_proj", 4, 4)}
    folder = saved(tmp_path, "LORA", tensors, r=3, rank_pattern={"at": 2})
    base = {"at.in_proj_weight": random(12, 4), "at.out_proj.weight": random(4, 4)}
    ours = merged(base, folder)
    a, b = tensors["at.lora_A.weight"], tensors["at.lora_B.weight"]
    close(ours["at.in_proj_weight"], base["at.in_proj_weight"] + 8 / 2 * b @ a)


# ------------------------------------------------------------------------------------ projections by their seed


def vera_parts(module: str, rows: int) -> dict[str, Tensor]:
    return {f"{module}.vera_lambda_b": random(rows), f"{module}.vera_lambda_d": random(3)}


@pytest.mark.parametrize("transposed", [False, True])
def test_projections_that_are_not_stored_are_drawn(transposed: bool, tmp_path: Path) -> None:
    """As torch draws them, in the sizes of the largest layers."""
    shapes = {"one": (6, 8), "two": (9, 5)}
    tensors = vera_parts("one", 6) | vera_parts("two", 9)
    folder = saved(
        tmp_path, "VERA", tensors, r=3, save_projection=False, projection_prng_key=4, fan_in_fan_out=transposed
    )
    base = {f"{name}.weight": random(*(shape[::-1] if transposed else shape)) for name, shape in shapes.items()}
    generator = torch.Generator().manual_seed(4)
    a, b = torch.empty(3, 8), torch.empty(9, 3)
    for tensor in (a, b):
        torch.nn.init.kaiming_uniform_(tensor, generator=generator)
    ours = merged(base, folder)
    for name, (rows, columns) in shapes.items():
        outer, inner = tensors[f"{name}.vera_lambda_b"], tensors[f"{name}.vera_lambda_d"]
        delta = outer[:, None] * b[:rows].double() @ (inner[:, None] * a[:, :columns].double())
        close(ours[f"{name}.weight"], base[f"{name}.weight"] + (delta.T if transposed else delta))


def test_projections_of_a_precision_that_is_not_known(tmp_path: Path) -> None:
    tensors = {"fc.randlora_lambda": random(2, 3), "fc.randlora_gamma": random(3, 6)}
    base = {"fc.weight": random(6, 8)}
    folder = saved(tmp_path, "RANDLORA", tensors, r=2, save_projection=False)
    (found,) = faults(base, folder)
    assert (found.code, found.title.partition("save_")[2]) == (
        "E623",
        "projection = false: the projections are not stored, and the library draws them in a precision that depends on "
        "the machine",
    )
    ours = merged(base, saved(tmp_path, "RANDLORA", tensors, r=2, save_projection=False, sparse=True))
    assert not torch.equal(ours["fc.weight"], base["fc.weight"])


def test_vectors_go_to_groups_of_layers_in_the_order_of_the_network(tmp_path: Path) -> None:
    """The order is told by the projections: `zero` is the first of three layers, of which the first two are a group."""
    tensors = {"/tinylora_v.0": random(5), "/tinylora_v.1": random(5) + 1}
    for number, name in enumerate(("zero", "one", "two")):
        projections = torch.normal(0.0, 0.5**0.5, (5, 2, 2), generator=torch.Generator().manual_seed(7 + number))
        parts = {"A": random(2, 8), "B": random(6, 2), "P": projections}
        tensors |= {f"{name}.tinylora_{part}": tensor for part, tensor in parts.items()}
    base = {f"{name}.weight": random(6, 8) for name in ("one", "two", "zero")}
    ours = merged(base, saved(tmp_path, "TINYLORA", tensors, projection_seed=7, weight_tying=0.3))
    for name, vector in (("zero", "0"), ("one", "1"), ("two", "1")):
        a, b, p = (tensors[f"{name}.tinylora_{part}"].double() for part in "ABP")
        middle = torch.einsum("u,ujk->jk", tensors[f"/tinylora_v.{vector}"], p)
        close(ours[f"{name}.weight"], base[f"{name}.weight"] + b @ middle @ a)
    left = {key: tensor for key, tensor in tensors.items() if not key.endswith("_P")}
    (found,) = faults(base, saved(tmp_path, "TINYLORA", left, projection_seed=7, weight_tying=0.3))
    assert (found.code, found.title.partition("false: ")[2][:32]) == ("E623", "which of the vectors belongs to ")


def test_projections_of_layers_of_one_kind(tmp_path: Path) -> None:
    kinds = {"q": ("l.0.q", "l.1.q"), "attention_output": ("l.0.attention.output.dense",), "mlp_up": ("l.1.mlp.up",)}
    tensors, base = dict[str, Tensor](), dict[str, Tensor]()
    for number, (kind, names) in enumerate(kinds.items()):
        tensors[f"/frod_V.{kind}"] = torch.eye(4, dtype=torch.float64) + 0.1 * random(4, 4) * (number + 1)
        tensors[f"/frod_s_indices.{kind}"] = torch.tensor([[0, 2, 2], [1, 3, 3]])
        tensors[f"/frod_s_size.{kind}"] = torch.tensor([4, 4])
        for name in names:
            tensors |= {f"{name}.frod_lambda_l": random(4), f"{name}.frod_lambda_s_values": random(3)}
            base[f"{name}.weight"] = random(5, 4)
    ours = merged(base, saved(tmp_path, "FROD", tensors))
    for kind, names in kinds.items():
        v = tensors[f"/frod_V.{kind}"]
        for name in names:
            left = base[f"{name}.weight"] @ torch.linalg.inv(v).T
            inner = torch.diag(tensors[f"{name}.frod_lambda_l"])
            values = tensors[f"{name}.frod_lambda_s_values"]
            inner[0, 1] += values[0]
            inner[2, 3] += values[1] + values[2]
            close(ours[f"{name}.weight"], left / left.square().sum(0).sqrt() @ inner @ v.T)
    left = {key: tensor for key, tensor in tensors.items() if not key.startswith("/")}
    (found,) = faults(base, saved(tmp_path, "FROD", left))
    assert (found.code, found.title.partition("save_")[2][:44]) == (
        "E623",
        "projection = false: the projections are not ",
    )


# ------------------------------------------------------------------------------------ keys and files


def test_tensors_of_one_storage_do_not_part_in_silence(tmp_path: Path) -> None:
    """The state_dict of a network with a tied head has one tensor under two names."""
    table, rows = random(9, 4), random(2, 4)
    base = {"embed.weight": table, "head.weight": table}
    tensors = {"embed.token_adapter.trainable_tokens_delta": rows}
    folder = saved(tmp_path, "TRAINABLE_TOKENS", tensors, token_indices=[3, 1])
    (found,) = faults(base, folder)
    assert found.code == "E632"
    new = table.index_copy(0, torch.tensor([3, 1]), rows)
    for ours, head in ((merge(base, [folder], tied="share"), new), (merge(base, [folder], tied="untie"), table)):
        close(ours.tensors["embed.weight"], new)
        close(ours.tensors["head.weight"], head)


@pytest.mark.parametrize("alike", [True, False])
def test_tied_tensors_that_are_both_stored_anew(alike: bool, tmp_path: Path) -> None:
    table, whole = random(9, 4), random(9, 4) + 1
    stored = {"embed_tokens.weight": whole, "lm_head.weight": whole if alike else whole + 1}
    folder = saved(tmp_path, "LORA", stored, modules_to_save=["embed_tokens"], ensure_weight_tying=True)
    base = {"embed_tokens.weight": table, "lm_head.weight": table}
    if alike:
        assert all(torch.equal(tensor, whole) for tensor in merged(base, folder).values())
    else:
        (found,) = faults(base, folder)
        assert found.code == "E633"


def test_embeddings_are_stored_whole_without_a_setting(tmp_path: Path) -> None:
    """The one that is adapted inside its adapter, the other because the vocabulary has grown."""
    whole, head = random(9, 4), random(9, 4) + 1
    tensors = {"embed_tokens.lora_embedding_A": random(2, 9), "embed_tokens.lora_embedding_B": random(4, 2)}
    folder = saved(tmp_path, "LORA", {**tensors, "embed_tokens.base_layer.weight": whole, "lm_head.weight": head}, r=2)
    base = {"embed_tokens.weight": random(9, 4) - 1, "lm_head.weight": random(9, 4) - 2}
    found = merge(base, [folder])
    a, b = tensors.values()
    close(found.tensors["embed_tokens.weight"], whole + 4 * (b @ a).T)
    assert torch.equal(found.tensors["lm_head.weight"], head)
    assert [note.partition(" was")[0] for note in found.notes] == ["embed_tokens", "lm_head"]


def test_biases_of_adapted_layers_alone(tmp_path: Path) -> None:
    tensors, bias = factors("fc", 6, 8), random(6)
    base = {"fc.weight": random(6, 8), "fc.bias": random(6) + 1, "head.bias": random(3)}
    folder = saved(tmp_path, "LORA", {**tensors, "fc.base_layer.bias": bias}, r=2, bias="lora_only")
    ours = merged(base, folder)
    assert torch.equal(ours["fc.bias"], bias)
    assert not torch.equal(ours["fc.weight"], base["fc.weight"])
    (found,) = faults(base, saved(tmp_path, "LORA", tensors, r=2, bias="lora_only"))
    assert (found.code, found.title.partition("bias = ")[2]) == (
        "E623",
        '"lora_only": the trained biases are not in the file',
    )
    more = {**tensors, "fc.base_layer.bias": bias, "head.bias": random(3)}
    (found,) = faults(base, saved(tmp_path, "LORA", more, r=2, bias="lora_only"))
    assert (found.code, found.notes[0].partition(" ")[0]) == ("E624", "base_model.model.head.bias")


def test_what_only_training_reads_is_told(tmp_path: Path) -> None:
    tensors = {**factors("fc", 6, 8), "fc.lora_velora_embed": random(4)}
    folder = saved(tmp_path, "LORA", tensors, r=2, velora_config={"num_groups": 2})
    found = merge({"fc.weight": random(6, 8)}, [folder])
    assert found.notes == ("1 lora_velora_embed of the adapter not used, since nothing reads them",)
    assert found.changed == {"fc.weight"}


def test_another_tensor_of_the_base_is_not_taken(tmp_path: Path) -> None:
    folder = saved(tmp_path, "LORA", {**factors("fc", 6, 8), "fc.base_layer.weight": random(6, 8)}, r=2)
    (found,) = faults({"fc.weight": random(6, 8)}, folder)
    assert found.code == "E624"


def test_keys_without_the_prefix_and_a_torch_file(tmp_path: Path) -> None:
    tensors, base = factors("fc", 6, 8), {"fc.weight": random(6, 8)}
    wanted = base["fc.weight"] + 4 * tensors["fc.lora_B.weight"] @ tensors["fc.lora_A.weight"]
    close(merged(base, saved(tmp_path, "LORA", tensors, prefix="", r=2))["fc.weight"], wanted)
    (tmp_path / "adapter_model.safetensors").unlink()
    torch.save({f"base_model.model.{key}": t for key, t in tensors.items()}, tmp_path / "adapter_model.bin")
    close(merged(base, tmp_path)["fc.weight"], wanted)


def test_what_reads_the_base_comes_first(tmp_path: Path) -> None:
    """W * (1 + BA) beside W + BA, in the order that is given."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    lora = saved(tmp_path / "a", "LORA", factors("fc", 6, 8), r=2)
    hira = saved(tmp_path / "b", "HIRA", {"fc.hira_A": random(3, 8), "fc.hira_B": random(6, 3)})
    base = {"fc.weight": random(6, 8)}
    with pytest.raises(Failure, match="E628"):
        merge(base, [lora, hira])
    one, two = merged(base, lora)["fc.weight"], merged(base, hira)["fc.weight"]
    close(merge(base, [hira, lora]).tensors["fc.weight"], one + two - base["fc.weight"])
