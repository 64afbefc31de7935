"""The state_dicts of the authors' networks, from the tables in their papers and code: keys and shapes only.

RepVGG: Ding et al. 2021, table 2. MobileOne: Vasu et al. 2023, table 2.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import count

from repc.diagnostics import Source, Span
from repc.ir.expr import Param
from repc.ir.node import Parameter
from repc.ir.types import TensorType

Shape = tuple[int, ...]
Items = Iterator[tuple[str, Shape]]
SPAN = Span(Source("model.rep", "weight"), 0, 6)


def parameter(path: str, shape: Shape, *aliases: str) -> Parameter:
    counter = path.endswith("num_batches_tracked")
    type = TensorType(shape, "i64" if counter else "f32")
    return Parameter(path, type, Param(path, type), counter, not counter, SPAN, aliases)


def parameters(shapes: Mapping[str, Shape]) -> dict[str, Parameter]:
    return {path: parameter(path, shape) for path, shape in shapes.items()}


def norm(path: str, c: int) -> Items:
    yield from ((f"{path}.{name}", (c,)) for name in ("weight", "bias", "running_mean", "running_var"))
    yield f"{path}.num_batches_tracked", ()


def conv_norm(path: str, co: int, ci: int, k: int, groups: int) -> Items:
    yield f"{path}.conv.weight", (co, ci // groups, k, k)
    yield from norm(f"{path}.bn", co)


def conv(path: str, co: int, ci: int, k: int = 1, groups: int = 1) -> Items:
    yield f"{path}.weight", (co, ci // groups, k, k)
    yield f"{path}.bias", (co,)


def linear(ci: int) -> Items:
    yield "linear.weight", (1000, ci)
    yield "linear.bias", (1000,)


def repvgg(
    depth: Sequence[int], width: Sequence[int], groups: int = 1, se: bool = False, deployed: bool = False
) -> dict[str, Shape]:
    def block(path: str, co: int, ci: int, stride: int, g: int) -> Items:
        if deployed:
            yield from conv(f"{path}.rbr_reparam", co, ci, 3, g)
        else:
            yield from conv_norm(f"{path}.rbr_dense", co, ci, 3, g)
            yield from conv_norm(f"{path}.rbr_1x1", co, ci, 1, g)
            if ci == co and stride == 1:
                yield from norm(f"{path}.rbr_identity", co)
        if se:
            yield from conv(f"{path}.se.down", co // 16, co)
            yield from conv(f"{path}.se.up", co, co // 16)

    def network() -> Items:
        index, ci = count(1), width[0]
        yield from block("stage0", ci, 3, 2, 1)
        for stage, (blocks, co) in enumerate(zip(depth, width[1:], strict=True), 1):
            for i in range(blocks):
                g = groups if next(index) % 2 == 0 else 1
                yield from block(f"stage{stage}.{i}", co, ci, 2 if i == 0 else 1, g)
                ci = co
        yield from linear(ci)

    return dict(network())


def mobileone(width: Sequence[float], branches: int = 1, se: bool = False, deployed: bool = False) -> dict[str, Shape]:
    def block(path: str, co: int, ci: int, *, k: int, g: int, skip: bool, b: int, se: bool) -> Items:
        if deployed:
            yield from conv(f"{path}.reparam_conv", co, ci, k, g)
        else:
            for j in range(b):
                yield from conv_norm(f"{path}.rbr_conv.{j}", co, ci, k, g)
            if k > 1:
                yield from conv_norm(f"{path}.rbr_scale", co, ci, 1, g)
            if skip:
                yield from norm(f"{path}.rbr_skip", co)
        if se:
            yield from conv(f"{path}.se.reduce", co // 16, co)
            yield from conv(f"{path}.se.expand", co, co // 16)

    def network() -> Items:
        ci = min(64, int(64 * width[0]))
        yield from block("stage0", ci, 3, k=3, g=1, skip=False, b=1, se=False)
        for stage, blocks, base, excited in zip(
            (1, 2, 3, 4), (2, 8, 10, 1), (64, 128, 256, 512), (0, 0, 5, 1), strict=True
        ):
            co = int(base * width[stage - 1])
            for i in range(blocks):
                with_se = se and i >= blocks - excited
                yield from block(f"stage{stage}.{2 * i}", ci, ci, k=3, g=ci, skip=i > 0, b=branches, se=with_se)
                yield from block(f"stage{stage}.{2 * i + 1}", co, ci, k=1, g=1, skip=ci == co, b=branches, se=with_se)
                ci = co
        yield from linear(ci)

    return dict(network())
