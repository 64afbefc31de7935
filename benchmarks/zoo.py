"""Models of timm, which repc has no spec of: imported, folded, and compared with what timm makes of them.

Three tables go into benchmarks/README.md: the families that timm converts by hand, models of other families, and
models as ONNX files in training form.  It takes about half an hour, prints each row as it is made, and goes on where it
was interrupted; names of models as arguments print the rows of these alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from importlib import import_module as import_library
from pathlib import Path
from typing import Any, TypeAlias

import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from benchmarks.models import images, randomised, timm_models, usual_way
from benchmarks.readme import write_section
from benchmarks.run import alternate, ratios
from repc.driver import Fused, Model
from repc.importers import import_module, import_onnx
from repc.ops.opaque import opaque_names

DONE = Path("build/zoo.json")

FAMILIES = (
    *("repvgg_a0", "repvgg_b0", "mobileone_s0", "mobileone_s1", "repvit_m0_9", "repvit_m1_1"),
    *("fastvit_t8", "fastvit_sa12", "repghostnet_050", "repghostnet_100", "ghostnetv3_050", "ghostnetv3_100"),
    *("levit_128s", "levit_192", "efficientvit_m0", "efficientvit_m3", "nextvit_small", "nextvit_base"),
    *("shvit_s1", "shvit_s2", "tiny_vit_5m_224", "tiny_vit_11m_224", "swiftformer_xs", "swiftformer_s"),
)
OTHERS = (
    *("resnet18", "resnet50", "resnest14d", "res2net50_26w_4s", "skresnet18", "seresnext26d_32x4d", "xception41"),
    *("inception_v3", "densenet121", "dla34", "dpn68", "hrnet_w18_small", "ese_vovnet19b_dw", "vovnet39a"),
    *("regnety_002", "nf_regnet_b0", "nfnet_l0", "cspresnet50", "tresnet_m", "rexnet_100", "gernet_s", "hgnetv2_b0"),
    *("mobilenetv1_100", "mobilenetv2_050", "mobilenetv3_small_100", "mobilenetv4_conv_small", "hardcorenas_a"),
    *("efficientnet_b0", "tf_efficientnetv2_b0", "lcnet_050", "tinynet_e", "mixnet_s", "ghostnet_100", "starnet_s1"),
    *("convnext_atto", "convnextv2_atto", "inception_next_atto", "fasternet_t0", "mambaout_femto", "convmixer_768_32"),
    *("vit_tiny_patch16_224", "deit3_small_patch16_224", "eva02_tiny_patch14_224", "cait_xxs24_224", "pit_ti_224"),
    *("xcit_nano_12_p16_224", "crossvit_tiny_240", "swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"),
    *("twins_svt_small", "pvt_v2_b0", "mvitv2_tiny", "hiera_tiny_224", "nest_tiny_jx", "davit_tiny", "gcvit_xxtiny"),
    *("focalnet_tiny_srf", "volo_d1_224", "visformer_tiny", "coat_lite_tiny", "convit_tiny", "sequencer2d_s"),
    *("coatnet_nano_rw_224", "maxvit_rmlp_pico_rw_256", "edgenext_xx_small", "mobilevit_xxs", "mobilevitv2_050"),
    *("efficientformerv2_s0", "efficientvit_b0", "poolformer_s12", "caformer_s18", "halonet26t", "botnet26t_256"),
    *("mixer_s32_224", "gmlp_s16_224", "resmlp_12_224", "tnt_s_patch16_224", "lambda_resnet26t", "rdnet_tiny"),
)
FILES = ("repvgg_a0", "mobileone_s0", "repvit_m0_9", "fastvit_t8", "repghostnet_050", "levit_128s")
COUNTED = ("Conv", "BatchNormalization", "Add")
Row: TypeAlias = list[str]
Measure: TypeAlias = Callable[[nn.Module, Path], Row]


def main() -> None:
    warnings.filterwarnings("ignore")
    create = timm_models()
    for name in sys.argv[1:]:
        row(family if name in FAMILIES else other, create, name)
    if not sys.argv[1:]:
        done: dict[str, Row] = json.loads(DONE.read_text()) if DONE.exists() else {}
        for section, head, measures, models in TABLES:
            rows = [kept(measure, create, name, done) for name in models for measure in measures]
            write_section(section, table(head, rows))
        DONE.unlink()


def kept(measure: Measure, create: Callable[[str], nn.Module], name: str, done: dict[str, Row]) -> Row:
    """A row of a table: one that is done, or measured now and kept for when this is interrupted."""
    key = f"{measure.__name__} {name}"
    if key not in done:
        done[key] = row(measure, create, name)
        DONE.parent.mkdir(exist_ok=True)
        DONE.write_text(json.dumps(done))
    return done[key]


def row(measure: Measure, create: Callable[[str], nn.Module], name: str) -> Row:
    model = create(name)
    with tempfile.TemporaryDirectory() as folder:
        found = [name, *measure(randomised(model, images(model)), Path(folder))]
    print("|", " | ".join(found), "|", flush=True)
    return found


def table(head: Row, rows: Sequence[Row]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows))


# ------------------------------------------------------------ what is measured


def family(model: nn.Module, folder: Path) -> Row:
    """A model against timm's conversion of it: operators, exactness, CPU time, and latency in torch."""
    x, ours, theirs = images(model), folder / "ours.onnx", folder / "theirs.onnx"
    fused, converted = repc_way(model, ours), usual_way(model, theirs)  # once for what is loaded on first use
    times = [cpu_seconds(partial(way, model, path)) for way, path in ((repc_way, ours), (usual_way, theirs))]
    counts = [shown(counted) for counted in (fused.model.counts(), imported(converted, x).counts(), fused.counts())]
    latency = paired(fused.module(), converted, x[:1])
    return [*counts, *exactness(model, fused, onnx_runtime(ours)), f"{times[0] / times[1]:.2f}", f"{latency:.2f}"]


