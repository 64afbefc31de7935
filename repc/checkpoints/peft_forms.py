"""Which form the tensors of a module have, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from repc.checkpoints.peft_methods import Form, Values

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
    forms = [form for form in forms if form.applies(values)]
    if not forms:
        return Found(misfit="repc has no block for this combination of settings")
    complete = [form for form in forms if form.parts.keys() == shapes.keys()]
    if not complete:
        nearest = max(forms, key=lambda form: len(form.parts.keys() & shapes.keys()))
        missing = [part for part in nearest.parts if part not in shapes]
        return Found(missing=missing, surplus=[part for part in shapes if part not in nearest.parts])
    misfit = ""
    for form in complete:
        sizes = unify(form.parts, shapes, values)
        if not isinstance(sizes, str):
            return Found(form, sizes)
        misfit = misfit or sizes
    return Found(misfit=misfit)


def unify(wanted: Mapping[str, str], shapes: Shapes, values: Values) -> dict[str, int] | str:
    """The size of every letter of the shapes, or the first tensor that has another shape.

    A letter that is also a setting has its value.
    """
    sizes = {name: value for name, value in values.items() if isinstance(value, int) and not isinstance(value, bool)}
    known = dict[str, int]()
    for part, text in wanted.items():
        shape, letters = shapes[part], text.split()
        if letters[-1].startswith("..."):
            rest = letters.pop()
            fits = len(shape) >= len(letters) and (rest != "...1" or set(shape[len(letters) :]) <= {1})
        else:
            fits = len(shape) == len(letters)
        for letter, size in zip(letters, shape, strict=False):
            expected = int(letter) if letter.isdecimal() else sizes.setdefault(letter, size)
            fits = fits and expected == size
            known[letter] = expected
        if not fits:
            given = ", ".join(
                f"{letter} = {known[letter]}" for letter in letters if letter in known and letter.isalpha()
            )
            return f"{part} is {list(shape)}, which is not [{text.replace(' ', ', ')}]" + (
                f" with {given}" if given else ""
            )
    return {letter: size for letter, size in known.items() if not letter.isdecimal()}
