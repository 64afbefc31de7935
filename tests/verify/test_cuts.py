"""Where graphs are compared, and what a cut is called."""

from __future__ import annotations

from repc.ir.printer import print_graph
from repc.passes import fold
from repc.verify.cuts import correspondence, deployed, longest_sums, outputs, place, segment
from tests.verify.networks import graph, tiny


def test_every_value_of_both_graphs_is_a_cut_in_the_order_of_the_data() -> None:
    train = tiny()
    same = correspondence(train, fold(train)[0])
    labels = [cut.label for cut in same.train]
    blocks = ["stage0", "stage1.0", "stage2.0", "stage2.1", "stage3.0", "stage4.0"]
    assert labels == [label for block in blocks for label in (f"{block}.rbr_reparam", block)] + [
        "adaptive_avg_pool",
        "reshape",
        "linear",
    ]
    assert list(same.train.values()) == list(same.fused.values())
    assert [cut.label for cut in outputs(train, same.train)] == ["linear"]


def test_a_cut_says_where_the_spec_has_it() -> None:
    train = tiny()
    cut = next(cut for cut in correspondence(train, fold(train)[0]).train if cut.label == "stage0.rbr_reparam")
    assert str(cut).startswith("stage0.rbr_reparam (repc:models/repvgg:")
    assert place(()) == ""


def test_only_what_lies_behind_padding_has_a_border() -> None:
    train = tiny()
    borders = {cut.label: cut.border for cut in correspondence(train, fold(train)[0]).train}
    assert borders["stage0.rbr_reparam"] == 1
    assert borders["stage0"] == borders["linear"] == 0


def test_outputs_correspond_by_name_where_a_fold_moved_them() -> None:
    train = tiny()
    fused = train.copy()
    (result,) = fused.outputs.values()
    twin = fused.add(fused[result])
    fused.redirect(result, twin)
    fused.remove(result)
    same = correspondence(train, fused)
    last = list(same.train)[-1]
    assert (same.train[last], same.fused[last]) == (result, twin)


def test_operators_on_one_path_are_told_apart() -> None:
    train = graph("import std.activation\nmodel Two(x: f32[b, 4]) = x >> ReLU() >> Sigmoid()", "Two")
    labels = [cut.label for cut in correspondence(train, train.copy()).train]
    assert labels == ["relu", "sigmoid"]


def test_the_deployed_graph_reads_stored_tensors() -> None:
    text = print_graph(deployed(fold(tiny())[0]))
    assert "weight=stage0.rbr_reparam.weight, bias=stage0.rbr_reparam.bias" in text
    assert "running_var" not in text


def test_a_segment_ends_at_the_cuts_before_it() -> None:
    train = tiny()
    same = correspondence(train, fold(train)[0])
    cut = next(cut for cut in same.train if cut.label == "stage2.1.rbr_reparam")
    nodes = segment(train, same.train[cut], set(same.train.values()))
    assert sorted(train[id].op.name for id in nodes) == ["batch_norm"] * 3 + ["conv"] * 2 + ["sum"]
    assert nodes[-1] == same.train[cut]


def test_long_sums_are_counted_for_all_that_follows() -> None:
    train = tiny()
    same = correspondence(train, fold(train)[0])
    longest = longest_sums(train, {"b": 2, "h": 512, "w": 1024})
    by_label = {cut.label: longest[id] for cut, id in same.train.items()}
    assert by_label["stage0"] == 3 * 9
    assert by_label["stage1.0"] == 4 * 9
    assert by_label["linear"] == 16 * 32
