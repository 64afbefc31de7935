"""Whether the text of a lifted network means that network."""

from __future__ import annotations

from repc.backends.spec import Lifted
from repc.diagnostics import Source
from repc.ir.same import difference
from repc.semantics import FileLibrary, elaborate, load


def check_spec(lifted: Lifted) -> Lifted:
    """The spec itself, once it is elaborated and compared with the graph that it was made from.

    Raises `AssertionError` where the two differ, which is a mistake in repc.
    """
    module = load(Source(f"{lifted.graph.name}.rep", lifted.text), FileLibrary())
    found = difference(lifted.graph, elaborate(module, lifted.graph.name))
    assert found is None, f"the spec of {lifted.graph.name} means another network: {found}"
    return lifted
