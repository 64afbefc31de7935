"""Small specs that the commands are run on."""

BLOCK = """\
repc 1

import std.conv

model Net<co = 4>(x: f32[b, 3, h, w]) =
  sum as fused {
      dense: x >> conv: Conv(co, 3, pad=1, bias=false) >> bn: BatchNorm()
    | point: x >> conv: Conv(co, 1, bias=false) >> bn: BatchNorm()
  } >> ReLU() >> head: Conv(2, 1)

target deploy = onnx of Net { expect { Conv == 2  BatchNormalization == 0  Add == 0 } }
target official = torch of Net { keep **.bn }
"""

WRONG = """\
repc 1

import std.conv

model Net(x: f32[b, 3, h, w]) = x >> Convv(4, 3) >> relu

model Other(x: f32[b, 3, h, w]) = x >> Conv(4, kernal=3)
"""

KEPT = """\
repc 1

import std.conv

model Net(x: f32[b, 3, h, w]) {
  let y = x >> conv: Conv(4, 3, pad=1, bias=false)
  return (y >> bn: BatchNorm()) + relu(y)
}

target deploy = onnx of Net { expect { BatchNormalization == 0 } }
"""
