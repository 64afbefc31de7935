"""The vision transformer and the decoder of specs/models: as plain torch, with adapters, trained, merged, exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import repc

VIT = """\
repc 1

import adapters.lora
import adapters.ssf
import models.vit

model Net(image: f32[b, 3, 12, 8]) = image >> ViT(12, 2, 3, 4, 5)

adapt Net as Tuned {
  at blocks.*.attn.qkv.weight expect 2 use lora: LoRA(r=2, alpha=6)
  at blocks.*.attn.proj.weight expect 2 use lora: DoRA(r=2, alpha=6)
  at blocks.*.mlp.fc1 expect 2 then ssf: SSFTokens()
}
"""
DECODER = """\
repc 1

import adapters.lora
import adapters.ssf
import models.decoder

model Net(ids: i64[b, n]) = ids >> Decoder(words=20, width=24, depth=2, heads=6, groups=2, hidden=32)

adapt Net as Tuned {
  at **.self_attn.*.weight expect 8 use lora: LoRA(r=2, alpha=6)
  at **.mlp.down_proj.weight expect 2 use lora: DoRA(r=2, alpha=6)
  at **.mlp.up_proj expect 2 then ssf: SSFTokens()
}
"""


def adapted(weight: str, p: dict[str, Tensor]) -> Tensor:
    """A weight with its adapters, by hand."""
    w, part = p[weight], weight.removesuffix("weight") + "lora.lora_"
    if f"{part}A.weight" not in p:
        return w
    v = w + 3 * p[f"{part}B.weight"] @ p[f"{part}A.weight"]
    m = p.get(f"{part}magnitude_vector")
    return v if m is None else m[:, None] * v / v.norm(dim=1, keepdim=True)


class Reference:
    """Plain torch over the tensors of a state_dict."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.p = state

    def linear(self, x: Tensor, name: str) -> Tensor:
        y = functional.linear(x, adapted(f"{name}.weight", self.p), self.p.get(f"{name}.bias"))
        scale = self.p.get(f"{name}.ssf.scale")
        return y if scale is None else y * scale + self.p[f"{name}.ssf.shift"]


class ViT(Reference):
    def norm(self, x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], self.p[f"{name}.weight"], self.p[f"{name}.bias"], 1e-6)

    def __call__(self, image: Tensor) -> Tensor:
        p = self.p
        x = functional.conv2d(image, p["patch_embed.proj.weight"], p["patch_embed.proj.bias"], stride=4)
        x = torch.cat([p["cls_token"].expand(len(image), -1, -1), x.flatten(2).transpose(1, 2)], 1) + p["pos_embed"]
        for k in range(2):
            x = x + self.attention(self.norm(x, f"blocks.{k}.norm1"), f"blocks.{k}.attn")
            h = functional.gelu(self.linear(self.norm(x, f"blocks.{k}.norm2"), f"blocks.{k}.mlp.fc1"))
            x = x + self.linear(h, f"blocks.{k}.mlp.fc2")
        return self.linear(self.norm(x, "norm")[:, 0], "head")

    def attention(self, x: Tensor, name: str) -> Tensor:
        q, k, v = (t.unflatten(-1, (3, -1)).transpose(1, 2) for t in self.linear(x, f"{name}.qkv").chunk(3, -1))
        y = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
        return self.linear(y.transpose(1, 2).flatten(2), f"{name}.proj")


class Llama(Reference):
    def norm(self, x: Tensor, name: str) -> Tensor:
        return x * (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt() * self.p[f"{name}.weight"]

    def __call__(self, ids: Tensor) -> Tensor:
        x = self.p["model.embed_tokens.weight"][ids]
        for k in range(2):
            name = f"model.layers.{k}"
            x = x + self.attention(self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
            h = self.norm(x, f"{name}.post_attention_layernorm")
            gated = functional.silu(self.linear(h, f"{name}.mlp.gate_proj")) * self.linear(h, f"{name}.mlp.up_proj")
            x = x + self.linear(gated, f"{name}.mlp.down_proj")
        return self.linear(self.norm(x, "model.norm"), "lm_head")

    def attention(self, x: Tensor, name: str) -> Tensor:
        q, k, v = (self.linear(x, f"{name}.{part}_proj").unflatten(-1, (-1, 4)).transpose(1, 2) for part in "qkv")
        q, k, v = self.turned(q), self.turned(k).repeat_interleave(3, 1), v.repeat_interleave(3, 1)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        scores = (q @ k.transpose(-1, -2) / 2).masked_fill(later, -torch.inf)
        return self.linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), f"{name}.o_proj")

    def turned(self, x: Tensor) -> Tensor:
        """Pairs of numbers as complex ones."""
        place = torch.arange(x.shape[2], dtype=x.dtype)
        rate = 10000.0 ** (-torch.arange(2, dtype=x.dtype) / 2)
        z = torch.complex(x[..., :2], x[..., 2:]) * torch.polar(torch.ones_like(rate), place[:, None] * rate)
        return torch.cat([z.real, z.imag], -1)


def networks(folder: Path, kind: str) -> tuple[repc.Model, type[ViT] | type[Llama], Tensor]:
    generator = torch.Generator().manual_seed(1)
    if kind == "vit":
        (folder / "net.rep").write_text(VIT)
        image = torch.randn(2, 3, 12, 8, generator=generator, dtype=torch.float64)
        return repc.load(folder / "net.rep", "Tuned"), ViT, image
    (folder / "net.rep").write_text(DECODER)
    ids = torch.randint(20, (2, 7), generator=generator)
    return repc.load(folder / "net.rep", "Tuned"), Llama, ids


@pytest.mark.parametrize("kind", ["vit", "decoder"])
def test_a_transformer_with_adapters(kind: str, tmp_path: Path) -> None:
    model, reference, x = networks(tmp_path, kind)
    torch.manual_seed(0)
    state = {path: 0.5 * torch.randn(p.type.concrete()) for path, p in model.graph.parameters.items()}
    net = model.module().double()
    net.load_state_dict(state)
    agrees(net, reference, x)
    trained(net, x)
    agrees(net, reference, x)
    after = {path: t.float() for path, t in net.state_dict().items()}
    own = {path for path in after if ".lora." in path or ".ssf." in path}
    assert own == {path for path in after if not torch.equal(after[path], state[path])}
    fused = model.fuse(after)
    assert not any(".lora." in name or ".ssf." in name for name in fused.values)
    report = fused.verify()
    assert report, str(report)


def agrees(net: nn.Module, reference: type[ViT] | type[Llama], x: Tensor) -> None:
    with torch.no_grad():
        wanted = reference(dict(net.state_dict()))(x)
        torch.testing.assert_close(net(x), wanted, rtol=1e-9, atol=1e-9)


def trained(net: nn.Module, x: Tensor) -> None:
    optimizer = torch.optim.SGD([p for p in net.parameters() if p.requires_grad], lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().mean().backward()
        optimizer.step()
