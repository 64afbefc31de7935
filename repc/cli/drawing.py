"""A graph as a picture: DOT for graphviz, or an SVG in layers, the inputs on top.

The layers are those of Sugiyama, Tagawa and Toda (1981): each node stands one layer below its lowest operand, edges
that cross layers bend around what stands between, and a few sweeps order each layer by the middle of its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from repc.ir.graph import Graph
from repc.ir.node import Node, NodeId
from repc.ir.notation import attributes

SWEEPS = 4
LAYER, LINE, LETTER, GAP, MARGIN = 62.0, 15.0, 6.6, 24.0, 16.0
BEND = 10.0  # the width that an edge takes where it passes a layer

COLOURS = {
    **dict.fromkeys(("conv", "conv_transpose", "linear", "matmul", "einsum"), "#cfe3ff"),
    **dict.fromkeys(("batch_norm", "layer_norm", "group_norm", "rms_norm", "affine"), "#ffe3c2"),
    **dict.fromkeys(("sum", "concat", "multiply", "divide"), "#d8f0d0"),
    "input": "#e8e8e8",
}


def label(node: Node) -> tuple[str, str]:
    """What is written on a node: operator and path."""
    return node.op.title, node.path


def dot(graph: Graph) -> str:
    """The graph in graphviz's language."""
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        '  node [shape=box style="rounded,filled" fillcolor=white fontname="sans-serif" fontsize=10];',
        '  edge [fontname="sans-serif" fontsize=8];',
    ]
    for id in graph.order():
        node = graph[id]
        text = "\\n".join(_escaped(part) for part in label(node) if part)
        colour = COLOURS.get(node.op.name, "white")
        lines.append(f'  n{id} [label="{text}" fillcolor="{colour}"];')
        lines.extend(f'  n{source} -> n{id} [label="{graph[source].type}"];' for source in node.inputs)
    for name, id in graph.outputs.items():
        lines += [f"  out{id} [label={_quoted(name)} shape=plaintext];", f"  n{id} -> out{id};"]
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


# ---------------------------------------------------------------- SVG


@dataclass(eq=False)
class _Box:
    """A node, or the place where an edge passes a layer (without a node)."""

    layer: int
    node: Node | None = None
    x: float = 0.0
    above: list[_Box] = field(default_factory=list["_Box"])
    below: list[_Box] = field(default_factory=list["_Box"])

    @property
    def width(self) -> float:
        return BEND if self.node is None else 14 + LETTER * max(map(len, label(self.node)))


def svg(graph: Graph) -> str:
    """The graph as an SVG document."""
    layers = _layers(graph)
    for sweep in range(SWEEPS):
        _sweep(layers, down=sweep % 2 == 0)
    boxes = [box for layer in layers for box in layer]
    left = min(box.x - box.width / 2 for box in boxes) - MARGIN
    width = max(box.x + box.width / 2 for box in boxes) + MARGIN - left
    height = len(layers) * LAYER + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.1f} 0 {width:.1f} {height:.1f}" '
            f'width="{width:.0f}" height="{height:.0f}" font-family="sans-serif" font-size="11">',
            f"<title>{escape(graph.name)}</title>",
            '<g fill="none" stroke="#777">',
            *(_edge(box, lower) for box in boxes for lower in box.below),
            "</g>",
            *(line for box in boxes if box.node is not None for line in _drawn(box, box.node)),
            "</svg>",
        ]
    )


def _layers(graph: Graph) -> list[list[_Box]]:
    """Every node one layer below its lowest operand, and a bend for each layer that an edge passes."""
    boxes: dict[NodeId, _Box] = {}
    layers: list[list[_Box]] = []

    def place(box: _Box) -> _Box:
        layers.extend([] for _ in range(box.layer + 1 - len(layers)))
        layers[box.layer].append(box)
        return box

    for id in graph.order():
        inputs = [boxes[source] for source in graph[id].inputs]
        boxes[id] = place(_Box(max((box.layer + 1 for box in inputs), default=0), graph[id]))
        for above in inputs:
            for layer in range(above.layer + 1, boxes[id].layer):
                above = _join(above, place(_Box(layer)))  # noqa: PLW2901 (the edge so far)
            _join(above, boxes[id])
    return layers


def _join(above: _Box, below: _Box) -> _Box:
    above.below.append(below)
    below.above.append(above)
    return below


def _sweep(layers: Sequence[list[_Box]], *, down: bool) -> None:
    """Order each layer by the middle of its neighbours, and set it as close to them as its own widths allow."""
    for layer in layers if down else reversed(layers):
        wanted = {id(box): _middle(box.above if down else box.below, box.x) for box in layer}
        layer.sort(key=lambda box: wanted[id(box)])
        _spread(layer, [wanted[id(box)] for box in layer])


def _middle(neighbours: Sequence[_Box], otherwise: float) -> float:
    return sum(box.x for box in neighbours) / len(neighbours) if neighbours else otherwise


def _spread(layer: Sequence[_Box], wanted: Sequence[float]) -> None:
    """Side by side without overlap, in the middle of where they want to be."""
    x = 0.0
    for box in layer:
        box.x = x + box.width / 2
        x += box.width + GAP
    shift = sum(wanted) / len(wanted) - sum(box.x for box in layer) / len(layer)
    for box in layer:
        box.x += shift


def _top(box: _Box) -> float:
    return MARGIN + box.layer * LAYER


def _edge(upper: _Box, lower: _Box) -> str:
    """From the bottom of a box to the top of another; a bend is a line that goes on."""
    height = 2 * LINE + 6
    start, end = _top(upper) + height, _top(lower)
    middle = (start + end) / 2
    through = f" V {end + height:.1f}" if lower.node is None else ""
    return (
        f'<path d="M {upper.x:.1f} {start:.1f} C {upper.x:.1f} {middle:.1f}, '
        f'{lower.x:.1f} {middle:.1f}, {lower.x:.1f} {end:.1f}{through}"/>'
    )


def _drawn(box: _Box, node: Node) -> Iterator[str]:
    name, path = label(node)
    top, width = _top(box), box.width
    colour = COLOURS.get(name, "#ffffff")
    about = ", ".join([*attributes(node.op, vars(node.op)), str(node.type)])
    yield f"<g><title>{escape(f'{path}: {name}, {about}')}</title>"
    yield (
        f'<rect x="{box.x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{2 * LINE + 6:.1f}" '
        f'rx="5" fill="{colour}" stroke="#555"/>'
    )
    for line, (text, style) in enumerate(((name, 'font-weight="bold"'), (path, 'fill="#555"')), 1):
        place = f'x="{box.x:.1f}" y="{top + LINE * line:.1f}" text-anchor="middle"'
        yield f"<text {place} {style}>{escape(text)}</text>"
    yield "</g>"
