"""A module as the spec of its network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from repc.backends.spec import Lifted
from repc.backends.spec import lift as lift_graph
from repc.importers import import_module
from repc.verify import check_spec


def lift(
    module: nn.Module,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    dynamic: Mapping[str, Any] | None = None,
) -> Lifted:
    """A module in evaluation mode as the text of a spec: blocks named after its classes, labels as in its state_dict.

    It is called with `args` and `kwargs`; `dynamic` says which sizes stay free besides the batch, as in `fold`.  The
    text is checked to mean the same network.  Raises `Failure` where the module trains or cannot be exported.
    """
    imported = import_module(module, args, kwargs, dynamic)
    return check_spec(lift_graph(imported.graph, imported.classes, imported.parameters))
