"""F4: the identity as a convolution."""

from __future__ import annotations

from repc.ops import build
from repc.passes.absorb import vector
from repc.passes.branches import Branch
from repc.passes.cost import Cost, stored
from repc.passes.frames import Window
from repc.passes.parallel import Kernel
from repc.passes.rule import Lemma
from repc.passes.views import AffineView


class IdentityAsConv(Lemma):
    """See the identity, or a scale and shift per channel, as a depthwise convolution with one tap.

    Identity: ``s_c·x_c + t_c = conv(x, K, t)`` with ``K[c, 0, 0…] = s_c``, one group for each channel and no padding;
    with g groups it is ``K[c, c mod (C/g), centre] = s_c``.

    Precondition: stride 1 and as many output as input channels.

    Trap: with groups, a plain diagonal across the whole weight is wrong: columns are counted inside a group.

    Source: Ding et al. 2021, arXiv:2101.03697, section 3.3; the per-group form is what their released code does.
    """

    id = "F4"

    @staticmethod
    def kernel(branch: Branch, channels: int, rank: int) -> Kernel:
        """The branch as the kernel of a convolution with `rank` spatial axes; a linear layer has none."""
        view = branch.view
        assert isinstance(view, AffineView)
        shape = (channels, 1, *([1] * rank))
        scale = build.fill(shape, 1) if view.scale is None else build.expand(view.scale, (channels,))
        shift = vector(view.shift, channels)
        # An elementwise map takes no multiply-adds; a scalar shift weighs what the bias does that it would become.
        cost = Cost(0, stored(part for part in (view.scale, shift) if part is not None), int(not branch.plain))
        return Kernel(
            branch.coefficient,
            branch.id,
            build.reshape(scale, shape),
            shift,
            channels,
            (Window(1),) * rank,
            cost,
        )
