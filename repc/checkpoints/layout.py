"""How a library calls the tensors of a network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """A name to show, and the file's key for a parameter's path.

    One direction serves reading and writing: a reader asks for the key of every parameter that the network has.
    """

    name: str
    key: Callable[[str], str]

    def rename(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a network under the keys of this layout."""
        return {self.key(path): tensor for path, tensor in tensors.items()}


def translate(words: Mapping[str, str]) -> Callable[[str], str]:
    """The key function of a library that has other words for the segments of a path; other segments stay."""
    return lambda path: ".".join(words.get(segment, segment) for segment in path.split("."))


OFFICIAL = Layout("official", str)
"""The authors' own keys, which are the labels of the specs."""
