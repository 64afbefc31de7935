"""What is particular to torch's tensors; the rest is covered by every operator's own test."""

import subprocess
import sys
from fractions import Fraction

import torch

from repc.evaluate.floating import TorchField


def test_a_sum_over_no_axes_is_the_tensor_itself() -> None:
    x = torch.ones(2, 3)
    assert TorchField().sum(x, (), keep=False) is x


def test_softplus_keeps_its_tail() -> None:
    x = torch.tensor([25.0], dtype=torch.float64)
    assert TorchField().function("softplus", (), x).item() - 25 > 0


def test_a_range_is_a_view_and_a_list_is_a_selection() -> None:
    x = torch.arange(12).reshape(2, 6)
    part = TorchField().take(x, 1, range(1, 6, 2))
    assert part.tolist() == [[1, 3, 5], [7, 9, 11]]
    assert part.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert TorchField().take(x, 1, [5, 0, 0]).tolist() == [[5, 0, 0], [11, 6, 6]]


def test_samples_repeat_with_their_generator() -> None:
    def draw(seed: int) -> torch.Tensor:
        return TorchField(torch.float32, torch.Generator().manual_seed(seed)).sample("normal", (50,), 3.0, 0.5)

    assert draw(1).dtype == torch.float32
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    uniform = TorchField(generator=torch.Generator().manual_seed(0)).sample("uniform", (1000,), -2.0, 1.0)
    assert -2 <= uniform.min() < -1.9 < 0.9 < uniform.max() <= 1


def test_constants_take_the_type_of_the_field() -> None:
    field = TorchField(torch.float16)
    assert field.fill((2,), Fraction(1, 3)).dtype == torch.float16
    assert field.constant((1, 2), [Fraction(1, 4), Fraction(2)]).tolist() == [[0.25, 2.0]]


def test_the_walk_alone_does_not_load_torch() -> None:
    code = "import sys, repc.evaluate; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
