"""Torch modules as exported programs."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr
from copy import deepcopy
from dataclasses import dataclass, field
from io import StringIO
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export
from torch.fx.experimental import _config as symbolic
from torch.nn.modules import transformer
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from repc.diagnostics import Failure
from repc.importers.torch import errors
from repc.importers.torch.functional import functional

BATCH = "batch"
_CAUSAL = "_detect_is_causal_mask"  # of torch.nn.modules.transformer
Names: TypeAlias = Mapping[int, str]


class NotExported(Exception):
    """torch.export gave up; the text says why."""


@dataclass(frozen=True, eq=False)
class Example:
    """How a module is called: its arguments, bound to the parameters of `forward`."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """Every argument by the name of its parameter."""
        return dict(inspect.signature(self.module.forward).bind(*self.args, **self.kwargs).arguments)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments, in order."""
        return [leaf for leaf in pytree.tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]

    @property
    def batch(self) -> int | None:
        """The size of the first axis of the first tensor that has one; what shares it is taken to be batched."""
        return next((tensor.shape[0] for tensor in self.tensors if tensor.dim()), None)

    def of_two(self) -> Example:
        """The example with a batch of at least two: to torch, a size of one is a matter of its own."""
        return self._batched(lambda x: torch.cat([x, x])) if self.batch == 1 else self

    def other_batch(self) -> Example:
        """The example with a batch of one, or of two where it has one."""
        return self.of_two() if self.batch == 1 else self._batched(lambda x: x[:1])

    def _batched(self, change: Callable[[Tensor], Tensor]) -> Example:
        def of(leaf: object) -> object:
            return change(leaf) if isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == self.batch else leaf

        return Example(self.module, *pytree.tree_map(of, (self.args, self.kwargs)))


def example(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Example:
    """The arguments as `forward` takes them; raises `Failure` where it does not."""
    if isinstance(module, torch.jit.ScriptModule):
        raise Failure(errors.scripted(type(module).__name__))
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError as error:
        raise Failure(errors.not_exported(type(module).__name__, str(error))) from error
    return Example(module, bound.args, bound.kwargs)


@dataclass(eq=False)
class Shapes:
    """What torch is told about sizes, and what the free ones are called: for each tensor, by axis."""

    spec: dict[str, Any] = field(default_factory=dict[str, Any])
    names: list[Names] = field(default_factory=list[Names])


def shapes(given: Example, dynamic: Mapping[str, Any] | None, *, batch: bool) -> Shapes:
    """Sizes that are asked to be free, by argument, and with `batch` the first axis of what has the example's batch."""
    found = Shapes()

    def every(leaf: Any) -> Any:
        return of(leaf, None) if isinstance(leaf, Tensor) else None

    def of(value: Any, wanted: Any) -> Any:
        if isinstance(value, Tensor):
            free = {0: BATCH} if batch and value.dim() and value.shape[0] == given.batch else dict[int, Any]()
            free |= wanted or {}
            found.names.append({axis: _name(dim) for axis, dim in free.items() if not isinstance(dim, int | None)})
            return {axis: _dim(dim, axis not in (wanted or {})) for axis, dim in free.items()}
        if wanted is None:
            return pytree.tree_map(every, value)
        if isinstance(value, Mapping):
            items = cast("Mapping[str, Any]", value).items()
            return {name: of(item, wanted.get(name)) for name, item in items}
        return type(value)(of(item, part) for item, part in zip(value, wanted, strict=True))

    unknown = [name for name in dynamic or {} if name not in given.arguments]
    if unknown:
        raise Failure([errors.unknown_argument(name, list(given.arguments)) for name in unknown])
    found.spec = {name: of(value, (dynamic or {}).get(name)) for name, value in given.arguments.items()}
    return found


def capture(given: Example, asked: Shapes) -> ExportedProgram:
    """The exported program, functional as far as needed.  Raises `NotExported`.

    The module is captured from a copy of its structure over the same tensors: some modules keep what they computed.
    """
    copy = structure(given.module)
    with undisturbed(), _Transforms() as transforms:
        try:
            free = asked.spec if any(asked.names) else None
            return functional(export(copy, given.args, given.kwargs, dynamic_shapes=free, strict=False))
        except Exception as error:  # torch raises errors of many kinds
            raise NotExported(transforms.reason or str(error)) from error


class _Transforms(TorchFunctionMode):
    """Sees which transforms of `torch.func` a module makes: of what goes wrong then, they are the reason."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[str, None] = {}

    def __torch_function__(self, func: Any, types: object, args: Any = (), kwargs: Any = None) -> Any:
        active = cast("Any", torch)._C._functorch.peek_interpreter_stack()
        if active is not None:
            self._seen[active.key().name.lower()] = None
        return func(*args, **(kwargs or {}))

    @property
    def reason(self) -> str:
        """What is to be said about it; empty where there are none."""
        return f"it transforms a function by torch.func ({', '.join(self._seen)})" if self._seen else ""


def check_mode(module: nn.Module) -> None:
    """Raise `Failure` where a part of a module is in training mode."""
    modules = cast("Iterator[tuple[str, nn.Module]]", module.named_modules())
    training = [path for path, part in modules if part.training]
    if training:
        raise Failure(errors.training(training))


def hooked(module: nn.Module) -> list[str]:
    """The paths of the modules with hooks that run in a forward pass."""
    modules = cast("Iterator[tuple[str, Any]]", module.named_modules())
    return [path for path, part in modules if part._forward_hooks or part._forward_pre_hooks]


def structure(module: nn.Module) -> nn.Module:
    """The same modules over the same tensors."""
    tensors = [value for part in module.modules() for value in _tensors(part)]
    try:
        return deepcopy(module, {id(tensor): tensor for tensor in tensors})
    except Exception as error:  # whatever an attribute raises that does not copy
        raise Failure(errors.no_copy(type(module).__name__, str(error))) from error


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    """Its parameters, its buffers, and what else it keeps, as some do with what they have computed."""
    return (leaf for leaf in pytree.tree_leaves(vars(module)) if isinstance(leaf, Tensor))


@contextmanager
def without_autocast() -> Generator[None]:
    """In the types that a module has, whatever it is called under."""
    with ExitStack() as stack:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def undisturbed() -> Generator[None]:
    """Without gradients, or use of the random numbers of the process; a size of one is like any other.

    What torch warns of and dumps on the way is not shown: what matters of it is in the error that it raises.
    """
    disabled = logging.root.manager.disable
    with ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        stack.enter_context(cast("Any", torch.random).fork_rng(devices=[]))
        stack.enter_context(warnings.catch_warnings())
        stack.enter_context(redirect_stderr(StringIO()))
        stack.callback(logging.disable, disabled)
        if hasattr(transformer, _CAUSAL):  # it is torch's own affair, and may move
            stack.callback(setattr, transformer, _CAUSAL, getattr(transformer, _CAUSAL))
            setattr(transformer, _CAUSAL, _is_causal)
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        stack.enter_context(cast("Any", symbolic).patch(backed_size_oblivious=True))
        yield


def _is_causal(mask: object, is_causal: bool | None = None, size: int | None = None) -> bool:
    """What transformers ask of the values of a mask where nobody tells: it is applied all the same."""
    return is_causal is True


def _dim(dim: Any, automatic: bool) -> Any:
    """A size by name is free, or an error; one that nobody asked for is free where the module allows it."""
    if isinstance(dim, str):
        return Dim.AUTO if automatic else Dim.DYNAMIC
    return dim


def _name(dim: Any) -> str:
    return dim if isinstance(dim, str) else getattr(dim, "root", dim).__name__
