"""Blocks of specs inside of networks that are written by hand: torch's tools do with them what they always do."""

from __future__ import annotations

import os
import pickle
import socket
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import repc
from repc.diagnostics import Failure
from tests.importers.torch.networks import image, randomised, relative

SPEC = """repc 1
import std.conv

block Rep<co, stride = 1, groups = 1>(x: [b, ci, h, w]) =
  sum as reparam {
      dense: x >> conv: Conv(co, 3, stride=stride, pad=1, groups=groups, bias=false) >> bn: BatchNorm()
    | point: x >> conv: Conv(co, 1, stride=stride, groups=groups, bias=false) >> bn: BatchNorm()
    | skip: x >> BatchNorm() when stride == 1 and ci == co
  } >> ReLU()

block Scale(x: [b, c, ...s]) {
  weight scale: [c] = ones
  return x * along(scale, 1)
}
"""


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("spec") / "my.rep"
    path.write_text(SPEC)
    return str(path)


class Network(nn.Module):
    """Two blocks between layers of torch."""

    blocks: Any

    def __init__(self, spec: str, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.stem = nn.Conv2d(3, 8, 3, stride=2)
        self.blocks = nn.Sequential(
            repc.block(f"{spec}:Rep", co=8, ci=8, groups=2, seed=seed), repc.block(f"{spec}:Rep", co=6, ci=8, stride=2)
        )
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x).relu()).mean((2, 3)))


@pytest.fixture
def network(spec: str) -> Any:
    return Network(spec)


def train(network: nn.Module, run: Any = None, steps: int = 2) -> None:
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        (network if run is None else run)(image(4, 3, 17, 15, seed=step)).square().mean().backward()
        optimizer.step()


def same(one: nn.Module, two: nn.Module) -> bool:
    first, second = one.state_dict(), two.state_dict()
    return list(first) == list(second) and all(torch.equal(first[key], second[key]) for key in first)


def test_the_keys_are_the_labels_of_the_block(network: Any) -> None:
    keys = list(network.blocks.state_dict())
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wide = [f"0.{part}.{key}" for part in ("dense", "point") for key in ("conv.weight", *(f"bn.{key}" for key in norm))]
    assert keys[: len(wide) + 5] == [*wide, *(f"0.skip.{key}" for key in norm)]
    assert "1.skip.weight" not in keys


def test_a_network_with_blocks_folds(network: Any) -> None:
    randomised(network)
    folded = repc.fold(network, image(1, 3, 17, 15))
    assert folded.report
    counts = folded.report.after
    assert (counts["conv"], counts.get("batch_norm", 0)) == (3, 0)
    x = image(3, 3, 17, 15, seed=1)
    with torch.no_grad():
        assert relative(folded(x), network(x)) < 1e-5
    assert torch.equal(folded.state_dict()["head.weight"], network.head.weight)


def test_sizes_come_from_arguments_or_an_example(spec: str) -> None:
    given = repc.block(f"{spec}:Rep", co=8, ci=8, seed=3)
    shown = repc.block(f"{spec}:Rep", co=8, example=image(1, 8, 4, 4), seed=3)
    assert same(given, shown)
    assert shown(image(2, 8, 5, 7)).shape == (2, 8, 5, 7)  # an example fixes no more than it has to
    with pytest.raises(ValueError, match="axis 1 has size 6 instead of 8"):
        shown(image(2, 6, 5, 7))
    assert repc.block(f"{spec}:Scale", c=3, s=1)(image(2, 3, 5)).shape == (2, 3, 5)
    assert repc.block(f"{spec}:Scale", example=image(2, 3, 5, 4))(image(1, 3, 2, 2)).shape == (1, 3, 2, 2)


@pytest.mark.parametrize(
    ("block", "given", "message"),
    [
        ("", {}, "E526 .* has 2 blocks: which one"),
        (":Rap", {}, "did you mean `Rep`"),
        (":Rep", {"co": 8}, "a weight cannot have the size ci"),
        (
            ":Rep",
            {"co": 8, "group": 8},
            "E523 Rep has no parameter and no size of an input called group; did you mean groups",
        ),
        (
            ":Scale",
            {"c": 8},
            "E525 input x of Scale has any number of axes as s; say how many, s=2, or give an example",
        ),
        (":Rep", {"co": 8, "example": [image(1, 8, 4, 4)] * 2}, "E524 Rep has 1 inputs, and the example has 2"),
    ],
)
def test_what_is_no_block_is_refused(spec: str, block: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure, match=message):
        repc.block(spec + block, **given)