def other(model: nn.Module, folder: Path) -> Row:
    """A model that nobody converts by hand."""
    fused = imported(model, images(model)).fuse()
    opaque = len(opaque_names(fused.model.graph))
    row = [shown(fused.model.counts()), shown(fused.counts()), str(opaque)]
    if "onnx" not in fused.expressible:
        return [*row, *exactness(model, fused), "-"]
    fused.save_onnx(folder / "ours.onnx")
    return [*row, *exactness(model, fused, onnx_runtime(folder / "ours.onnx"))]


def old_file(model: nn.Module, folder: Path) -> Row:
    """From a file of the exporter that traces."""
    given = folder / "given.onnx"
    torch.onnx.export(
        model,
        (images(model),),
        given,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch"}},
        opset_version=17,
    )
    return ["old", *from_file(model, given, folder / "ours.onnx")]


def new_file(model: nn.Module, folder: Path) -> Row:
    """From a file of the exporter over `torch.export`."""
    given = folder / "given.onnx"
    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.onnx.export(model, (images(model),), given, dynamo=True, optimize=False, verbose=False, dynamic_shapes=free)
    return ["new", *from_file(model, given, folder / "ours.onnx")]


def from_file(model: nn.Module, given: Path, ours: Path) -> Row:
    """A file in training form, folded: operators, those of the folded module, names, and what runtimes make of it."""
    read = import_onnx(given)
    fused = Model(str(given), read.graph, own=read).fuse()
    fused.save_onnx(ours)
    of_module = imported(model, images(model)).fuse(target=fused.target)  # in the opset of the file
    names = [{tensor.name for tensor in onnx.load(file).graph.initializer} for file in (given, ours)]
    return [
        *(shown(counts) for counts in (fused.model.counts(), of_module.counts(), fused.counts())),
        f"{len(names[0] & names[1])} of {len(names[1])}",
        *exactness(model, fused, onnx_runtime(ours), openvino(ours)),
    ]


TABLES: tuple[tuple[str, Row, Sequence[Measure], Sequence[str]], ...] = (
    (
        "families",
        ["model", "trained", "timm", "repc", "‖Δ‖∞/‖y‖∞", "ONNX Runtime", "CPU time", "latency"],
        [family],
        FAMILIES,
    ),
    ("others", ["model", "trained", "folded", "opaque", "‖Δ‖∞/‖y‖∞", "ONNX Runtime"], [other], OTHERS),
    (
        "files",
        [
            "model",
            "exporter",
            "file",
            "module folded",
            "file folded",
            "names kept",
            "‖Δ‖∞/‖y‖∞",
            "ONNX Runtime",
            "OpenVINO",
        ],
        [old_file, new_file],
        FILES,
    ),
)

# ------------------------------------------------------------ how


def imported(model: nn.Module, x: Tensor) -> Model:
    found = import_module(model, (x,))
    return Model(type(model).__name__, found.graph, own=found)


def repc_way(model: nn.Module, path: Path) -> Fused:
    fused = imported(model, images(model)).fuse()
    fused.save_onnx(path)
    return fused


def cpu_seconds(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def shown(counts: Mapping[str, int]) -> str:
    return " + ".join(str(counts.get(name, 0)) for name in COUNTED)


@torch.no_grad()
def paired(one: nn.Module, other: nn.Module, x: Tensor) -> float:
    """The median ratio of latencies, taken in turn."""
    ours, theirs = alternate([partial(one, x), partial(other, x)], 20)
    return ratios(ours, theirs)[1]


@torch.no_grad()
def exactness(model: nn.Module, fused: Fused, *runs: Callable[[Tensor], Tensor]) -> Row:
    """How far the folded network is off in float64, ‖Δ‖∞/‖y‖∞, and runs of its file, in multiples of how far the model
    itself is in float32, RMS; on an image that it was not folded with."""
    x = images(model, batch=1, seed=1)
    exact = deepcopy(model).double()(x.double())
    folded = replace(fused, dtype="f64").module()(x.double())
    noise = (model(x) - exact).square().mean()
    far = float((folded - exact).abs().max() / exact.abs().max())
    return [f"{far:.1e}", *(f"{float(((run(x) - exact).square().mean() / noise).sqrt()):.1f}" for run in runs)]


def onnx_runtime(file: Path) -> Callable[[Tensor], Tensor]:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: torch.from_numpy(session.run(None, {name: x.numpy()})[0])


def openvino(file: Path) -> Callable[[Tensor], Tensor]:
    core: Any = import_library("openvino").Core()
    model = core.compile_model(str(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: torch.from_numpy(model(x.numpy())[0])


if __name__ == "__main__":
    main()
