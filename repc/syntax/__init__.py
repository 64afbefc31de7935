"""Text to tree and back."""

from repc.syntax.parser import parse, parse_expression
from repc.syntax.printer import format_text, print_file
from repc.syntax.scan import read_source
from repc.syntax.text import expression_text

__all__ = ["expression_text", "format_text", "parse", "parse_expression", "print_file", "read_source"]
