"""The keys of libraries: timm's against its own lists, the authors' against the recorded state_dicts."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from safetensors import safe_open

import repc
from repc.checkpoints import LAYOUTS, OFFICIAL, TIMM, from_memory, match, read
from repc.checkpoints.timm import TIMM_FASTVIT, TIMM_GHOSTNET, TIMM_REPVIT
from tests.checkpoints.official import Shape, mobileone, parameters, repvgg
from tests.fixtures import DATA, structural

A0 = ([2, 4, 14, 1], [48, 48, 96, 192, 1280])
B1 = ([4, 6, 16, 1], [64, 128, 256, 512, 2048])
D2SE = ([8, 14, 24, 1], [64, 160, 320, 640, 2560])
S4 = [3.0, 3.5, 3.5, 4.0]

NETWORKS = {
    "repvgg_a0": repvgg(*A0),
    "repvgg_b1g4": repvgg(*B1, groups=4),
    "repvgg_d2se": repvgg(*D2SE, se=True),
    "repvgg_d2se deployed": repvgg(*D2SE, se=True, deployed=True),
    "mobileone_s0": mobileone([0.75, 1.0, 1.0, 2.0], branches=4),
    "mobileone_s1": mobileone([1.5, 1.5, 2.0, 2.5]),
    "mobileone_s4": mobileone(S4, se=True),
    "mobileone_s4 deployed": mobileone(S4, se=True, deployed=True),
}

SHIPPED = {
    "fastvit_t8": ("fastvit/FastViT_T8", TIMM_FASTVIT),
    "fastvit_sa12": ("fastvit/FastViT_SA12", TIMM_FASTVIT),
    "ghostnetv3_100": ("ghostnetv3/GhostNetV3_100", TIMM_GHOSTNET),
    "repvit_m0_9": ("repvit/RepViT_M0_9", TIMM_REPVIT),
    "levit_128s": ("levit/LeViT_128S", OFFICIAL),
    "efficientvit_m0": ("efficientvit_m/EfficientViT_M0", OFFICIAL),
    "shvit_s1": ("shvit/SHViT_S1", OFFICIAL),
}

CASES = ("repvgg_a_tiny", "repvgg_g4_tiny", "repvgg_se_tiny", "mobileone_tiny", "mobileone_se_tiny")


@cache
def timm_keys() -> dict[str, dict[str, Shape]]:
    def flat(tree: dict[str, Any], path: str = "") -> Iterator[tuple[str, Shape]]:
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from flat(value, f"{path}{name}.")
            else:
                yield path + name, tuple(value)

    trees = json.loads((DATA / "timm_keys.json").read_text())
    return {name: dict(flat(tree)) for name, tree in trees.items()}


def test_every_recorded_network_of_timm_is_tested() -> None:
    assert timm_keys().keys() == NETWORKS.keys() | SHIPPED.keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_keys_of_timm_are_the_authors_in_other_words(name: str) -> None:
    keys = TIMM.keys(NETWORKS[name])
    renamed = {keys[path]: shape for path, shape in NETWORKS[name].items()}
    assert renamed == timm_keys()[name]
    assert len(renamed) == len(NETWORKS[name])


@pytest.mark.parametrize("name", SHIPPED)
def test_the_published_networks_of_timm_have_shipped_specs(name: str) -> None:
    spec, layout = SHIPPED[name]
    parameters = repc.load(f"repc:{spec}").graph.parameters
    keys = layout.keys(parameters)
    assert {keys[path]: parameter.type.concrete() for path, parameter in parameters.items()} == timm_keys()[name]


def shapes(case: str, file: str) -> dict[str, Shape]:
    with safe_open(structural(case) / file, framework="pt") as opened:
        return {key: tuple(opened.get_slice(key).get_shape()) for key in opened.keys()}  # noqa: SIM118


@pytest.mark.parametrize("file", ["train.safetensors", "deploy.safetensors"])
@pytest.mark.parametrize("case", CASES)
def test_official_and_timm_files_of_one_network_give_the_same_values(case: str, file: str) -> None:
    network = parameters(shapes(case, file))
    theirs = read(structural(case) / file)
    official = match(theirs, network, LAYOUTS)
    timm = match(from_memory(TIMM.rename(theirs)), network, LAYOUTS)
    assert (official.layout, official.share) == ("official", 1)
    assert (timm.layout, timm.share) == ("timm", 1)
    assert official.values.keys() == timm.values.keys() == network.keys()
    assert all(timm.values[path].data_ptr() == theirs[path].data_ptr() for path in network)


def test_labels_that_no_layout_knows_stay() -> None:
    adapted, dense = "linear.lora.lora_A.weight", "stage0.rbr_dense.conv.weight"
    assert TIMM.keys([adapted]) == {adapted: "head.fc.lora.lora_A.weight"}
    assert OFFICIAL.keys([dense]) == {dense: dense}
