"""Every kind of INPUT in every command: specs are elsewhere; here are ONNX files, exported programs and Python code."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.torch import save_file

from repc.driver import load
from tests.cli.conftest import Repc
from tests.importers.onnx.files import model, node, normal
from tests.importers.onnx.test_files import block
from tests.importers.onnx.test_opaque import branch

NETS = """\
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(width)
        self.bn.running_mean.uniform_(-1, 1)

    def forward(self, image):
        return self.bn(self.conv(image)).relu()

def net(width=4):
    print("a line of the user's own")
    return Net(width)

def pair():
    return Net(), torch.randn(2, 3, 8, 6)

def named():
    return Net(), {"image": torch.randn(2, 3, 8, 6)}

def listed():
    return Net(), [torch.randn(2, 3, 8, 6)]

class Best(Net):
    def forward(self, image):
        return super().forward(image).flatten(1).cummax(1).values

def best():
    return Best(), torch.randn(2, 3, 8, 6)

def wrong():
    return "a string"

def odd():
    return Net(), 3

def fails():
    raise ValueError("no such luck")

def leaves():
    raise SystemExit(3)

ready = Net()
"""


@pytest.fixture
def file(repc: Repc) -> Path:
    """A file of two branches that fold into one convolution."""
    onnx.save_model(block(opset=17), "net.onnx")
    return Path("net.onnx")


@pytest.fixture
def code(repc: Repc, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a Python module, another one for each test, as modules are imported once."""
    name = f"nets_{abs(hash(request.node.name))}"
    Path(f"{name}.py").write_text(NETS)
    return name


# ---------------------------------------------------------------- ONNX files


def test_an_onnx_file_is_compiled_checked_and_explained(repc: Repc, file: Path) -> None:
    ran = repc("compile", file, "--verify", "sample")
    assert ran.code == 0, ran.out + ran.err
    assert "  Model     net.onnx:net · target deploy\n  Weights   net.onnx · its own\n" in ran.out
    report = json.loads(Path("build/net/report.json").read_text())
    assert (report["opset"], report["opaque"], report["operators"]["after"]) == (
        17,
        {},
        {"Conv": 1, "Relu": 1, "Sigmoid": 1},
    )
    assert {"model.onnx", "model.py", "model.safetensors"} <= set(report["files"])
    assert onnx.load("build/net/model.onnx").opset_import[0].version == 17
    assert repc("verify", "build/net", "--level", "sample", "--inputs", 2).code == 0
    explained = repc("explain", "build/net", "body.a.conv")
    assert "5 operators -> conv" in explained.out or "4 operators -> conv" in explained.out
    assert "net.onnx:1:1" in explained.out


def test_an_onnx_file_that_changed_is_not_what_was_compiled(repc: Repc, file: Path) -> None:
    assert repc("compile", file, "--verify", "none").code == 0
    made = onnx.load(file)
    made.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(normal(4, 3, 3, 3, seed=9), made.graph.initializer[0].name)
    )
    onnx.save_model(made, file)
    ran = repc("verify", "build/net")
    assert (ran.code, "E921" in ran.err) == (2, True)


def test_show_export_and_bench_take_an_onnx_file(repc: Repc, file: Path) -> None:
    assert "14       f32[1, 4, h, 5]" in repc("show", file, "--types", "--size", "batch=1").out
    assert repc("export", file, "-o", "folded.onnx", "--opset", 20).code == 0
    assert onnx.load("folded.onnx").opset_import[0].version == 20
    timed = repc("bench", file, "--rounds", 2, "--size", "h=4", "--json")
    assert [form["form"] for form in json.loads(timed.out)["forms"]] == [
        "train form, torch",
        "folded, torch",
        "folded, ONNX Runtime",
    ]


def test_weights_replace_those_of_the_file_by_key(repc: Repc, file: Path) -> None:
    state = dict(load(file).own.parameters)  # pyright: ignore[reportOptionalMemberAccess]
    counters = {"body.a.bn.num_batches_tracked": torch.tensor(7)}  # a state_dict has them, and an ONNX file has not
    state["body.b.weight"] = torch.zeros(4, 3, 1, 1)
    save_file(state | counters, "other.safetensors")
    assert repc("compile", file, "--weights", "other.safetensors").code == 0
    folded = {t.name: numpy_helper.to_array(t) for t in onnx.load("build/net/model.onnx").graph.initializer}
    scale = state["body.a.bn.g"] / (state["body.a.bn.v"] + 1e-5).sqrt()
    wanted = state["body.a.conv.weight"] * scale[:, None, None, None]
    assert np.allclose(folded["body.a.conv.weight"], wanted.numpy(), atol=1e-6)
    del state["body.b.weight"]
    save_file(state, "other.safetensors")
    assert "E611" in repc("compile", file, "--weights", "other.safetensors").err


