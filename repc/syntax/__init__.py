"""Text to tree and back."""

from repc.syntax.parser import parse, parse_expression
from repc.syntax.scan import read_source

__all__ = ["parse", "parse_expression", "read_source"]
