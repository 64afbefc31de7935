"""Text to tree and back.

``grammar/repc.lark`` is the whole syntax.  lark turns it into tables ahead of time (`tables`); at run time a short LALR
automaton (`lalr`, `lexer`) reads them, so that a command starts without lark and every text parses in linear time.  The
automaton calls `builder` at each reduction, so no parse tree is made and walked.

A text that does not parse is cut into its items, and each is explained in the words of the language: `faults` says what
stands where the parser stopped, `diagnose` which mistake it is, `errors` what is said about it.

`text` writes any expression on one line, `layout` breaks what is too long, `comments` puts back what the tree does not
hold, `printer` writes files.  The layout follows from the tree and the places of comments alone, so formatting twice
changes nothing.  `printer` and `text` are imported by their modules, since checking a spec prints none.

Limits (`scan`, `builder`) keep what comes later simple: 1 MB, 100,000 tokens, 100 levels of brackets and of
expressions, 18 digits.  Within them any stage may recurse over a tree.
"""

from repc.syntax.parser import parse, parse_expression
from repc.syntax.scan import read_source

__all__ = ["parse", "parse_expression", "read_source"]
