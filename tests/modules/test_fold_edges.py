"""`repc.fold` on modules that people write and torch treats in a way of its own: masks, states, batches, nothing."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import repc
from tests.importers.torch.networks import image, randomised, relative
from tests.modules.test_fold import apart


class Encoder(nn.Module):
    """Takes a mask of padding, and makes a causal one that nobody has told it to be causal."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
        self.causal = causal

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        if not self.causal:
            return self.encoder(x, src_key_padding_mask=padding)
        hidden = torch.zeros(padding.shape).masked_fill(padding, -torch.inf)
        return self.encoder(x, nn.Transformer.generate_square_subsequent_mask(x.shape[1]), src_key_padding_mask=hidden)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("causal", [False, True])
def test_an_encoder_with_masks_folds_without_the_fast_path(causal: bool) -> None:
    module, x = randomised(Encoder(causal)), image(2, 4, 8)
    padding = torch.tensor([[False, False, False, True], [False, False, True, True]])
    folded = repc.fold(module, (x, padding))
    assert any("fast path" in note for note in folded.report.notes) == (not causal)
    assert torch.backends.mha.get_fastpath_enabled()
    assert relative(folded(x, padding), module(x, padding).detach()) < 1e-5  # with gradients there is no fast path


class Cells(nn.Module):
    """A state that is zero at first, for any batch."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.bn = nn.Linear(8, 4), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        state = x.new_zeros(x.shape[0], 4)
        for step in x.unbind(1):
            state = self.bn(0.5 * state + self.mix(step)).tanh_()
        return state


def test_a_state_that_is_zero_at_first_is_no_way_up() -> None:
    module = randomised(Cells())
    folded = repc.fold(module, image(2, 3, 8))
    assert apart(module, folded, image(5, 3, 8, seed=1)) < 1e-5


class FirstTwo(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[0] + x[1]


class Dropping(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 2).squeeze_(0)


def test_a_batch_that_the_module_does_not_take_is_not_tried() -> None:
    folded = repc.fold(FirstTwo().eval(), image(3, 4))
    assert folded.report
    note = "verified on the batch of the example alone: the original does not take 1"
    assert note in folded.report.notes
    assert (
        "the batch is fixed at 2: the network asks whether batch != 1"
        in repc.fold(Dropping().eval(), image(2, 4)).report.notes
    )


class Nothing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.none = nn.Parameter(torch.zeros(0, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x * 2, self.none * 2


def test_a_weight_without_elements_has_no_largest_one() -> None:
    assert repc.fold(Nothing().eval(), image(2, 3)).report
