"""Artifacts: a folded graph as a torch module, as standalone source, as an ONNX file.

A backend turns a typed graph and its stored tensors into one artifact, by one explicit table from operator class to
lowering.  Everything that is particular to a target format lives here: an operator knows its shapes and its meaning,
never how a runtime spells it.  Backends do not see each other, but that `source` prints what `torch` runs.
"""
