"""A typed graph as a spec that people can read: blocks, repeats and labels found again.

A spec is one more artifact of a graph, which is why this is a backend: it needs the graph, the operators and the source
tree, and no elaboration.  Its law is that elaborating the text gives the graph back: operators, attributes, types,
paths, and parameters with their keys; `repc.ir.same` compares the two.

`standard` says which operators are blocks of specs/std, `regions` which modules become blocks, `steps` what each says,
`repeats` which steps are rounds of one, `templates` which blocks are the same but for numbers, `parameters` and `sizes`
where the numbers are from, `write` prints it.
"""

from repc.backends.spec.lift import Lifted, lift

__all__ = ["Lifted", "lift"]
