"""How a library calls the tensors of a network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor

Keys = Callable[[Collection[str]], dict[str, str]]
"""From the paths of all parameters of a network to their keys in a file."""


@dataclass(frozen=True)
class Layout:
    """A name to show, and the file's keys for the paths of a network.

    One direction serves reading and writing: a reader asks for the keys of all parameters that the network has.
    """

    name: str
    keys: Keys

    def rename(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a network under the keys of this layout."""
        keys = self.keys(tensors)
        return {keys[path]: tensor for path, tensor in tensors.items()}


def each(key: Callable[[str], str]) -> Keys:
    """The keys of a library where each depends on its own path alone."""
    return lambda paths: {path: key(path) for path in paths}


def translate(words: Mapping[str, str]) -> Callable[[str], str]:
    """The key of a library that has other words for the segments of a path; other segments stay."""
    return lambda path: ".".join(words.get(segment, segment) for segment in path.split("."))


OFFICIAL = Layout("official", each(str))
"""The authors' own keys, which are the labels of the specs."""
