"""What specs mean: paths, loops, layers as values, weights, adapters, sizes."""

from __future__ import annotations

import pytest

from repc.diagnostics import Failure, Source
from repc.ir.graph import Graph
from repc.ops.arithmetic import Affine, Multiply, Sum
from repc.ops.conv import Conv
from repc.semantics import FileLibrary, check, elaborate, load, shipped_names, shipped_source, targets


def graph(text: str, model: str = "M", **given) -> Graph:
    sizes = given.pop("sizes", None)
    return elaborate(load(Source("t.rep", f"repc 1\n{text}"), FileLibrary()), model, given, sizes)


def paths(text: str, model: str = "M") -> list[str]:
    return list(graph(text, model).parameters)


def ops(graph: Graph) -> list[str]:
    return [graph[id].op.name for id in graph.order()]


CONV = "import std.conv\n"


def test_labels_make_paths() -> None:
    text = CONV + (
        "block P(x: [b, c, h, w]) = x >> conv: Conv(c, bias=false) >> norm: GroupNorm(1)\n"
        "model M(x: f32[b, 4, h, w]) = x >> stem: P() >> repeat i in 1..3 { stage{i}: repeat 2 { P() } }"
        " >> a.b: Conv(2, bias=false)"
    )
    assert paths(text) == [
        *(f"{p}.{q}" for p in ("stem",) for q in ("conv.weight", "norm.weight", "norm.bias")),
        *(f"stage{i}.{j}.{q}" for i in (1, 2) for j in (0, 1) for q in ("conv.weight", "norm.weight", "norm.bias")),
        "a.b.weight",
    ]


def test_labelled_loops_add_their_index_unless_the_label_has_it() -> None:
    text = CONV + (
        "model M(x: f32[b, 4, h, w]) = sum {\n"
        "    plain: x >> Conv(4, bias=false) for j in 0..2\n"
        "  | k{k}: x >> Conv(4, k, pad=k // 2, bias=false) for k in [3, 5] when k > 3\n"
        "}\n"
    )
    assert paths(text) == ["plain.0.weight", "plain.1.weight", "k5.weight"]


def test_a_layer_makes_parameters_at_each_application() -> None:
    text = CONV + (
        "model M(x: f32[b, 4, h, w]) {\n"
        "  let layer = conv: Conv(4, bias=false)\n"
        "  return (x >> first: layer) + (x >> second: layer)\n"
        "}\n"
    )
    # a let cannot hold a label: the layer is described once, and labelled where it is applied
    text = text.replace("let layer = conv: Conv", "let layer = Conv")
    assert paths(text) == ["first.weight", "second.weight"]


def test_one_weight_used_twice_is_one_parameter() -> None:
    text = (
        "block Tied(x: [b, c]) {\n  weight W: [c, c] = zeros\n"
        "  return linear(x, W) + linear(relu(x), W)\n}\nmodel M(x: f32[b, 4]) = x >> Tied()\n"
    )
    tied = graph(text)
    assert list(tied.parameters) == ["W"]
    used = [tied[id].weights["weight"] for id in tied.order() if "weight" in tied[id].weights]
    assert len(used) == 2
    assert used[0] is used[1]


def test_a_weight_is_given_by_its_name_where_its_function_is_a_layer() -> None:
    body = "{{ weight W: [4, 4, 3] = ones  return {} }}"
    layer, call = (graph(f"model M(x: f32[b, 4, n]) {body.format(e)}") for e in ("x >> conv(weight=W)", "conv(x, W)"))
    assert ops(layer) == ops(call) == ["input", "conv"]
    assert list(layer.parameters) == ["W"]


def test_alias_is_a_second_key() -> None:
    text = (
        'block B(x: [b, c]) {\n  weight W as "embed.weight": [c, c] = zeros\n  alias "head.weight" = W\n'
        "  return linear(x, W)\n}\nmodel M(x: f32[b, 4]) = x >> part: B()\n"
    )
    assert graph(text).parameters["part.embed.weight"].aliases == ("part.head.weight",)


def test_static_recursion_ends() -> None:
    text = CONV + (
        "block Deep<n>(x: [b, c, h, w]) = if n == 0 then x else x >> relu >> Deep(n - 1)\n"
        "model M(x: f32[b, 4, h, w]) = x >> Deep(60)\n"
    )
    assert ops(graph(text)).count("relu") + ops(graph(text)).count("function") == 60


def test_merges_of_layers_are_layers() -> None:
    text = CONV + (
        "model M(x: f32[b, 4, h, w]) {\n  let branches = mean { relu | sigmoid }\n"
        "  return x >> branches >> concat { relu | tanh }\n}\n"
    )
    merged = graph(text)
    assert str(merged[merged.outputs["output"]].type) == "f32[b, 8, h, w]"


def test_vectors_along_an_axis_are_affine_maps() -> None:
    text = (
        "block S(x: [b, c, ...s]) {\n  weight g: [c] = ones\n  weight t: [c] = zeros\n"
        "  return x * along(g, 1) - along(t, 1)\n}\nmodel M(x: f32[b, 4, h]) = x >> S()\n"
    )
    maps = [graph(text)[id].op for id in graph(text).order()][1:]
    assert maps == [Affine(1), Affine(1)]


def test_two_activations_multiply() -> None:
    text = "model M(x: f32[b, 4], y: f32[b, 4]) = x * y + x\n"
    assert [type(graph(text)[id].op) for id in graph(text).order()][2:] == [Multiply, Sum]


