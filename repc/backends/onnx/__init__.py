"""ONNX, built straight from the graph.

Nothing is traced: each operator has one lowering (`lowerings`), so that the file has the nodes that the graph has, and
the names of the spec.

- A value is called ``path/operator``; initializers are the stored tensors under their stored names, bit for bit, and
  what must be transposed or reshaped for ONNX is so by a node, which runtimes fold.  A certificate can thus be checked
  against the file.
- Free sizes keep their text as the name of the dimension (``h``, ``(h//2) + 1``), in every value, so that the strict
  shape inference of the full checker compares repc's shapes with ONNX's own.
- Where a node comes from (``file:line``) is its doc string, since the metadata of nodes needs IR version 10, and the
  model has the oldest IR version of its opset.
- Sizes that a Reshape or an Expand needs are read off the first value that has them; 0 and -1 go first.
"""

from repc.backends.onnx.file import save
from repc.backends.onnx.model import OLDEST_OPSET, build, counts, operators, value_names, written

__all__ = ["OLDEST_OPSET", "build", "counts", "operators", "save", "value_names", "written"]
