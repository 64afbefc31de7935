"""F4: the identity as a convolution."""

from repc.passes.rule import Lemma


class IdentityAsConv(Lemma):
    """See the identity, or a scale and shift per channel, as a depthwise convolution with one tap.

    Identity: ``s_c·x_c + t_c = conv(x, K, t)`` with ``K[c, 0, 0…] = s_c``, one group for each channel and no padding;
    with g groups it is ``K[c, c mod (C/g), centre] = s_c``.

    Precondition: stride 1 and as many output as input channels.

    Trap: with groups, a plain diagonal across the whole weight is wrong: columns are counted inside a group.

    Source: Ding et al. 2021, arXiv:2101.03697, section 3.3; the per-group form is what their released code does.
    """

    id = "F4"
