"""Random source trees of every class, as a program might make them: well-formed, with no place in any text."""

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from repc.diagnostics import Source, Span
from repc.syntax import tree

NOWHERE = Span(Source("generated", ""), 0, 0)

# Words that mean something only in adapters and targets are names elsewhere, and so are merges without a brace.
names = st.sampled_from(
    ["x", "ci", "W", "Conv", "BatchNorm_2d", "_", "at", "use", "expect", "keep", "of", "sum", "mean"]
)
fields = names | st.sampled_from(["weight", "model", "for", "0", "12", "1x1"])
keys = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cf"], exclude_characters='"'), max_size=12)


def node(kind: type[tree.Tree], *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A node of a class, from strategies for its parts."""
    return st.builds(kind, st.just(NOWHERE), *parts)


def optional(part: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | part


def several(part: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(part, min_size=least, max_size=most).map(tuple)


def literal(text: str) -> tree.Float:
    return tree.Float(NOWHERE, Fraction(text), text)


labels = node(tree.Label, st.sampled_from(["conv", "0", "stage{i}", "{i}", "model", "a_{i}_{j}"]))
paths = node(tree.Path, st.sampled_from(["a.b", "**.rbr_dense", "stage[1..3].bn", "*", "0.weight", "RepVGG_*"]))

# ---------------------------------------------------------------- expressions

integers = node(tree.Int, st.integers(0, 10**18 - 1))
floats = st.from_regex(r"[0-9]{1,5}(\.[0-9]{1,5}(e-?[0-9]{1,2})?|[eE]\+?[0-9]{1,2})", fullmatch=True).map(literal)
atoms = node(tree.Name, names) | integers | floats | node(tree.String, keys)
# The brace that makes `sum` a merge is looked for behind arguments that nest no deeper than this.
plain_arguments = node(tree.Argument, optional(names), integers | node(tree.Call, node(tree.Name, names), st.just(())))


results = node(tree.TypeExpr, optional(names), several(node(tree.Name, names) | integers))


def larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Expressions of which the parts are given."""
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%", "@", "==", "!=", "<", "<=", ">", ">=", "and", "or"])
    ranges = node(tree.Range, optional(inner), inner)
    loops = node(tree.Loop, names, ranges)
    branches = node(tree.Branch, optional(labels), inner, optional(loops), optional(inner))
    stages = node(tree.Stage, optional(labels), inner)
    merges = st.sampled_from(["sum", "mean", "concat"])
    return st.one_of(
        node(tree.Unary, st.sampled_from(["-", "not"]), inner),
        node(tree.Binary, operators, inner, inner),
        node(tree.If, inner, inner, inner),
        node(tree.Call, inner, several(node(tree.Argument, optional(names | st.just("weight")), inner))),
        node(
            tree.Typed,
            node(tree.Call, inner, several(node(tree.Argument, optional(names | st.just("weight")), inner))),
            several(results, 1),
        ),
        node(tree.Index, inner, several(inner | node(tree.Slice, optional(inner), optional(inner)), 1)),
        node(tree.Attribute, inner, fields),
        node(tree.Group, optional(labels), inner),
        node(tree.Tuple, several(inner, 2)),
        node(tree.List, several(inner)),
        node(tree.Pipe, inner, several(stages, 1)),
        node(tree.Merge, merges, several(plain_arguments), optional(names | st.just("a.0.bn")), several(branches, 1)),
        node(tree.Repeat, optional(names), ranges, optional(labels), inner),
    )


expressions = st.recursive(atoms, larger, max_leaves=8)

# ---------------------------------------------------------------- statements and items

dimensions = st.recursive(atoms, larger, max_leaves=2) | node(tree.Rest, optional(names))
types = node(tree.TypeExpr, optional(names), several(dimensions))
weights = node(
    tree.Weight,
    st.sampled_from(["weight", "buffer"]),
    names,
    optional(keys),
    types,
    expressions,
    optional(expressions),
)
statements = st.one_of(
    node(tree.Require, expressions, optional(keys)),
    node(tree.Let, several(names, 1), expressions),
    weights,
    node(tree.Alias, keys, expressions),
)
bodies = node(tree.Body, st.just(()), several(expressions, 1, 1), st.just(False)) | node(
    tree.Body, several(statements), several(expressions, 1), st.just(True)
)
parameters = several(node(tree.Parameter, names, optional(expressions)))
imports = node(tree.Import, keys, st.just(True), optional(names)) | node(
    tree.Import, st.sampled_from(["std", "std.conv", "a.weight.0"]), st.just(False), optional(names)
)
definitions = node(
    tree.Definition,
    st.sampled_from(["block", "model"]),
    names,
    parameters,
    several(node(tree.Port, names, types)),
    optional(types),
    bodies,
)
attachments = node(
    tree.Attach,
    paths,
    optional(expressions),
    expressions,
    st.sampled_from(["use", "then", "before"]),
    optional(labels),
    expressions,
)
adapters = node(tree.Adapt, names, parameters, names, several(weights), several(attachments))
unreserved = names.filter(lambda name: name not in ("at", "expect", "keep", "use", "of"))
counts = node(tree.Count, unreserved, st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), expressions)
settings = st.recursive(
    st.one_of(
        node(tree.Setting, unreserved, expressions),
        node(tree.Expect, several(counts)),
        node(tree.Keep, paths),
        node(tree.Bind, names, expressions),
    ),
    lambda inner: node(tree.Override, paths, several(inner)),
    max_leaves=3,
)
targets = node(tree.Target, names, names, paths, several(settings))
items = imports | definitions | adapters | targets
files = node(tree.File, st.just(1), several(items))
