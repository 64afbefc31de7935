"""A fused graph as one readable file of Python and one file of tensors, with no trace of repc in its imports."""

from repc.backends.source.emit import SourceArtifact, emit

__all__ = ["SourceArtifact", "emit"]