def test_parts_are_seen_after_a_dot() -> None:
    text = CONV + (
        "model M(x: f32[b, 4, h, w]) {\n  let y = x >> bn: BatchNorm(eps=0.5)\n"
        "  return y * along(bn.weight / sqrt(bn.running_var + bn.eps), 1)\n}\n"
    )
    assert [type(graph(text)[id].op) for id in graph(text).order()][-1] is Affine


def test_sizes_are_symbolic_until_pinned() -> None:
    text = CONV + "model M(x: f32[b, 3, h, w]) = x >> Conv(8, 3, stride=2, pad=1)\n"
    free, pinned = graph(text), graph(text, sizes={"h": 97, "w": 64})
    assert str(free[free.outputs["output"]].type) == "f32[b, 8, ((h + 1)//2), ((w + 1)//2)]"
    assert str(pinned[pinned.outputs["output"]].type) == "f32[b, 8, 49, 32]"


def test_parameters_of_models_are_set_and_checked() -> None:
    text = CONV + "model M<k = 3, co = 2 * k>(x: f32[b, 3, h, w]) = x >> Conv(co, k)\n"
    assert graph(text, k=5).parameters["weight"].type.shape == (10, 3, 5, 5)
    with pytest.raises(Failure, match="E213"):
        graph(text, kernel=5)


def test_adapters_attach_in_order_and_freeze_the_base() -> None:
    text = (
        "import adapters.lora\nimport adapters.ssf\nimport std.conv\n"
        "block Part(x: [b, c, h, w]) = x >> conv: Conv(c, 3, groups=2, pad=1)\n"
        "model Base(x: f32[b, 4, h, w]) = x >> a: Part() >> b: Part()\n"
        "adapt Base as Tuned {\n"
        "  at *.conv.weight where groups == 2 expect 2 use lora: LoRAConv(r=2)\n"
        "  at a expect 1 then ssf: SSF()\n"
        "  at b expect 1 before pre: SSF()\n"
        "}\n"
    )
    tuned = graph(text, "Tuned")
    assert list(tuned.parameters) == [
        "a.conv.weight",
        "a.conv.lora.lora_A.weight",
        "a.conv.lora.lora_B.weight",
        "a.conv.bias",
        "a.ssf.scale",
        "a.ssf.shift",
        "b.pre.scale",
        "b.pre.shift",
        "b.conv.weight",
        "b.conv.lora.lora_A.weight",
        "b.conv.lora.lora_B.weight",
        "b.conv.bias",
    ]
    trainable = [path for path, parameter in tuned.parameters.items() if parameter.trainable]
    assert trainable == [path for path in tuned.parameters if "lora" in path or "ssf" in path or "pre" in path]


def test_a_range_may_be_a_whole_segment() -> None:
    text = (
        "import adapters.ssf\nimport std.conv\n"
        "block Part(x: [b, c, h, w]) = x >> conv: Conv(c, 3, pad=1)\n"
        "model Base(x: f32[b, 4, h, w]) = x >> blocks: repeat 12 { Part() }\n"
        "adapt Base as Tuned { at blocks.[1..11].conv expect 10 then ssf: SSF() }\n"
    )
    found = [path for path, parameter in graph(text, "Tuned").parameters.items() if parameter.trainable]
    assert found == [f"blocks.{i}.conv.ssf.{leaf}" for i in range(1, 11) for leaf in ("scale", "shift")]


def test_a_layer_can_be_adapted_with_its_bias() -> None:
    text = "import adapters.lora\nimport models.mlp\nadapt MLP as Tuned { at head expect 1 use lora: LoRABias(r=2) }\n"
    tuned = graph(text, "Tuned")
    assert [path for path in tuned.parameters if "lora" in path] == [
        "head.lora.lora_A.weight",
        "head.lora.lora_B.weight",
        "head.lora.lora_B.bias",
    ]


def test_adapters_stack() -> None:
    text = (
        "import adapters.lora\nimport models.mlp\n"
        "adapt MLP as One { at head.weight expect 1 use first: LoRA(r=2) }\n"
        "adapt One<r = 3> as Two { at head.weight expect 1 use second: LoRA(r=r) }\n"
    )
    assert [path for path in paths(text, "Two") if "lora" in path] == [
        f"head.{label}.lora_{factor}.weight" for label in ("first", "second") for factor in "AB"
    ]


def test_a_named_sum_has_its_name_as_path() -> None:
    text = (
        CONV
        + "model M(x: f32[b, 4, h, w]) = x >> part: Both()\nblock Both(x: [b, c, h, w]) = sum as folded { x | x }\n"
    )
    named = graph(text)
    node = named[named.outputs["output"]]
    assert (node.path, node.named) == ("part.folded", True)


def test_every_node_knows_its_origin_and_type() -> None:
    source = shipped_source("models/repvgg")
    assert source is not None
    built = elaborate(load(source, FileLibrary()), "RepVGG_A0")
    convs = [built[id] for id in built.order() if isinstance(built[id].op, Conv)]
    assert len(convs) == 44
    assert all(node.origin and node.type.rank == 4 for node in convs)
    # the calls from the model down to the primitive
    assert [span.source.name for span in convs[0].origin][-1] == "repc:std/conv"


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_files_are_right(name: str) -> None:
    source = shipped_source(name)
    assert source is not None
    module = load(source, FileLibrary())
    assert check(module) == []
    for model in module.models():
        assert set(targets(module)[model]) >= {"deploy"}
