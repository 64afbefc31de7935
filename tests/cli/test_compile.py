"""compile, explain, verify, export, bench: from a spec and a checkpoint to what is deployed, and back."""

import json
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from repc.checker.__main__ import main as checker
from repc.cli.sites import sites
from repc.driver import load
from tests.cli.conftest import Ran, Repc
from tests.cli.specs import BLOCK, KEPT

GOLDEN = Path(__file__).parent / "golden"
Golden = Callable[[Path, str], None]


@pytest.fixture
def net(repc: Repc) -> Path:
    """A spec with trained weights beside it."""
    Path("net.rep").write_text(BLOCK)
    state = load("net.rep").module(seed=1).state_dict()
    generator = torch.Generator().manual_seed(2)
    save_file(
        {
            name: torch.rand(value.shape, generator=generator) + 0.5 if value.is_floating_point() else value
            for name, value in state.items()
        },
        "net.safetensors",
    )
    return Path("net.rep")


def counts(path: str) -> dict[str, int]:
    return dict(Counter(node.op_type for node in onnx.load(path).graph.node))


# ---------------------------------------------------------------- compile


def test_compile_writes_all_and_says_what_it_did(repc: Repc, net: Path, golden: Golden) -> None:
    ran = repc("compile", net, "--weights", "net.safetensors", "-o", "build/net", "-q")
    assert (ran.code, ran.err) == (0, ""), ran.out + ran.err
    golden(GOLDEN / "compile.txt", ran.masked)
    assert sorted(path.name for path in Path("build/net").iterdir()) == [
        "certificate.json",
        "model.onnx",
        "model.py",
        "model.safetensors",
        "report.json",
    ]
    assert counts("build/net/model.onnx") == {"Conv": 2, "Relu": 1}
    report = json.loads(Path("build/net/report.json").read_text())
    assert report["recipe"]["input"] == "../../net.rep"
    assert report["verification"]["equivalent"] is True
    for name, file in report["files"].items():
        assert sha256((Path("build/net") / name).read_bytes()).hexdigest() == file["sha256"]


def test_compile_tells_its_progress_on_stderr(repc: Repc, net: Path) -> None:
    ran = repc("compile", net, "--json")
    assert ran.err.splitlines()[:2] == ["repc: reading net.rep", "repc: reading initial weights"]
    record = json.loads(ran.out)
    assert record["operators"]["after"] == {"Conv": 2, "Relu": 1}
    assert Path("build/Net/model.onnx").is_file()


def test_the_same_compile_gives_the_same_bytes(repc: Repc, net: Path) -> None:
    for folder in ("a", "b"):
        repc("compile", net, "--weights", "net.safetensors", "-o", folder, "--no-verify")
    for file in Path("a").iterdir():
        assert file.read_bytes() == (Path("b") / file.name).read_bytes(), file.name


@pytest.mark.parametrize(
    ("to", "files"),
    [
        (["--to", "onnx"], {"model.onnx"}),
        (["--to", "weights, torch"], {"model.safetensors", "model.pth"}),
        (["--target", "official"], {"model.pth", "model.py", "model.safetensors"}),
    ],
)
def test_compile_to_what_is_asked_for(repc: Repc, net: Path, to: list[str], files: set[str]) -> None:
    assert repc("compile", net, *to, "-o", "out", "--no-verify").code == 0
    assert {path.name for path in Path("out").iterdir()} == {*files, "report.json"}
    if "model.pth" in files:
        stored = torch.load("out/model.pth", weights_only=True)
        assert {name: value.tolist() for name, value in load_file("out/model.safetensors").items()} == {
            name: value.tolist() for name, value in stored.items()
        }


