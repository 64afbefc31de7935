"""From the source tree to the typed graph: names, values, shapes, and what applying a layer makes.

Elaboration runs the program that a spec is.  Static values are computed, layers are applied, and what depends on an
input becomes a node of the graph; what depends on parameters only becomes a weight expression, which is how a block
can be a layer for an activation and an adapter for a weight without a second mechanism.  Errors give poison and are
collected, so that one run reports them all.
"""

from repc.semantics.bind import bind
from repc.semantics.check import check
from repc.semantics.elaborate import block_of, elaborate, elaborate_block
from repc.semantics.library import FileLibrary, OpenedSpec, open_spec, shipped_names, shipped_source
from repc.semantics.modules import Library, Module, load
from repc.semantics.stored import Stored, adapt_stored
from repc.semantics.targets import targets

__all__ = [
    "FileLibrary",
    "Library",
    "Module",
    "OpenedSpec",
    "Stored",
    "adapt_stored",
    "bind",
    "block_of",
    "check",
    "elaborate",
    "elaborate_block",
    "load",
    "open_spec",
    "shipped_names",
    "shipped_source",
    "targets",
]
