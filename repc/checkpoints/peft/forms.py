"""Which form the tensors of a module have, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from repc.checkpoints.peft.method import Form, Values

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Found:
    """The form of a module with the sizes of its tensors; or what is missing, not called for, or misfits."""

    form: Form | None = None
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    missing: Sequence[str] = ()
    surplus: Sequence[str] = ()
    misfit: str = ""


def find_form(forms: Sequence[Form], shapes: Shapes, values: Values) -> Found:
    """The first of the forms that the configuration leads to which the tensors of a module have."""
    forms = [form for form in forms if form.applies(values) and form.parts.keys() & shapes.keys()]
    if not forms:
        return Found(misfit="repc has no block for these tensors under these settings")
    complete = [form for form in forms if form.parts.keys() == shapes.keys()]
    if not complete:
        nearest = max(forms, key=lambda form: len(form.parts.keys() & shapes.keys()))
        missing = [part for part in nearest.parts if part not in shapes]
        return Found(missing=missing, surplus=[part for part in shapes if part not in nearest.parts])
    tried = [(form, unify(form.parts, shapes, values)) for form in complete]
    fitting = [Found(form, sizes) for form, sizes in tried if not isinstance(sizes, Misfit)]
    if fitting:
        form = fitting[0].form
        return Found(misfit=form.never) if form and form.never else fitting[0]
    return Found(misfit=max((m for _, m in tried if isinstance(m, Misfit)), key=lambda misfit: misfit.after).reason)


@dataclass(frozen=True)
class Misfit:
    """A tensor of another shape than a form wants, and how many of the tensors before it fit."""

    after: int
    reason: str


def unify(wanted: Mapping[str, str], shapes: Shapes, values: Values) -> dict[str, int] | Misfit:
    """The size of every letter of the shapes; a letter that is also a setting has its value."""
    given = {name: value for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    sizes: dict[str, int] = {}
    for after, (part, text) in enumerate(wanted.items()):
        letters, shape = text.split(), shapes[part]
        rest = letters.pop() if letters[-1].startswith("...") else None
        known = {letter: size for letter, size in {**given, **sizes}.items() if letter in letters}
        sizes.update((letter, known.get(letter, size)) for letter, size in zip(letters, shape, strict=False))
        fits = len(shape) == len(letters) if rest is None else len(shape) >= len(letters)
        fits = fits and (rest != "...1" or set(shape[len(letters) :]) <= {1})
        if not fits or any(_size(letter, sizes) != size for letter, size in zip(letters, shape, strict=False)):
            with_ = f" with {', '.join(f'{letter} = {size}' for letter, size in known.items())}" if known else ""
            return Misfit(after, f"{part} is {list(shape)}, which is not [{text.replace(' ', ', ')}]{with_}")
    return sizes


def _size(letter: str, sizes: Mapping[str, int]) -> int:
    return int(letter) if letter.isdecimal() else sizes[letter]