def test_options_reach_the_file(repc: Repc, net: Path) -> None:
    words = ["--set", "co=6", "--size", "h=8", "--size", "w=8", "--opset", "20", "--dtype", "f16", "--no-verify"]
    assert repc("compile", net, *words, "-o", "out").code == 0
    model = onnx.load("out/model.onnx")
    assert model.opset_import[0].version == 20
    assert [dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [0, 3, 8, 8]
    weights = {tensor.name: (list(tensor.dims), tensor.data_type) for tensor in model.graph.initializer}
    assert weights["fused.weight"] == ([6, 3, 3, 3], onnx.TensorProto.FLOAT16)


def test_an_earlier_build_stays_until_the_new_one_is_complete(repc: Repc, net: Path) -> None:
    repc("compile", net, "-o", "out", "--no-verify")
    Path("out/notes.txt").write_text("mine")
    before = Path("out/model.onnx").read_bytes()
    assert repc("compile", net, "--weights", "net.safetensors", "-o", "out", "--no-verify").code == 0
    assert Path("out/model.onnx").read_bytes() != before
    assert Path("out/notes.txt").read_text() == "mine"
    assert [path.name for path in Path().iterdir() if path.name.endswith(".part")] == []


def test_a_missed_expectation_lists_what_is_in_the_way(repc: Repc, golden: Golden) -> None:
    Path("kept.rep").write_text(KEPT)
    ran = repc("compile", "kept.rep", "-q")
    assert ran.code == 1
    golden(GOLDEN / "compile-missed.txt", ran.masked)
    assert not Path("build").exists()
    (missed,) = json.loads(repc("compile", "kept.rep", "--json").out)["missed"]
    (blocking,) = missed["blocking"]
    assert blocking["refusals"][0]["edge"] == "conv -> bn"


def test_what_is_not_equivalent_is_not_written(repc: Repc, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from repc.driver import model

    right = model.deployed

    def wrong(*args: object) -> dict[str, torch.Tensor]:
        return {name: value * 1.01 for name, value in right(*args).items()}  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(model, "deployed", wrong)
    ran = repc("compile", net, "-o", "out")
    assert ran.code == 1
    assert "NOT EQUIVALENT" in ran.out
    assert "Nothing was written" in ran.out
    assert not Path("out").exists()


# ---------------------------------------------------------------- explain


def test_explain_the_whole_model(repc: Repc, net: Path, golden: Golden) -> None:
    golden(GOLDEN / "explain.txt", repc("explain", net).out)


def test_explain_one_site(repc: Repc, net: Path, golden: Golden) -> None:
    golden(GOLDEN / "explain-site.txt", repc("explain", net, "fused").out)


def test_explain_a_folder_from_elsewhere(repc: Repc, net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repc("compile", net, "-o", "build/net", "--no-verify")
    Path("other").mkdir()
    monkeypatch.chdir("other")
    (site,) = json.loads(repc("explain", "../build/net", "f*", "--json").out)
    assert site["was"] == ["dense.conv", "dense.bn", "point.conv", "point.bn", "fused"]
    assert {step["rule"] for step in site["steps"]} == {"F1", "F3"}


def test_explain_says_what_a_fold_relies_on(repc: Repc) -> None:
    """With the weights of the build, since the target lets folding look at them."""
    text = BLOCK.replace("target deploy = onnx of Net {", "target deploy = onnx of Net { facts = true ")
    Path("net.rep").write_text(text)
    weights = dict(load("net.rep").module(seed=0).state_dict())
    weights["point.bn.weight"] = weights["dense.bn.weight"] = torch.tensor([1.0, 0.0, 2.0, 0.0])
    torch.save(weights, "net.pth")
    assert repc("compile", "net.rep", "--weights", "net.pth", "-o", "build").code == 0
    page = repc("explain", "build", "fused").out
    assert "F13   2 of 4 channels are constant" in page
    assert "Relies on zero: take(" in page
    (site,) = json.loads(repc("explain", "build", "fused", "--json").out)
    assert {fact[:11] for step in site["steps"] for fact in step["facts"]} == {"zero: take("}


def test_explain_says_why_the_rest_remains(repc: Repc, golden: Golden) -> None:
    Path("kept.rep").write_text(KEPT)
    golden(GOLDEN / "explain-kept.txt", repc("explain", "kept.rep").out)
    assert "E914" in repc("explain", "kept.rep", "conw").err


@pytest.mark.parametrize(
    ("spec", "folded", "rules"),
    [
        ("repc:tuned/RepVGG_A0_tuned", ("stage0.rbr_reparam", 7), {"F1", "F3"}),
        ("repc:repmlpnet/RepMLPNet_T224", ("stages.0.0.repmlp_block.fc3", 8), {"F1", "F3", "F7", "N5", "N6"}),
    ],
)
def test_every_operator_belongs_to_one_site(spec: str, folded: tuple[str, int], rules: set[str]) -> None:
    model = load(spec)
    found = sites(model.graph, *model.fold(model.target()))
    was = [id for site in found for id in site.was]
    assert sorted(was) == sorted(set(model.graph) - set(model.graph.inputs.values()))
    (site,) = (site for site in found if site.name == folded[0])
    assert (len(site.was), {step.rule for step in site.steps}) == (folded[1], rules)


# ---------------------------------------------------------------- verify, export, bench


@pytest.fixture
def build(repc: Repc, net: Path) -> Path:
    assert repc("compile", net, "--weights", "net.safetensors", "-o", "build/net", "--no-verify").code == 0
    return Path("build/net")


def test_verify_a_folder(repc: Repc, build: Path) -> None:
    ran = repc("verify", build, "-q")
    assert (ran.code, ran.out.rstrip().endswith("\n  EQUIVALENT")) == (0, True), ran.out
    assert "ONNX Runtime CPU" in ran.out
    assert "torch CPU" in ran.out


@pytest.mark.parametrize(
    "command", [("verify",), ("explain",), ("expand", "--site", "stem", "--as", "zero", "-o", "x.rep")]
)
def test_a_folder_is_as_it_was_compiled(repc: Repc, build: Path, command: tuple[str, ...]) -> None:
    name, *rest = command
    ran = repc(name, build, "--set", "classes=3", "--target", "deploy", *rest)
    assert ran.code == 2
    assert f"error[E946]: --set means nothing for {build}, a folder that compile wrote" in ran.err
    assert f"error[E946]: --target means nothing for {build}" in ran.err


def test_the_type_of_a_build_is_not_asked_again(repc: Repc, build: Path) -> None:
    assert "error[E946]: --dtype means nothing for" in repc("verify", build, "--dtype", "f16").err


def test_verify_a_spec_against_one_runtime(repc: Repc, net: Path) -> None:
    report = json.loads(repc("verify", net, "--against", "torch", "--inputs", "2", "--json").out)
    assert report["equivalent"] is True
    assert not any("ONNX Runtime" in check["check"] for check in report["checks"])
    assert "E918" in repc("verify", net, "--against", "tensorrt").err


def test_verify_finds_a_wrong_file(repc: Repc, build: Path) -> None:
    """Also one whose report was made to fit."""
    model = onnx.load(build / "model.onnx")
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == "fused.weight")
    weight.raw_data = bytes(4) + weight.raw_data[4:]
    onnx.save(model, build / "model.onnx")
    ran = repc("verify", build)
    assert (ran.code, "model.onnx" in ran.out, "NOT EQUIVALENT" in ran.out) == (1, True, True)
    report = json.loads((build / "report.json").read_text())
    report["files"]["model.onnx"]["sha256"] = sha256((build / "model.onnx").read_bytes()).hexdigest()
    (build / "report.json").write_text(json.dumps(report))
    ran = repc("verify", build)
    assert (ran.code, "NOT EQUIVALENT" in ran.out) == (1, True)


def test_verify_finds_wrong_stored_weights(repc: Repc, build: Path) -> None:
    stored = load_file(build / "model.safetensors")
    stored["fused.weight"] = stored["fused.weight"] * 1.001
    save_file(stored, build / "model.safetensors")
    report = json.loads((build / "report.json").read_text())
    report["files"]["model.safetensors"]["sha256"] = sha256((build / "model.safetensors").read_bytes()).hexdigest()
    (build / "report.json").write_text(json.dumps(report))
    failed = [c["check"] for c in json.loads(repc("verify", build, "--json").out)["checks"] if not c["passed"]]
    assert "torch CPU float32" in failed
    assert "ONNX Runtime CPU float32" not in failed


def test_verify_wants_the_checkpoint_of_the_build(repc: Repc, build: Path) -> None:
    weights = load_file("net.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, "net.safetensors")
    assert "E921" in repc("verify", build).err


@pytest.mark.parametrize(
    ("report", "said"), [(None, "has no report.json"), ("{", "is damaged"), ("[]", "is damaged"), ("{}", "is damaged")]
)
def test_a_folder_that_is_no_build(repc: Repc, report: str | None, said: str) -> None:
    Path("out").mkdir()
    if report is not None:
        Path("out/report.json").write_text(report)
    for verb in ("verify", "explain"):
        ran = repc(verb, "out")
        assert (ran.code, "E920" in ran.err, said in ran.err) == (2, True, True)


def test_export_both_forms(repc: Repc, net: Path) -> None:
    ran = repc("export", net, "--weights", "net.safetensors", "-o", "net.onnx", "--opset", "17")
    assert (ran.code, "net.onnx" in ran.out) == (0, True)
    assert counts("net.onnx") == {"Conv": 2, "Relu": 1}
    assert repc("export", net, "-o", "train.onnx", "--train-form").code == 0
    assert counts("train.onnx") == {"Conv": 3, "BatchNormalization": 2, "Add": 1, "Relu": 1}
    assert "E710" in repc("export", net, "-o", "old.onnx", "--opset", "3").err
    assert not Path("old.onnx").exists()


def test_bench_measures_in_turns(repc: Repc, net: Path) -> None:
    words = ["bench", net, "--size", "h=8", "--size", "w=8", "--rounds", "3", "--batch", "2"]
    record = json.loads(repc(*words, "--json").out)
    assert record["inputs"] == {"x": [2, 3, 8, 8]}
    assert [form["form"] for form in record["forms"]] == ["train form, torch", "folded, torch", "folded, ONNX Runtime"]
    assert all(low <= middle <= high for form in record["forms"] for low, middle, high in [form["milliseconds"]])
    ran: Ran = repc(*words, "-q")
    assert (ran.code, "folded, ONNX Runtime" in ran.out) == (0, True)


@pytest.mark.parametrize("template", ["block", "model", "adapter"])
def test_what_init_writes_compiles(repc: Repc, template: str) -> None:
    repc("init", "Mine", "--template", template)
    ran = repc("compile", "mine.rep", "-o", "out")
    assert (ran.code, "equivalent" in ran.out) == (0, True), ran.out + ran.err


# ---------------------------------------------------------------- certificates


def test_a_certificate_is_written_where_a_fold_was_proved(repc: Repc, net: Path) -> None:
    words = ["compile", net, "--weights", "net.safetensors", "-q"]
    assert repc(*words, "-o", "proved").code == 0
    assert repc(*words, "-o", "sampled", "--verify", "sample").code == 0
    assert repc(*words, "-o", "source", "--to", "source").code == 0
    assert [Path(name, "certificate.json").exists() for name in ("proved", "sampled", "source")] == [True, False, False]
    assert "Proved" not in repc(*words, "-o", "sampled", "--verify", "sample").out
    record = json.loads(Path("proved/certificate.json").read_text())
    assert record["artifact"] == {"model.onnx": sha256(Path("proved/model.onnx").read_bytes()).hexdigest()}
    assert record["proof"]["miss"] < 1e-9


def test_a_folder_says_how_to_check_it_independently(repc: Repc, net: Path) -> None:
    repc("compile", net, "--weights", "net.safetensors", "-o", "out", "-q")
    ran = repc("verify", "out/certificate.json", "-q", "--inputs", 1, "--against", "ort")
    assert ran.code == 0, ran.out
    command = "python -m repc.checker out/certificate.json --spec net.rep --weights net.safetensors"
    assert ran.out.endswith(f"  Re-check independently: {command} --artifact out/model.onnx\n")
    assert checker([*command.split()[3:], "--artifact", "out/model.onnx"]) == 0


def test_a_file_of_somebody_else_is_judged(repc: Repc, net: Path) -> None:
    repc("compile", net, "--weights", "net.safetensors", "-o", "out", "-q")
    words = ["verify", net, "--weights", "net.safetensors", "--inputs", 1, "-q"]
    ran = repc(*words, "--artifact", "out/model.onnx")
    assert ran.code == 0
    assert "algebra (train = file)" in ran.out
    assert repc(*words[:2], "--inputs", 1, "-q", "--artifact", "out/model.onnx").code == 1, "other weights"
    ran = repc(*words, "--artifact", "out/model.onnx", "--level", "sample")
    assert ran.code == 0
    assert "algebra" not in ran.out


def test_patterns_that_match_nothing_are_named(net: Path, repc: Repc) -> None:
    model = load(net).name
    settings = "keep head  keep hede.*  at stm { objective = size }"
    net.write_text(f"{net.read_text()}\ntarget odd = onnx of {model} {{ {settings} }}\n")
    ran = repc("compile", str(net), "--target", "odd", "-o", "out", "--no-verify")
    assert f"target odd: keep hede.* matches nothing in {model}" in ran.out
    assert f"target odd: at stm matches nothing in {model}" in ran.out
    assert "keep head matches nothing" not in ran.out
