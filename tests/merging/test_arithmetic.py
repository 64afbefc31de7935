"""Arithmetic on whole checkpoints, each method against its formula in a few lines of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from repc.diagnostics import Failure
from repc.merging import MergeReport, Options, combining, computed, merge_files
from tests.merging.checkpoints import draw, write_folder

SHAPES = {"a.weight": (24, 10), "a.bias": (24,), "k.weight": (8, 3, 3, 2), "scale": (1,)}


def model(seed: int) -> dict[str, Tensor]:
    return {key: draw(*shape, seed=seed).double() for key, shape in SHAPES.items()}


MODELS = [model(seed) for seed in (0, 50, 90)]


def save(folder: Path, tensors: dict[str, Tensor]) -> Path:
    folder.parent.mkdir(exist_ok=True, parents=True)
    save_file(tensors, folder)
    return folder


def run(folder: Path, count: int, spec: str, out: str = "out", **settings: Any) -> dict[str, Tensor]:
    base, *others = [save(folder / f"{i}.safetensors", MODELS[i]) for i in range(count + 1)]
    merge_files(base, combining(others, spec, settings), folder / f"{out}.safetensors", Options(arithmetic="f64"))
    return load_file(folder / f"{out}.safetensors")


def check(found: dict[str, Tensor], formula: Callable[[Tensor, list[Tensor]], Tensor], count: int = 2) -> None:
    for key, base in MODELS[0].items():
        wanted = formula(base, [MODELS[i][key] for i in range(1, count + 1)])
        torch.testing.assert_close(found[key], wanted, rtol=1e-12, atol=1e-14)


def test_task_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(computed, "TILE", 30)
    found = run(tmp_path, 2, "repc:task", scale=0.7, weights=[0.5, -2])
    check(found, lambda w, m: w + 0.7 * (0.5 * (m[0] - w) - 2 * (m[1] - w)))


@pytest.mark.parametrize("weights", [None, [3, 1]])
def test_soups(weights: list[int] | None, tmp_path: Path) -> None:
    first, second = weights or (1, 1)
    settings: dict[str, Any] = {"weights": weights} if weights else {}
    found = run(tmp_path, 2, "repc:soup", **settings)
    check(found, lambda w, m: (first * m[0] + second * m[1]) / (first + second))


def trimmed(delta: Tensor, density: float) -> Tensor:
    count = max(1, round(density * delta.numel()))
    least = delta.abs().flatten().sort(descending=True).values[count - 1]
    return torch.where(delta.abs() >= least, delta, 0.0)


def elected(deltas: list[Tensor]) -> Tensor:
    sign = torch.stack(deltas).sum(0).sign()
    agree = torch.stack([torch.where(d.sign() == sign, d, 0.0) for d in deltas])
    return agree.sum(0) / (agree != 0).sum(0).clamp(min=1)


def test_ties(tmp_path: Path) -> None:
    found = run(tmp_path, 2, "repc:ties", density=0.3, scale=0.8)
    check(found, lambda w, m: w + 0.8 * elected([trimmed(x - w, 0.3) for x in m]))


def uniform(count: int, base: Tensor, seed: int, site: int) -> Tensor:
    random = torch.Generator().manual_seed(1000003 * seed + site)
    return torch.rand((count, *base.shape), generator=random).double()


def sites(found: dict[str, Tensor], formula: Callable[[Tensor, Tensor, int], Tensor], count: int = 2) -> None:
    """The site of a tensor is its place in the file."""
    for site, (key, wanted) in enumerate(formula_inputs(count).items()):
        base, models = wanted
        torch.testing.assert_close(found[key], formula(base, models, site), rtol=1e-12, atol=1e-14)


def formula_inputs(count: int) -> dict[str, tuple[Tensor, Tensor]]:
    order = sorted(SHAPES)  # as safetensors puts tensors of one type
    return {key: (MODELS[0][key], torch.stack([MODELS[i][key] for i in range(1, count + 1)])) for key in order}


def test_dare(tmp_path: Path) -> None:
    found = run(tmp_path, 2, "repc:dare", density=0.4, scale=0.6, weights=[1, 2], seed=3)

    def formula(w: Tensor, m: Tensor, site: int) -> Tensor:
        kept = (uniform(2, w, 3, site) < 0.4).double() * (m - w) / 0.4
        return w + 0.6 * (kept[0] + 2 * kept[1])

    sites(found, formula)
    again = run(tmp_path, 2, "repc:dare", "again", density=0.4, scale=0.6, weights=[1, 2], seed=3)
    other = run(tmp_path, 2, "repc:dare", "other", density=0.4, scale=0.6, weights=[1, 2], seed=4)
    assert all(torch.equal(found[key], again[key]) for key in found)
    assert not torch.equal(found["a.weight"], other["a.weight"])


def test_della(tmp_path: Path) -> None:
    found = run(tmp_path, 2, "repc:della", density=0.5, spread_by=0.3, scale=0.9, seed=2)

    def formula(w: Tensor, m: Tensor, site: int) -> Tensor:
        rows = w.shape[0] if w.dim() > 1 else 1
        delta = (m - w).reshape(2, rows, -1)
        width = delta.shape[-1]
        place = delta.abs().argsort(-1, descending=True).argsort(-1).double()
        stays = 0.5 + 0.15 - 0.3 / width * place
        kept = torch.where(uniform(2, delta[0], 2, site) < stays, delta / stays, 0.0)
        return w + 0.9 * elected(list(kept)).reshape(w.shape)

    sites(found, formula)


def test_breadcrumbs(tmp_path: Path) -> None:
    found = run(tmp_path, 2, "repc:breadcrumbs", density=0.5, outliers=0.1, scale=0.5)

    def kept(delta: Tensor) -> Tensor:
        order = delta.flatten().abs().argsort(descending=True)
        skipped = round(0.1 * delta.numel())
        mask = torch.zeros(delta.numel(), dtype=torch.float64)
        mask[order[skipped : skipped + max(1, round(0.5 * delta.numel()))]] = 1
        return delta * mask.reshape(delta.shape)

    check(found, lambda w, m: w + 0.5 * (kept(m[0] - w) + kept(m[1] - w)))


def test_slerp(tmp_path: Path) -> None:
    found = run(tmp_path, 1, "repc:slerp", t=0.3)

    def formula(w: Tensor, m: list[Tensor]) -> Tensor:
        cosine = float((w * m[0]).sum() / w.norm() / m[0].norm())
        if abs(cosine) > 0.9995:
            return 0.7 * w + 0.3 * m[0]
        angle = math.acos(cosine)
        return (math.sin(0.7 * angle) * w + math.sin(0.3 * angle) * m[0]) / math.sin(angle)

    check(found, formula, 1)


def test_a_method_of_ones_own(tmp_path: Path) -> None:
    spec = tmp_path / "median.rep"
    spec.write_text(
        "repc 1\n\nblock Middle<n>(W: [...s]) {\n  weight models: [n, ...s] = zeros\n"
        "  return (amax(models, axis=0) + amin(models, axis=0)) / 2\n}\n"
    )
    check(run(tmp_path, 2, str(spec)), lambda w, m: (torch.maximum(*m) + torch.minimum(*m)) / 2)


# ------------------------------------------------------------------------------------ buffers, ties, refusals


def normed(seed: int) -> dict[str, Tensor]:
    return {
        "bn.weight": draw(4, seed=seed),
        "bn.running_var": draw(4, seed=seed).abs(),
        "bn.num_batches_tracked": torch.tensor(seed),
    }


def souped(folder: Path, tensors: list[dict[str, Tensor]], **options: Any) -> tuple[MergeReport, dict[str, Tensor]]:
    base, *others = [save(folder / f"{i}.safetensors", model) for i, model in enumerate(tensors)]
    planner = combining(others, "repc:soup", {}, **options)
    report = merge_files(base, planner, folder / "out.safetensors", Options(force=True))
    return report, load_file(folder / "out.safetensors")


def test_buffers_need_a_policy(tmp_path: Path) -> None:
    models = [normed(1), normed(2), normed(3)]
    with pytest.raises(Failure) as failure:
        souped(tmp_path, models)
    assert [d.code for d in failure.value.diagnostics] == ["E640"]
    report, kept = souped(tmp_path, models, buffers="keep")
    assert torch.equal(kept["bn.running_var"], models[0]["bn.running_var"])
    assert report.notes == ("buffers are those of the base, 2 in all",)
    torch.testing.assert_close(kept["bn.weight"], (models[1]["bn.weight"] + models[2]["bn.weight"]) / 2)
    report, averaged = souped(tmp_path, models, buffers="average")
    wanted = (models[1]["bn.running_var"] + models[2]["bn.running_var"]) / 2
    torch.testing.assert_close(averaged["bn.running_var"], wanted)
    assert averaged["bn.num_batches_tracked"] == 1
    assert len(report.notes) == 2


def test_what_is_tied_in_all_models_stays_tied(tmp_path: Path) -> None:
    config = {"architectures": ["GPT2LMHeadModel"]}
    folders = [write_folder(tmp_path / str(i), [{"wte.weight": draw(5, 3, seed=i)}], **config) for i in range(3)]
    report = merge_files(folders[0], combining(folders[1:], "repc:soup", {}), tmp_path / "out", Options())
    found = load_file(tmp_path / "out" / "model-00001-of-00001.safetensors")
    torch.testing.assert_close(found["wte.weight"], (draw(5, 3, seed=1) + draw(5, 3, seed=2)) / 2)
    assert report.notes == ("wte.weight and lm_head.weight stay one tensor: lm_head.weight follows",)
    untied = write_folder(tmp_path / "x", [{"wte.weight": draw(5, 3)}], tie_word_embeddings=False, **config)
    with pytest.raises(Failure, match="E639"):
        merge_files(folders[0], combining([untied], "repc:soup", {}), None, Options())


@pytest.mark.parametrize("spec", ["soup", "task", "ties", "dare", "della", "breadcrumbs", "slerp"])
def test_a_tensor_without_elements_is_kept(spec: str, tmp_path: Path) -> None:
    base, other = (
        save(tmp_path / f"{i}.safetensors", {"a": draw(4, 3, seed=i), "b": draw(0, 3), "c": draw(3, 0)}) for i in (0, 1)
    )
    report = merge_files(base, combining([other], f"repc:{spec}", {}), tmp_path / "out.safetensors", Options())
    assert (list(report.changes), report.kept) == (["a"], 2)
    assert (report.base, *report.adapters) == (str(base), str(other))
    assert [load_file(tmp_path / "out.safetensors")[key].shape for key in "bc"] == [(0, 3), (3, 0)]


def test_what_is_wrong_at_every_tensor_is_told_once(tmp_path: Path) -> None:
    base = save(tmp_path / "base.safetensors", {"a": draw(3), "b": draw(4), "c": draw(5)})
    with pytest.raises(Failure) as failure:
        merge_files(base, combining([base, base], "repc:slerp", {}), None, Options())
    (found,) = failure.value.diagnostics
    assert (found.title, found.notes) == ("SLERP is between the base and one model", ("and 2 times more",))


def test_models_that_cannot_be_combined(tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        souped(tmp_path, [{"a": draw(3)}, {"a": draw(4)}, {"b": draw(3)}])
    assert [d.code for d in failure.value.diagnostics] == ["E639", "E639"]
    assert failure.value.diagnostics[0].notes == ("a: [3] in the base, [4]",)


@pytest.mark.parametrize(
    ("spec", "settings", "code"),
    [
        ("repc:ties", {"densty": 1}, "E638"),
        ("repc:ties", {"n": 1}, "E638"),
        ("repc:dare", {"site": 0}, "E638"),
        ("repc:lora", {}, "E638"),
        ("repc:lora/LoRA", {}, "E638"),
        ("repc:lora/LoRABias", {}, "E638"),
        ("repc:nothing", {}, "E231"),
    ],
)
def test_specs_that_are_no_method(spec: str, settings: dict[str, Any], code: str, tmp_path: Path) -> None:
    base = save(tmp_path / "a.safetensors", {"a.weight": draw(3, 4)})
    with pytest.raises(Failure) as failure:
        merge_files(base, combining([base], spec, settings), None, Options())
    assert [d.code for d in failure.value.diagnostics] == [code]
