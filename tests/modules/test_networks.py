"""`repc.fold` on networks that are put together in other ways than layer after layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import repc
from tests.importers.torch.networks import RepConv, image, randomised
from tests.modules.test_fold import apart, kinds


class Heads(nn.Module):
    """One head on two levels; its first norm is used alone as well, on a third."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = RepConv(3, 4, stride=2)
        self.head = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), RepConv(4, 4, groups=2), nn.Conv2d(4, 2, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        y = self.stem(x)
        return [self.head(y), self.head(nn.functional.max_pool2d(y, 2)), self.head[2](y)]


def test_a_head_of_several_levels_is_folded_and_stored_once() -> None:
    module = randomised(Heads()).double()
    folded = repc.fold(module, image(1, 3, 12, 16).double())
    assert (folded.report.after["conv"], folded.report.after.get("batch_norm", 0)) == (8, 0)
    assert len([part for part in folded.modules() if isinstance(part, nn.Conv2d)]) == 4
    assert sum(key.endswith("weight") for key in folded.state_dict()) == 4
    assert apart(module, folded, image(2, 3, 12, 16, seed=1).double()) < 1e-12


def test_one_layer_before_different_norms_is_not_untied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.one, self.two = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.two(self.conv(torch.relu(self.one(self.conv(x)))))

    folded = repc.fold(randomised(Tied()), image(1, 4, 5, 7))
    assert kinds(folded) == ["Conv2d", "BatchNorm2d", "BatchNorm2d"]
    assert "folding would untie it" in str(folded.report)


class Recurrent(nn.Module):
    """What torch marks as random although nothing is drawn in evaluation; weights of other types than the rest."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(6, 6, 2, batch_first=True, dropout=0.5)
        self.filter = nn.Parameter(image(6, 4, 2))
        self.register_buffer("mask", image(5, 5, seed=1) > -1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.cell(x)[0]
        y = nn.functional.scaled_dot_product_attention(y, y, y, self.mask | (y.shape[1] == 9))
        y = torch.fft.irfft(torch.fft.rfft(y) * torch.view_as_complex(self.filter)[2], n=6)
        least = torch.finfo(y.dtype).min
        return y.masked_fill(x > 2, least).softmax(1)


def test_calls_that_could_draw_and_do_not_are_verified() -> None:
    module = Recurrent().eval()
    folded = repc.fold(module, image(1, 5, 6))
    assert folded.report
    assert set(folded.report.opaque) >= {"aten.lstm.input", "aten.fft_rfft.default"}
    assert apart(module, folded, image(3, 5, 6, seed=2)) < 1e-6


def test_values_too_small_for_digits_are_no_mistake() -> None:
    module = randomised(nn.Sequential(*(RepConv(4, 4) for _ in range(3))))
    state = module.state_dict()
    for key, value in state.items():
        value.mul_(1e-14 if "bn.weight" in key or "1.weight" in key or "identity.weight" in key else 1)
        value.mul_(0 if key.endswith(("bias", "running_mean")) else 1)
    folded = repc.fold(module, image(1, 4, 7, 9))
    with torch.no_grad():
        assert 0 < float(folded(image(1, 4, 7, 9)).abs().max()) < 1e-39
    assert folded.report


def test_a_free_size_that_is_returned_is_fixed() -> None:
    class Sized(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, int]:
            return x * 2, x.shape[0]

    folded = repc.fold(Sized().eval(), image(2, 3))
    assert folded(image(2, 3))[1] == 2
    (note,) = folded.report.notes
    assert note == "the batch is fixed at 2: the output output_1 is a size that is free, not a tensor"


class Grid(nn.Module):
    """Decodes boxes on a grid, of which each constant is made by a call that modules have a method for."""

    def forward(self, x: Tensor) -> Tensor:
        _, _, h, w = x.shape
        rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
        grid = torch.stack([columns, rows]).float()
        return (x[:, :2].sigmoid() * 2 + grid).flatten(2) * grid.to(torch.float64).type(x.dtype).amax()


def test_constants_have_names_that_a_module_can_hold() -> None:
    module = Grid().eval()
    folded = repc.fold(module, image(1, 3, 5, 7))
    assert list(folded.state_dict()) == ["to_"]
    assert apart(module, folded, image(2, 3, 5, 7)) < 1e-6
