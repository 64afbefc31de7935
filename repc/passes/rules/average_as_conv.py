"""F6: an average as a convolution."""

from repc.passes.rule import Lemma


class AverageAsConv(Lemma):
    """See an average pool as a depthwise convolution with a constant kernel.

    Identity: ``avg(x) = conv(x, K)`` with ``K[c, 0, i, j] = 1 / (k_h·k_w)``, one group for each channel.  It is weighed as
    that convolution, kernel included.

    Precondition: padding counts as zeros, and no window ends early.

    Trap: ONNX and several frameworks do not count padding unless asked; then the border averages fewer values, which
    no convolution does.

    Source: Ding et al. 2021 (DBB), arXiv:2103.13425, transform V.
    """

    id = "F6"
