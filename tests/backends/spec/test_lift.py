"""The law of lifting: elaborating the text of a graph gives the graph back."""

from hypothesis import given, settings

from repc.backends.spec import lift
from repc.diagnostics import Source
from repc.ir.graph import Graph
from repc.ir.same import difference
from repc.semantics import FileLibrary, elaborate, load
from repc.syntax.printer import format_text, print_file
from tests.backends.spec.networks import networks


def again(graph: Graph, **classes: str) -> str:
    """The text of a graph, which is canonical and means the graph."""
    lifted = lift(graph, classes)
    text = print_file(lifted.file)
    source = Source("lifted.rep", text)
    assert format_text(source) == text
    module = load(source, FileLibrary())
    (name,) = module.models()
    assert difference(lifted.graph, elaborate(module, name)) is None
    return text


@settings(max_examples=400, deadline=None)
@given(networks())
def test_any_network_comes_back(graph: Graph) -> None:
    again(graph)
