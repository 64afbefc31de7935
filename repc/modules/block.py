"""Blocks of specs as torch modules."""


def block() -> None:
    """Under way."""