def test_pickle_and_deepcopy(network: Any) -> None:
    x = image(2, 3, 17, 15)
    network.eval()
    for twin in (pickle.loads(pickle.dumps(network)), deepcopy(network)):
        assert same(twin, network)
        assert torch.equal(twin(x), network(x))
        train(twin)
        assert not torch.equal(twin.blocks.state_dict()["0.dense.conv.weight"], network.blocks[0].dense.conv.weight)


def test_exponential_moving_average(network: Any) -> None:
    average: Any = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=True)
    average.update_parameters(network)
    start = network.blocks[0].dense.conv.weight.detach().clone()
    train(network)
    average.update_parameters(network)
    found = average.module.blocks[0].dense.conv.weight
    assert torch.allclose(found, (start + network.blocks[0].dense.conv.weight) / 2, atol=1e-6)
    assert repc.fold(average.module.eval(), image(1, 3, 17, 15)).report


def test_mixed_precision(network: Any) -> None:
    x = image(4, 3, 17, 15)
    with torch.autocast("cpu", torch.bfloat16):
        result = network(x)
        result.float().square().mean().backward()
    assert result.dtype == torch.bfloat16
    assert network.blocks[0].dense.conv.weight.grad.dtype == torch.float32
    with torch.no_grad():
        assert relative(result.float(), network(x)) < 0.1


def test_channels_last(network: Any) -> None:
    x = image(2, 3, 17, 15)
    expected = network.eval()(x).detach()
    network.to(memory_format=torch.channels_last)
    kept = network.blocks(network.stem(x.to(memory_format=torch.channels_last)))
    assert kept.is_contiguous(memory_format=torch.channels_last)
    assert relative(network(x).detach(), expected) < 1e-5


def test_conversion_of_the_norms(network: Any) -> None:
    before = sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(deepcopy(network))
    assert sum(isinstance(part, nn.SyncBatchNorm) for part in converted.modules()) == before == 5
    assert same(converted, network)
    x = image(2, 3, 17, 15)
    assert torch.equal(converted.eval()(x), network.eval()(x))
    assert repc.fold(converted, x).report.after.get("batch_norm", 0) == 0


@pytest.mark.slow
def test_compilation(spec: str) -> None:
    plain, network = Network(spec), Network(spec)
    network.load_state_dict(plain.state_dict())
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    train(plain)
    train(network, compiled)
    for key, value in network.state_dict().items():
        assert torch.allclose(value, plain.state_dict()[key], atol=1e-5), key


def in_processes(rank: int, address: str, spec: str, folder: str) -> None:
    """Two processes train one network, each with data of its own, and then one that is in shards among them."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    network = Network(spec, seed=rank)
    parallel = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        parallel(image(4, 3, 17, 15, seed=2 * step + rank)).square().mean().backward()
        optimizer.step()
    torch.save(network.state_dict(), Path(folder) / f"parallel{rank}.pth")
    sharded = Network(spec)
    for part in (*sharded.blocks, sharded):
        fully_shard(part)
    train(sharded)
    whole = {
        key: value.full_tensor() if isinstance(value, DTensor) else value for key, value in sharded.state_dict().items()
    }
    torch.save(whole, Path(folder) / f"sharded{rank}.pth")
    dist.barrier()
    os._exit(0)  # torch sometimes aborts when it takes down gloo's threads, which is not what is tested


@pytest.fixture(scope="module")
def trained(spec: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with what both processes ended with."""
    folder = tmp_path_factory.mktemp("processes")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    spawn(in_processes, args=(address, spec, str(folder)), nprocs=2)
    return folder


@pytest.mark.slow
def test_data_in_parallel(spec: str, trained: Path) -> None:
    """Gradients are averaged and the weights of the first process are everyone's, so both end with equal weights."""
    first, second = (torch.load(trained / f"parallel{rank}.pth", weights_only=True) for rank in (0, 1))
    weights = [key for key in first if key.endswith(("weight", "bias"))]
    start = Network(spec).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in weights)
    assert not any(torch.equal(first[key], start[key]) for key in weights)


@pytest.mark.slow
def test_parameters_in_shards(spec: str, trained: Path) -> None:
    """Both processes see the same data, so that the shards together are the network that one process trains."""
    found, plain = torch.load(trained / "sharded0.pth", weights_only=True), Network(spec)
    train(plain)
    assert list(found) == list(plain.state_dict())
    for key, value in plain.state_dict().items():
        assert torch.allclose(found[key], value, atol=1e-5), key