@pytest.fixture
def choice(repc: Repc) -> Path:
    """A file with control flow, which only ONNX can express."""
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("ReduceMax", ["a"], ["m"], keepdims=0),
        node("Greater", ["m", "m"], ["c"]),
        node(
            "If", ["c"], ["y"], name="/If", then_branch=branch("t", "Neg", ["a"]), else_branch=branch("e", "Abs", ["a"])
        ),
    ]
    onnx.save_model(model(nodes, {"x": ["b", 3, 5, 4]}, {"w": normal(4, 3, 1, 1)}), "choice.onnx")
    return Path("choice.onnx")


def test_what_only_onnx_expresses_is_written_as_onnx_and_said(repc: Repc, choice: Path) -> None:
    ran = repc("compile", choice)
    assert ran.code == 0, ran.out + ran.err
    assert (
        "  Opaque    1 operator as in the original: If 1\n            so that there is no form for torch, source\n"
        in ran.out
    )
    assert "1 If stays opaque: repc does not have this operator" in ran.out
    report = json.loads(Path("build/choice/report.json").read_text())
    assert (report["opaque"], report["backends"]) == ({"If": 1}, ["onnx"])
    assert not {"model.py", "model.safetensors"} & set(report["files"])
    assert repc("verify", "build/choice").code == 0
    refused = repc("compile", choice, "--to", "source", "-o", "out")
    assert (refused.code, "E724" in refused.err, Path("out").exists()) == (2, True, False)
    timed = repc("bench", choice, "--rounds", 2, "--json")
    forms = [form["form"] for form in json.loads(timed.out)["forms"]]
    assert forms == ["train form, ONNX Runtime", "folded, ONNX Runtime"]


@pytest.mark.parametrize(
    ("content", "code"), [(None, "E540"), (b"\x08", "E541"), (b"", "E541")], ids=["missing", "corrupt", "empty"]
)
@pytest.mark.parametrize("verb", ["compile", "verify", "explain", "show", "bench"])
def test_a_file_that_is_none(repc: Repc, verb: str, content: bytes | None, code: str) -> None:
    if content is not None:
        Path("net.onnx").write_bytes(content)
    ran = repc(verb, "net.onnx")
    assert (ran.code, ran.out) == (2, "")
    assert f"error[{code}]" in ran.err


# ---------------------------------------------------------------- Python code


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["{}:net", "--input", "image=f32[b,3,h,w]"], "f32[b, 4, h, w]"),
        (["{}:net", "--input", "image=f32[b,3,h,6]", "--size", "h=8", "--set", "width=5"], "f32[b, 5, 8, 6]"),
        (["{}:pair"], "f32[batch, 4, 8, 6]"),
        (["{}:named"], "f32[batch, 4, 8, 6]"),
        (["{}:listed"], "f32[batch, 4, 8, 6]"),
        (["{}:ready", "--input", "image=f32[1,3,8,6]"], "f32[batch, 4, 8, 6]"),
    ],
)
def test_a_factory_is_run_and_that_is_said(repc: Repc, code: str, words: list[str], shown: str) -> None:
    ran = repc("show", *(word.format(code) for word in words))
    assert ran.code == 0, ran.err
    assert shown in ran.out.splitlines()[-1]
    name = words[0].format(code)
    assert f"repc: running {name}, which is code of your own\n" in ran.err
    assert "of the user's own" not in ran.out


def test_what_a_factory_makes_is_compiled_and_made_again_to_be_checked(repc: Repc, code: str) -> None:
    assert repc("compile", f"{code}:pair", "-o", "build/net", "--verify", "sample").code == 0
    report = json.loads(Path("build/net/report.json").read_text())
    assert report["operators"]["after"] == {"Conv": 1, "Relu": 1}
    assert repc("verify", "build/net", "--level", "sample", "--inputs", 2).code == 0


def test_code_gets_no_certificate_and_that_is_said(repc: Repc, code: str) -> None:
    ran = repc("compile", f"{code}:pair", "-o", "build/net")
    assert ran.code == 0, ran.err
    assert "  Certified no: the checker would have to run your code; compile a file of torch.export.save" in ran.out
    assert not Path("build/net/certificate.json").exists()
    assert json.loads(Path("build/net/report.json").read_text())["uncertified"].startswith("the checker would")


def test_what_only_torch_expresses_is_written_as_torch(repc: Repc, code: str) -> None:
    ran = repc("compile", f"{code}:best", "-o", "build/net")
    assert ran.code == 0, ran.out + ran.err
    assert f"  Model     {code}:best · target deploy\n" in ran.out
    assert (
        "1 operator as in the original: aten.cummax.default 1\n            so that there is no form for onnx" in ran.out
    )
    assert set(json.loads(Path("build/net/report.json").read_text())["files"]) == {"model.py", "model.safetensors"}
    assert repc("verify", "build/net").code == 0
    assert "error[E714]" in repc("export", f"{code}:best", "-o", "net.onnx").err


