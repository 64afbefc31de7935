"""The inputs: sizes that reach every stage, and data that is given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from repc.diagnostics import Failure
from repc.ir.graph import Graph
from repc.verify import Options
from repc.verify.sampling import Batch, batches
from tests.verify.networks import graph, tiny

BODY = "(image: f32[b, 3, h, w]) = image >> RepVGG([1, 1, 1, 1], [0.0625, 0.0625, 0.0625, 0.0625], classes=5)"


def sample(train: Graph, options: Options | None = None) -> list[Batch]:
    return batches(train, options or Options(), torch.float32)


def shapes(found: list[Batch]) -> list[tuple[int, ...]]:
    return [tuple(value.shape) for batch in found for value in batch.inputs.values()]


def test_sizes_differ_and_are_not_square_and_reach_the_last_stage() -> None:
    found = shapes(sample(tiny()))
    assert len({shape[0] for shape in found}) == 2
    assert sum(shape[0] for shape in found) >= 8
    for _, _, height, width in found:
        assert height != width
        assert min(height, width) > 2 * 32  # three positions after five strides
    assert len({shape[2:] for shape in found}) == 2


def test_the_seed_decides_the_values() -> None:
    first, second, other = (sample(tiny(), Options(seed=seed))[0].inputs["image"] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_sizes_can_be_set() -> None:
    found = shapes(sample(tiny(), Options(sizes={"h": 100}, samples=3)))
    assert [shape[0] for shape in found] == [2, 1]
    assert {shape[2] for shape in found} == {100}


def test_one_sample_is_one_batch() -> None:
    assert len(sample(tiny(), Options(samples=1))) == 1


def test_a_pinned_batch_is_drawn_as_often_as_needed() -> None:
    train = graph("model Tiny" + BODY.replace("[b,", "[2,"), "Tiny")
    found = shapes(sample(train))
    assert [shape[0] for shape in found] == [2] * 4
    assert len({shape[2:] for shape in found}) == 2


def test_pinned_sizes_are_kept() -> None:
    train = graph("model Tiny" + BODY.replace("h, w]", "64, 96]"), "Tiny")
    assert {shape[1:] for shape in shapes(sample(train))} == {(3, 64, 96)}


def test_a_kernel_wider_than_its_map_asks_for_a_larger_one() -> None:
    """At fewer than seven positions the outer taps of a 13x13 kernel would read nothing but padding."""
    text = (
        "import std.conv\nmodel Wide(x: f32[b, 4, h, w]) = x >> a: Conv(4, 3, stride=4, pad=1) >> b: Conv(4, 13, pad=6)"
    )
    for _, _, height, width in shapes(sample(graph(text, "Wide"))):
        assert min(height, width) > 4 * 6


def test_given_data_is_used_in_pieces_and_in_the_deployed_type() -> None:
    image = torch.randn(19, 3, 40, 56, dtype=torch.float64)
    found = batches(tiny(), Options(inputs=[{"image": image}]), torch.float16)
    assert [batch.samples for batch in found] == [8, 8, 3]
    together = torch.cat([batch.inputs["image"] for batch in found])
    assert torch.equal(together, image.to(torch.float16))


def test_given_data_comes_in_the_order_of_the_inputs() -> None:
    train = graph("model Two(x: f32[b, 4], y: f32[b, 4]) = x * y", "Two")
    data = {"y": torch.zeros(2, 4), "x": torch.ones(2, 4)}
    (found,) = sample(train, Options(inputs=[data]))
    assert list(found.inputs) == ["x", "y"]


def test_given_data_with_a_pinned_batch_stays_whole() -> None:
    train = graph("model Tiny" + BODY.replace("[b,", "[19,"), "Tiny")
    image: Tensor = torch.randn(19, 3, 40, 56)
    assert shapes(sample(train, Options(inputs=[{"image": image}]))) == [(19, 3, 40, 56)]


def test_a_size_of_another_name_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(Failure, match="E812 there is no free dimension width; the free dimensions are b, h, w"):
        sample(tiny(), Options(sizes={"width": 7}))


def test_sizes_that_leave_nothing_are_refused() -> None:
    text = "import std.conv\nmodel Deep(x: f32[b, 1, n]) = x >> repeat i in 0..14 { conv{i}: Conv(1, 2, stride=2) }"
    with pytest.raises(Failure, match="E811 Deep has no extent at its last values, with n up to 4096; give sizes"):
        sample(graph(text, "Deep"))
