"""Models that the user's own Python code makes."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any, cast

from repc.cli import errors
from repc.cli.inputs import Example
from repc.diagnostics import Diagnostic, Failure
from repc.semantics.values import Value

if TYPE_CHECKING:
    from torch import nn

    from repc.driver import Model

BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def open_factory(text: str, settings: Mapping[str, Value], examples: Sequence[Example]) -> Model:
    """The model of ``package.module:factory``.

    The factory is called with the settings as keywords, after the random generators are seeded, and gives a module, or
    a module and example arguments.  Raises `Failure`: E940 to E944, and what the importer does.
    """
    import torch

    from repc.driver import Model
    from repc.importers import import_module as import_torch

    print(f"repc: running {text}, which is code of your own", file=sys.stderr)
    module_name, _, attribute = text.partition(":")
    factory = _found(module_name, attribute)
    # Initial weights are the same whenever the model is opened again.
    torch.manual_seed(0)  # pyright: ignore[reportUnknownMemberType]
    module, args, kwargs = _made(text, factory, settings)
    dynamic: dict[str, dict[int, str]] = {}
    if examples:
        _check_names(text, module, examples)
        args, kwargs = (), {example.name: example.tensor() for example in examples}
        dynamic = {example.name: free for example in examples if (free := example.dynamic())}
    if not args and not kwargs:
        raise Failure(errors.no_example(text, type(module).__name__))
    imported = import_torch(module.eval(), args, kwargs, dynamic or None, attribute)
    return Model(text, imported.graph, own=imported)


def _found(module_name: str, attribute: str) -> object:
    """An attribute of a module, which is looked for in the current folder too."""
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise Failure(errors.no_such_module(module_name, error.name)) from error
        raise Failure(_raised(f"importing {module_name}", error)) from error
    except (Exception, SystemExit) as error:
        raise Failure(_raised(f"importing {module_name}", error)) from error
    if not hasattr(module, attribute):
        raise Failure(errors.no_such_object(module_name, attribute, [name for name in vars(module) if name[0] != "_"]))
    return getattr(module, attribute)


def _made(
    text: str, factory: Any, settings: Mapping[str, Value]
) -> tuple[nn.Module, tuple[object, ...], dict[str, object]]:
    """The module that a factory gives, and the arguments of an example."""
    from torch import Tensor, nn

    made: object = factory
    if not isinstance(factory, nn.Module) and callable(factory):
        try:
            made = factory(**settings)
        except (Exception, SystemExit) as error:
            raise Failure(_raised(f"calling {text}", error)) from error
    module, example = made, cast("object", ())
    if isinstance(made, tuple) and len(cast("tuple[object, ...]", made)) == 2:
        module, example = cast("tuple[object, object]", made)
    if not isinstance(module, nn.Module):
        raise Failure(errors.no_module(text, type(module).__name__))
    if isinstance(example, Mapping):
        return module, (), dict(cast("Mapping[str, object]", example))
    if isinstance(example, tuple | list):
        return module, tuple(cast("Sequence[object]", example)), {}
    if isinstance(example, Tensor):
        return module, (example,), {}
    raise Failure(errors.no_example(text, type(module).__name__))


def _check_names(text: str, module: nn.Module, examples: Sequence[Example]) -> None:
    """Every example must be an argument of `forward`."""
    parameters = signature(module.forward).parameters
    known = [name for name, parameter in parameters.items() if parameter.kind in BY_NAME]
    unknown = [errors.no_such_argument(example.name, text, known) for example in examples if example.name not in known]
    if unknown and not any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values()):
        raise Failure(unknown)


def _raised(what: str, error: BaseException) -> Diagnostic:
    """What the user's code raised, and where in it."""
    calls = [frame for frame in extract_tb(error.__traceback__) if not frame.filename.startswith("<")]
    here = str(Path(__file__).parent)
    own = [frame for frame in calls if not frame.filename.startswith(here)]
    lines = [f"{_shown(frame.filename)}:{frame.lineno}: in {frame.name}" for frame in own[-3:]]
    return errors.code_failed(what, f"{type(error).__name__}: {error}".strip().splitlines()[0], lines)


def _shown(path: str) -> str:
    with suppress(ValueError):
        return str(Path(path).relative_to(Path.cwd()))
    return path