@pytest.mark.parametrize(
    ("words", "expected", "said"),
    [
        (["gone.models:make"], "E940", "there is no Python module gone"),
        (["{}:nett"], "E941", "did you mean"),
        (["{}:fails"], "E942", "raised ValueError: no such luck"),
        (["{}:leaves"], "E942", "raised SystemExit: 3"),
        (["{}:net", "--set", "depth=3"], "E942", "unexpected keyword argument 'depth'"),
        (["{}:wrong"], "E943", "gives str, not a module"),
        (["{}:net"], "E944", "there is no example input of Net"),
        (["{}:odd"], "E944", "there is no example input of Net"),
        (["{}:net", "--input", "image=f31[1,3,8,8]"], "E945", "expected NAME=TYPE[SIZES]"),
        (["{}:net", "--input", "image=f32[1,3,0,8]"], "E945", "expected NAME=TYPE[SIZES]"),
        (["{}:net", "--adapter", "lora"], "E946", "--adapter means nothing for"),
        (["{}:net", "--input", "image=f32[b,3,h,8]", "--size", "w=8"], "E947", "no --input has a size w"),
        (["{}:net", "--input", "imag=f32[1,3,8,8]"], "E948", "did you mean image?"),
    ],
)
def test_code_that_makes_no_model(repc: Repc, code: str, words: list[str], expected: str, said: str) -> None:
    ran = repc("compile", *(word.format(code) for word in words))
    assert (ran.code, ran.out) == (2, "")
    assert f"error[{expected}]" in ran.err
    assert said in ran.err
    assert not Path("build").exists()


def test_code_that_cannot_be_imported_says_where(repc: Repc) -> None:
    Path("broken_net.py").write_text("x = 1\n\nraise RuntimeError('at once')\n")
    ran = repc("show", "broken_net:net")
    assert "error[E942]: importing broken_net raised RuntimeError: at once" in ran.err
    assert "broken_net.py:3: in <module>" in ran.err


# ---------------------------------------------------------------- exported programs, and what is no model


def test_an_exported_program(repc: Repc) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    torch.export.save(torch.export.export(net, (torch.randn(2, 3, 8, 6),), strict=False), "net.pt2")
    ran = repc("compile", "net.pt2")
    assert ran.code == 0, ran.err
    report = json.loads(Path("build/net/report.json").read_text())
    assert report["operators"]["after"] == {"Conv": 1}
    assert "E946" in repc("show", "net.pt2", "--size", "b=2").err


@pytest.mark.parametrize(("content", "code"), [(None, "E511"), (b"", "E512"), (b"PK\x03\x04rubbish", "E512")])
def test_a_file_that_is_no_exported_program(repc: Repc, content: bytes | None, code: str) -> None:
    if content is not None:
        Path("net.pt2").write_bytes(content)
    ran = repc("compile", "net.pt2")
    assert (ran.code, ran.out, f"error[{code}]" in ran.err) == (2, "", True)


@pytest.mark.parametrize("option", ["--set", "--adapter", "--input"])
def test_options_that_an_onnx_file_does_not_take(repc: Repc, file: Path, option: str) -> None:
    ran = repc("compile", file, option, "x=1" if option == "--set" else "x=f32[1]")
    assert (ran.code, f"error[E946]: {option} means nothing for net.onnx, an ONNX file" in ran.err) == (2, True)


def test_a_size_that_the_file_does_not_have(repc: Repc, file: Path) -> None:
    assert "error[E545]: no input has a free size height" in repc("show", file, "--size", "height=3").err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("weights.safetensors", "is a checkpoint, not a model"),
        ("net.py", "is a Python file, not a model"),
        (".", "a folder"),
    ],
)
def test_what_is_no_model(repc: Repc, text: str, said: str) -> None:
    ran = repc("compile", text)
    assert ran.code == 2
    assert "error[E910]" in ran.err
    assert said in ran.err


def test_a_spec_that_is_not_there_is_no_python_object(repc: Repc) -> None:
    assert "error[E232]" in repc("compile", "gone.rep:Net").err


def test_the_python_interface_takes_no_parameters_for_a_file(repc: Repc, file: Path) -> None:
    from repc.diagnostics import Failure

    with pytest.raises(Failure, match=r"E903 net.onnx takes no parameter"):
        load(file, classes=3)
    assert load(file).module().state_dict().keys() == load(file).graph.parameters.keys()
