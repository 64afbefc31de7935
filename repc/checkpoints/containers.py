"""Which part of a saved object is the state_dict, and what wrappers have put before its keys.

Training scripts save more than weights: a counter, an optimiser, a second set of averaged weights.  The usual name of
the trained weights wins; averaged weights are used where they are all there is, or asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard, cast

from torch import Tensor

from repc.checkpoints import errors
from repc.diagnostics import Failure

TRAINED = ("state_dict", "model", "model_state_dict", "model_state", "net", "network", "params", "module", "weights")
"""The names under which the trained weights are saved."""

WRAPPERS = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""

SHOWN = 5


def pick(name: str, loaded: Mapping[Any, object], container: str | None) -> tuple[Mapping[str, Tensor], list[str]]:
    """The mapping that holds the tensors, and notes on the choice.

    Raises `Failure` where there are no tensors (E606), several state_dicts (E607), or not the wanted one (E608).
    """
    found: dict[str, Mapping[Any, object]] = {
        key: value for key, value in loaded.items() if isinstance(key, str) and _holds_tensors(value)
    }
    if container is not None:
        if container not in found:
            raise Failure(errors.no_such_container(name, container, list(found)))
        return _tensors(name, found[container], [_chosen(container, found)])
    # Scalars beside a container are counters and scores; a state_dict itself has tensors with axes.
    if not found or any(isinstance(value, Tensor) and value.dim() for value in loaded.values()):
        return _tensors(name, loaded, [])
    usual = [key for key in TRAINED if key in found] or list(found)
    if len(usual) > 1:
        raise Failure(errors.several_containers(name, list(found)))
    return _tensors(name, found[usual[0]], [_chosen(usual[0], found)])


def strip(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """The tensors without the prefixes that all keys have, and a note on what was taken off."""
    left = dict(tensors)
    stripped = ""
    while prefix := next((p for p in WRAPPERS if all(key.startswith(p) for key in left)), None):
        left = {key.removeprefix(prefix): tensor for key, tensor in left.items()}
        stripped += prefix
    return left, [f"prefix {stripped} taken off every key"] if stripped else []


def _holds_tensors(value: object) -> TypeGuard[Mapping[Any, object]]:
    return isinstance(value, Mapping) and any(
        isinstance(v, Tensor) for v in cast("Mapping[Any, object]", value).values()
    )


def _tensors(name: str, chosen: Mapping[Any, object], notes: list[str]) -> tuple[Mapping[str, Tensor], list[str]]:
    tensors = {key: value for key, value in chosen.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise Failure(errors.no_tensors(name))
    others = [str(key) for key in chosen if key not in tensors]
    if others:
        more = ", …" if len(others) > SHOWN else ""
        notes.append(f"{len(others)} entries that are no tensors ignored: {', '.join(others[:SHOWN])}{more}")
    return tensors, notes


def _chosen(container: str, found: Iterable[str]) -> str:
    others = [key for key in found if key != container]
    return f"container {container}" + (f"; not used: {', '.join(others)}" if others else "")
