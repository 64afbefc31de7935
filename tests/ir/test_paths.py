"""Path patterns against what they mean in a spec."""

import pytest

from repc.ir.paths import pattern

MATCHES = [
    ("conv", "conv", True),
    ("conv", "conv1", False),
    ("conv", "stage.conv", False),
    ("stage.*", "stage.conv", True),
    ("stage.*", "stage", False),
    ("stage.*", "stage.conv.weight", False),
    ("stage*.bn", "stage12.bn", True),
    ("stage*.bn", "stage.1.bn", False),
    ("*conv*", "rbr_conv1", True),
    ("**", "a.b.c", True),
    ("**.bn", "bn", True),
    ("**.bn", "stage1.0.bn", True),
    ("**.bn", "stage1.0.sbn", False),
    ("stage.**", "stage", False),
    ("stage.**", "stage.0", True),
    ("stage.**", "stage.0.conv", True),
    ("stage.**.weight", "stage.weight", True),
    ("stage.**.weight", "stage.0.conv.weight", True),
    ("stage[1..3]", "stage1", True),
    ("stage[1..3]", "stage2", True),
    ("stage[1..3]", "stage3", False),
    ("stage[1..3]", "stage12", False),
    ("stage[0..2].[8..11].conv", "stage1.10.conv", True),
    ("stage[0..2].[8..11].conv", "stage1.11.conv", False),
    ("stage[0..999999999999]", "stage12345", True),
    ("stage[1..3]", "stage01", False),
    ("s*[10..30]", "s21", True),
    ("s*[1..3]", "s11", False),
    ("block2[0..3]", "block21", True),
    ("stage[3..1]", "stage2", False),
    ("stage[0..99999999999999999999]", "stage2", False),
    ("a****b", "axxb", True),
    ("a.b", "axb", False),
    ("a+", "a+", True),
]


@pytest.mark.parametrize(("text", "path", "matches"), MATCHES)
def test_a_pattern_is_the_whole_path(text: str, path: str, matches: bool) -> None:
    assert pattern(text).matches(path) == matches


@pytest.mark.parametrize(
    ("text", "path", "covers"),
    [
        ("stage1", "stage1", True),
        ("stage1", "stage1.0.conv", True),
        ("stage1", "stage10.0.conv", False),
        ("stage[1..3].0", "stage2.0.conv.weight", True),
        ("**.bn", "stage1.bn.weight", True),
        ("stage1.conv", "stage1", False),
        ("conv", "", False),
    ],
)
def test_a_pattern_covers_what_lies_below(text: str, path: str, covers: bool) -> None:
    assert pattern(text).covers(path) == covers
