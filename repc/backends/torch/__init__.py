"""Graphs as torch modules: to train, and to deploy.

An operator is lowered to Python text, once (`lowerings`).  A module compiles the lines of its whole graph into one
function, and the source backend prints the same lines, so that what is emitted is what was run.  A compiled function
also is what torch's own tools read best: `torch.compile` and `torch.export` see plain Python, and the cost of a node
is that of a hand-written line.  Weights that are expressions (LoRA) are further lines, on autograd tensors.

Where a class of `torch.nn` can hold an operator's weights, it does (`layers`); its name, hooks and conversions are what
people expect.  The rest of the tree is made of plain modules, lists and dictionaries (`tree`).
"""

from repc.backends.torch.module import Network, inference_module, train_module
from repc.evaluate.initial import initial_values

__all__ = ["Network", "inference_module", "initial_values", "train_module"]
