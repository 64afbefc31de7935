"""What every stage speaks about: sizes, types, operators, weight expressions, nodes, graphs and traces.

A graph is typed from the day it exists: a `Node` always has a type and an origin.  Weights of a node are expressions
over named parameters (`expr`), so that folding rewrites mathematics and never arrays.  Modules are imported by name
(``from repc.ir.graph import Graph``); this package re-exports nothing, which keeps each dependency visible.
"""
