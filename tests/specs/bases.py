"""The networks of the recorded adapters, as specs."""

from __future__ import annotations

BASES = {
    "Mlp": """\
import std.activation
import std.linear

block Block(x: [...s, i]) = x >> fc1: Linear(40) >> Tanh() >> fc2: Linear(16)

model Mlp(x: f32[b, t, 24]) = x >> block: Block() >> head: Linear(5)
""",
    "Deep": """\
import std.activation
import std.linear

block Layer(x: [...s, i]) {
  let y = x >> fc1: Linear(24) >> Tanh() >> fc2: Linear(16)
  return x + y
}

model Deep(x: f32[b, t, 16]) = x >> layers: repeat 3 { Layer() } >> head: Linear(5)
""",
    "Conv": """\
import std.activation
import std.conv

model Net(x: f32[b, 6, h, w]) = x >> stem: Conv(10, 3, pad=1) >> Tanh() >> tail: Conv(4, 1)
""",
    "Transposed": """\
import std.activation
import std.linear

block Conv1D<co>(x: [...s, ci]) {
  weight W as "weight": [ci, co] = normal(0, 1)
  weight b as "bias": [co] = zeros
  return x @ W + b
}

model Transposed(x: f32[b, t, 24]) =
  x >> c_attn: Conv1D(24) >> Tanh() >> c_fc: Conv1D(40) >> Tanh() >> c_proj: Conv1D(16) >> head: Linear(5)
""",
    "Lm": """\
import std.activation
import std.linear
import std.norm

block Block(x: [...s, i]) = x >> fc1: Linear(40) >> Tanh() >> fc2: Linear(24)

model Lm(ids: i64[b, t]) {
  let h = ids >> embed: Embedding(50, 24)
  let y = h >> norm: LayerNorm() >> block: Block()
  return (h + y) >> head: Linear(11)
}
""",
    "Attn": """\
import std.linear

block Heads<heads>(x: [b, t, d]) {
  weight W as "in_proj_weight": [3 * d, d] = normal(0, 1)
  weight c as "in_proj_bias": [3 * d] = zeros
  let parts = permute(reshape(linear(x, W, c), [b, t, 3, heads, d // heads]), [2, 0, 3, 1, 4])
  let y = attention(parts[0], parts[1], parts[2])
  return reshape(permute(y, [0, 2, 1, 3]), [b, t, d]) >> out_proj: Linear(d)
}

model Attn(x: f32[b, t, 16]) = x >> attn: Heads(4) >> head: Linear(6)
""",
}
"""Name → the spec, whose last item is the model."""
