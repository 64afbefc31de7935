"""Taps keep their offsets: placing and enclosing windows against a list of the offsets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from repc.passes.frames import Window, enclose, holds, place, same_for_all_sizes

windows = st.builds(
    Window, st.integers(1, 5), st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(0, 1)
)


def offsets(window: Window) -> list[int]:
    return [tap * window.dilation - window.before for tap in range(window.taps)]


@given(windows, windows)
def test_a_tap_lands_where_its_offset_is(part: Window, whole: Window) -> None:
    found = place(part, whole)
    if found is None:
        assert not set(offsets(part)) <= set(offsets(whole))
    else:
        assert offsets(part) == [offsets(whole)[found.first + tap * found.step] for tap in range(part.taps)]


def same_size(kernels: list[tuple[int, int, int]], transposed: bool) -> list[Window]:
    """Windows of these taps, dilations and paddings in front that leave equally many outputs."""
    reach = [dilation * (taps - 1) for taps, dilation, _ in kernels]
    befores = [min(before, r) for (_, _, before), r in zip(kernels, reach, strict=True)]
    return [
        Window(taps, before, r - before + int(transposed), dilation, int(transposed))
        for (taps, dilation, _), r, before in zip(kernels, reach, befores, strict=True)
    ]


kernels = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 8)), min_size=1, max_size=4)


@given(kernels, st.booleans())
def test_the_enclosing_window_holds_all_and_is_tight(parts: list[tuple[int, int, int]], transposed: bool) -> None:
    given_windows = same_size(parts, transposed)
    ((whole,),) = (enclose([(window,) for window in given_windows], transposed),)
    assert all(holds((whole,), (window,)) for window in given_windows)
    needed = {offset for window in given_windows for offset in offsets(window)}
    assert {offsets(whole)[0], offsets(whole)[-1]} == {min(needed), max(needed)}
    assert whole.after >= 0
    assert same_for_all_sizes([(window,) for window in (*given_windows, whole)])


def test_output_padding_that_the_finer_grid_forbids_becomes_taps_of_zeros() -> None:
    """Output padding stays below the dilation; grids of 2 and 3 meet on one of 1."""
    parts = [Window(3, 0, 0, 2, 1), Window(2, 0, 0, 3, 2)]
    ((whole,),) = (enclose([(part,) for part in parts], True),)
    assert (whole.dilation, whole.extra) == (1, 0)
    assert same_for_all_sizes([(window,) for window in (*parts, whole)])
    assert all(holds((whole,), (part,)) for part in parts)


def test_output_padding_that_every_part_may_have_stays() -> None:
    parts = [Window(3, 1, 0, 1, 1), Window(1, 0, 0, 1, 2)]
    assert enclose([(part,) for part in parts], True) == (Window(3, 1, 0, 1, 1),)


def test_a_frame_of_no_axes_holds_one_of_no_axes() -> None:
    assert enclose([(), ()], False) == ()
    assert holds((), ())
