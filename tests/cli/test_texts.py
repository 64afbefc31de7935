"""fmt, show, list, init, rule, doctor: the commands that need no weights."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from repc.cli.drawing import svg
from repc.cli.init import TEMPLATES
from repc.cli.recipe import Recipe
from tests.cli.conftest import Repc
from tests.cli.specs import BLOCK, WRONG

GOLDEN = Path(__file__).parent / "golden"
UGLY = BLOCK.replace("  sum as", "   sum  as").replace(" == 2", "==2")

# ---------------------------------------------------------------- fmt


def test_fmt_writes_the_canonical_layout_once(repc: Repc) -> None:
    Path("net.rep").write_text(UGLY)
    assert repc("fmt", "net.rep").err == "1 of 1 file changed\n"
    first = Path("net.rep").read_text()
    assert first != UGLY
    assert (repc("fmt", "net.rep").err, Path("net.rep").read_text()) == ("0 of 1 file changed\n", first)
    assert repc("fmt", "--check", "net.rep").code == 0


def test_fmt_check_and_diff_write_nothing(repc: Repc, golden: Callable[[Path, str], None]) -> None:
    Path("net.rep").write_text(UGLY)
    assert (repc("fmt", "--check", "net.rep").code, repc("fmt", "--diff", "net.rep").code) == (1, 0)
    golden(GOLDEN / "fmt.diff.txt", repc("fmt", "--diff", "net.rep").out)
    assert Path("net.rep").read_text() == UGLY


def test_fmt_reads_stdin(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("net.rep").write_text(UGLY)
    repc("fmt", "net.rep")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(UGLY.encode())))
    ran = repc("fmt", "-")
    assert ran.out == Path("net.rep").read_text()


def test_fmt_leaves_a_file_that_does_not_parse(repc: Repc) -> None:
    Path("net.rep").write_text(UGLY)
    Path("bad.rep").write_text("repc 1\nmodel (\n")
    ran = repc("fmt", "bad.rep", "net.rep")
    assert (ran.code, Path("bad.rep").read_text()) == (2, "repc 1\nmodel (\n")
    assert "error[E1" in ran.err
    assert Path("net.rep").read_text() != UGLY


# ---------------------------------------------------------------- show


@pytest.mark.parametrize("form", ["", "--types", "--dot"])
def test_show(repc: Repc, golden: Callable[[Path, str], None], form: str) -> None:
    Path("net.rep").write_text(BLOCK)
    ran = repc("show", "net.rep", *form.split(), "--size", "h=8")
    assert (ran.code, ran.err) == (0, "")
    golden(GOLDEN / f"show{form}.txt", ran.out)


def test_show_draws_an_svg(repc: Repc) -> None:
    Path("net.rep").write_text(BLOCK)
    assert repc("show", "net.rep", "--svg", "-o", "net.svg").out == ""
    texts = [element.text for element in ET.parse("net.svg").iter() if element.tag.endswith("text")]
    assert texts.count("batch_norm") == 2
    assert "dense.conv" in texts


def test_nothing_of_an_svg_overlaps(repc: Repc) -> None:
    root = ET.fromstring(svg(Recipe("repc:repmlpnet/RepMLPNet_T224").graph()))
    boxes = [
        tuple(float(element.attrib[name]) for name in ("x", "y", "width", "height"))
        for element in root.iter()
        if element.tag.endswith("rect")
    ]
    assert len(boxes) > 100
    rows: dict[float, list[tuple[float, float]]] = {}
    for x, y, width, _ in boxes:
        rows.setdefault(y, []).append((x, x + width))
    assert all(
        left[1] <= right[0] + 0.11
        for row in rows.values()
        for left, right in zip(sorted(row), sorted(row)[1:], strict=False)
    )


# ---------------------------------------------------------------- list, init, rule, doctor


def test_list_names_models_with_targets(repc: Repc) -> None:
    shown = {entry["spec"]: entry for entry in json.loads(repc("list", "--json").out)}
    assert shown["models/repvgg"]["models"]["RepVGG_A0"] == ["deploy", "official"]
    assert "LoRA" in shown["adapters/lora"]["blocks"]
    assert "RepVGG_A0_tuned" in shown["models/tuned"]["models"]
    assert "repc:models/repvgg" in repc("list", "d2se").out
    assert repc("list", "nothing-of-the-kind").code == 1


@pytest.mark.parametrize("template", TEMPLATES)
def test_init_writes_what_checks_and_is_canonical(repc: Repc, template: str) -> None:
    assert repc("init", "MyThing", "--template", template).out == "wrote mything.rep\n"
    assert repc("check", "mything.rep").code == 0
    assert repc("fmt", "--check", "mything.rep").code == 0


def test_init_replaces_nothing(repc: Repc) -> None:
    Path("net.rep").write_text("mine")
    assert "E916" in repc("init", "Net").err
    assert Path("net.rep").read_text() == "mine"
    assert "E915" in repc("init", "my-net").err


def test_rule_explains_a_code(repc: Repc) -> None:
    ran = repc("rule", "e120")
    assert ran.code == 0
    assert ran.out.startswith(
        "E120  An adapter does not say how many places it expects.\n\nA path pattern that matches"
    )
    assert "E917" in repc("rule", "E000").err


def test_every_code_is_explained_and_belongs_to_one_file(repc: Repc) -> None:
    from repc.cli.rule import CODE, codes

    explained = {topic.id: topic for topic in codes()}
    homes: dict[str, set[str]] = {}
    root = Path(__file__).parents[2] / "repc"
    for file in root.rglob("*.py"):
        for code in CODE.findall(file.read_text(encoding="utf-8")):
            if f'"{code}"' in file.read_text(encoding="utf-8"):
                homes.setdefault(code, set()).add(str(file.relative_to(root)))
    assert {code: files for code, files in homes.items() if len(files) > 1} == {}
    assert set(homes) - set(explained) == set()


def test_options_stand_anywhere(repc: Repc) -> None:
    assert repc("rule", "-q", "F1", "--json").out == repc("rule", "F1", "--json").out


def test_doctor_names_versions(repc: Repc) -> None:
    found = {entry["what"]: entry for entry in json.loads(repc("doctor", "--json").out)}
    assert found["torch"]["state"] == "ok"
    assert "CPUExecutionProvider" in found["ORT providers"]["found"]


def test_doctor_says_what_is_missing(repc: Repc, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repc.cli.doctor.versions", lambda: {"repc": "1", "onnx": ""})
    ran = repc("doctor")
    assert ran.code == 1
    assert "onnx    missing  not installed" in ran.out


def test_a_wrong_file_is_wrong_in_every_command(repc: Repc) -> None:
    Path("a.rep").write_text(WRONG)
    for verb in ("show", "fmt"):
        ran = repc(verb, "a.rep:Net" if verb == "show" else "gone.rep")
        assert (ran.code, ran.out) == (2, "")
        assert "error[E" in ran.err
