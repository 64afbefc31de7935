"""The primitives of weights against torch; what is random is the same to the last bit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.init import kaiming_uniform_

from repc.diagnostics import Failure, Source
from repc.evaluate import evaluate
from repc.evaluate.floating import TorchField
from repc.ir.types import TensorType
from repc.semantics import FileLibrary, adapt_stored, load


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


W = torch.randn(4, 6, generator=seeded(0), dtype=torch.float64)
S = torch.randn(6, 6, generator=seeded(1), dtype=torch.float64)


def replaced(body: str) -> Tensor:
    """The value of an expression over W [4, 6] and S [6, 6], as a weight of its own shape."""
    text = (
        "repc 1\n\nblock New(w: [...t], W: [o, i], S: [n, n]) {\n"
        f"  {body}\n}}\n\nadapt Base as Adapted {{\n  weight W: [4, 6] = zeros\n  weight S: [6, 6] = zeros\n"
        "  at fc.out expect 1 use new: New()\n}\n"
    )
    shape = RESULTS[body](W, S).shape
    found = adapt_stored(load(Source("new", text), FileLibrary()), "Adapted", {"fc.out": TensorType(tuple(shape))})
    state = {"fc.out": torch.zeros(shape, dtype=torch.float64), "W": W, "S": S}
    return evaluate(found.weights, TorchField(), state)["fc.out"]


def scattered(rows: Tensor) -> Tensor:
    return torch.zeros(5, 6, dtype=torch.float64).index_copy(0, torch.tensor([3, 0]), rows)


Formula = Callable[[Tensor, Tensor], Tensor]
TABLE: dict[str, tuple[str, Formula]] = {
    "einsum": ('return einsum(W, S, "oi,in->no")', lambda w, s: torch.einsum("oi,in->no", w, s)),
    "slice": ("return slice(W, axis=1, start=1, step=2)", lambda w, s: w[:, 1::2]),
    "brackets": ("return W[1:3, -2:]", lambda w, s: w[1:3, -2:]),
    "concat": ("return concat(axis=0) { W | S }", lambda w, s: torch.cat([w, s])),
    "tile": ("return tile(W, [2, 3])", lambda w, s: w.tile(2, 3)),
    "pad": ("return pad(W, [[1, 2], [0, 3]])", lambda w, s: functional.pad(w, (0, 3, 1, 2))),
    "diag": ("return diag(W[1])", lambda w, s: torch.diag(w[1])),
    "triu_indices": (
        "let at = triu_indices(6, 1)\n  return gather(reshape(S, [36]), at[0] * 6 + at[1])",
        lambda w, s: s[torch.triu_indices(6, 6, 1).unbind()],
    ),
    "tril_indices": (
        "let at = tril_indices(6, -2)\n  return gather(reshape(S, [36]), at[0] * 6 + at[1])",
        lambda w, s: s[torch.tril_indices(6, 6, -2).unbind()],
    ),
    "topk": ('let (v, at) = topk(W, 2)\n  return v * cast(at, "f32")', lambda w, s: w.topk(2)[0] * w.topk(2)[1]),
    "softmax": ("return softmax(W, 0)", lambda w, s: w.softmax(0)),
    "gather": ('return gather(W, cast(tensor([3, 0, 3]), "i64"))', lambda w, s: w[[3, 0, 3]]),
    "scatter": (
        'return index_copy(fill([5, 6], 0), cast(tensor([3, 0]), "i64"), W[:2])',
        lambda w, s: scattered(w[:2]),
    ),
    "scatter-add": (
        'return index_add(S, cast(tensor([3, 0, 3, 5]), "i64"), W)',
        lambda w, s: s.index_add(0, torch.tensor([3, 0, 3, 5]), w),
    ),
    "solve": ("return solve(S, W.T)", lambda w, s: torch.linalg.solve(s, w.T)),
    "qr": ("let (q, r) = qr(W)\n  return q @ r + r", lambda w, s: w + torch.linalg.qr(w)[1]),
    "svd": (
        "let (u, v, h) = svd(S)\n  return u * reshape(v, [1, 6]) + h",
        lambda w, s: torch.linalg.svd(s)[0] * torch.linalg.svd(s)[1] + torch.linalg.svd(s)[2],
    ),
    "fft": (
        "return real(ifft(fft(W) * fft(S[:4])))",
        lambda w, s: torch.fft.ifft(torch.fft.fft(w) * torch.fft.fft(s[:4])).real,
    ),
    "fft of columns": ("return real(fft(W, axis=0))", lambda w, s: torch.fft.fft(w, dim=0).real),
    "randn": ("return randn([3, 5], 7)", lambda w, s: torch.randn(3, 5, generator=seeded(7)).double()),
    "rand": ("return rand([3, 5], seed=8)", lambda w, s: torch.rand(3, 5, generator=seeded(8)).double()),
    "randperm": ('return cast(randperm(20, 9), "f32")', lambda w, s: torch.randperm(20, generator=seeded(9)).double()),
    "kaiming_uniform": (
        "return kaiming_uniform([3, 5, 2], seed=6, a=sqrt(5))",
        lambda w, s: kaiming_uniform_(torch.empty(3, 5, 2), 5**0.5, generator=seeded(6)).double(),
    ),
}
RESULTS = dict(TABLE.values())
RANDOM = ("randn", "rand", "randperm", "kaiming_uniform")


@pytest.mark.parametrize("name", TABLE)
def test_a_primitive_is_that_of_torch(name: str) -> None:
    body, formula = TABLE[name]
    ours, wanted = replaced(body), formula(W, S)
    if name in RANDOM:
        assert torch.equal(ours, wanted)
    else:
        torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("return real(W)", "complex"),
        ("return kaiming_uniform([3], seed=1)", "at least two sizes"),
        ("return diag(W)", "a vector"),
        ("return tile(W, [2])", "2"),
        ("return triu_indices(0)", "at least 1"),
        ("return kaiming_uniform([3, 4])", "a number"),
    ],
)
def test_what_does_not_fit(body: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RESULTS, body, lambda w, _: w)
    with pytest.raises(Failure, match=reason):
        replaced(body)
