"""Torch's own tools on the modules: compilation, export, training in several processes."""

import os
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.export import Dim
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from repc.backends.torch import inference_module, train_module
from repc.ir.graph import Graph
from repc.ops import Permute, Reshape
from tests.backends.networks import B, Builder, H, W, lora, repvgg, repvgg_deploy, stored_values

pytestmark = pytest.mark.slow


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def patches() -> Graph:
    """Patches of 2 x 2 as tokens with a bias for each place: sizes that are computed from the free dimensions."""
    build = Builder("Patches")
    image, bias = build.input("image", B, 3, 2 * H, 2 * W), build.input("bias", H, W, 4)
    x = build.node(Permute((0, 2, 4, 1, 3, 5)), x=build.node(Reshape((B, 3, H, 2, W, 2)), x=image))
    x = build.linear(build.node(Reshape((B * H * W, 12)), x=x), "fc", 4)
    return build.output(y=build.sum(build.node(Reshape((B, H, W, 4)), x=x), bias))


@pytest.mark.parametrize("graph", [repvgg(dropout=0.3), lora()], ids=lambda graph: graph.name)
def test_training_compiles_as_one_graph(graph: Graph) -> None:
    x = image(4, 3, 8, 8) if "image" in graph.inputs else image(4, 6)
    plain, network = train_module(graph, seed=0), train_module(graph, seed=0)
    compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
    for module, run in ((plain, plain), (network, compiled)):
        torch.manual_seed(0)
        optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            run(x).square().mean().backward()
            optimizer.step()
    for key, value in network.state_dict().items():
        assert torch.allclose(value, plain.state_dict()[key], atol=1e-5), key


def test_inference_compiles_with_the_default_backend() -> None:
    graph = repvgg_deploy((1,), (4,))
    network = inference_module(graph, stored_values(graph, train_module(graph, seed=0).state_dict()))
    compiled = torch.compile(network, fullgraph=True)
    assert torch.allclose(compiled(image(2, 3, 8, 8)), network(image(2, 3, 8, 8)), atol=1e-5)


@pytest.mark.parametrize("strict", [True, False])
def test_the_inference_module_exports_with_free_sizes(strict: bool) -> None:
    graph = repvgg_deploy()
    network = inference_module(graph, stored_values(graph, train_module(graph, seed=0).state_dict()))
    free = {"image": {0: Dim("b"), 2: Dim("h", min=9), 3: Dim("w", min=9)}}
    program = torch.export.export(network, (image(2, 3, 16, 24),), dynamic_shapes=free, strict=strict)
    other = image(3, 3, 19, 17)
    assert torch.allclose(program.module()(other), network(other), atol=1e-6)
    assert set(program.state_dict) == set(network.state_dict())


def train_in_parallel(rank: int, address: str, folder: str) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    network = train_module(repvgg(), seed=rank)
    parallel = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(parallel.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        parallel(image(4, 3, 8, 8, seed=2 * step + rank)).square().mean().backward()
        optimizer.step()
    torch.save(network.state_dict(), Path(folder) / f"{rank}.pth")
    dist.barrier()
    os._exit(0)  # torch sometimes aborts when it takes down gloo's threads, which is not what is tested


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    """Gradients are averaged and the weights of the first process are everyone's, so both end with equal weights."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(train_in_parallel, args=(f"tcp://127.0.0.1:{port}", str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pth", weights_only=True) for rank in (0, 1))
    trained = [key for key in first if key.endswith(("weight", "bias"))]
    assert all(torch.equal(first[key], second[key]) for key in trained)
    start = train_module(repvgg(), seed=0).state_dict()
    assert not any(torch.equal(first[key], start[key]) for key in trained)


@pytest.mark.parametrize("strict", [True, False])
def test_sizes_that_are_computed_stay_free(strict: bool) -> None:
    graph = patches()
    network = inference_module(graph, stored_values(graph, train_module(graph, seed=0).state_dict()))
    given, other = (image(2, 3, 8, 12), image(4, 6, 4)), (image(3, 3, 10, 6), image(5, 3, 4))
    compiled = torch.compile(network, fullgraph=True, backend="eager", dynamic=True)
    h, w = Dim("h"), Dim("w")
    free = {"image": {0: Dim("b"), 2: 2 * h, 3: 2 * w}, "bias": {0: h, 1: w}}
    program = torch.export.export(network, given, dynamic_shapes=free, strict=strict)
    for values in (given, other):
        assert torch.equal(compiled(*values), network(*values))
        assert torch.allclose(program.module()(*values), network(*values), atol=1e-6)
