"""Tensors that models of transformers have in memory, where adapters are trained, under other names than in files.

Version 5 of that library loads what older versions saved, renames it, stacks the experts of a mixture, and undoes all
of that when it saves.  A file does not say which renaming is its own.  An adapter does: all of its modules must be
there in memory, under one of the renamings, and whatever else fits as well must mean the same tensors.

Source: transformers 5.23, ``conversion_mapping.py``, of which these are the facts for tensors that are kept whole, or
stacked by experts.  Not here are those that are cut into several, transposed or interleaved.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from repc.ir.types import TensorType

Renaming: TypeAlias = tuple[tuple[str, str], ...]
"""Patterns of keys in a file and what they become in memory, one after the other."""

_LAYERS = (r"\bencoder\.layer\.", "layers.")
_SPLIT = ("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj")
_HEADS = tuple((rf"\battention\.attention\.{old}\b", f"attention.{new}") for old, new in _SPLIT)
_SELVES = tuple((rf"\battention\.self\.{old}\b", f"attention.{new}") for old, new in _SPLIT)
_OUT = (r"\battention\.output\.dense\b", "attention.o_proj")
_MLP = ((r"\bintermediate\.dense\b", "mlp.fc1"), (r"\boutput\.dense\b", "mlp.fc2"))
_DETR = ((r"\bout_proj\b", "o_proj"), (r"\blayers\.(\d+)\.fc([12])\b", r"layers.\1.mlp.fc\2"))
_AIFI = ((r"\bencoder\.encoder\.", "encoder.aifi."),)
_MIXTRAL = ((r"\bblock_sparse_moe\b", "mlp"),)
_TOWERS = "vision_tower|vision_model|audio_tower|image_tower|video_tower|multi_modal_projector|encoder|projector"
_NEWER = "image_newline|vision_embed_tokens|acoustic_tokenizer_encoder|semantic_tokenizer_encoder"

RENAMINGS: tuple[Renaming, ...] = (
    (),  # stacked experts alone: Qwen-MoE, DeepSeek, OLMoE, …
    _MIXTRAL,  # Mixtral, MiniMax
    (*_MIXTRAL, (r"\bmlp\.gate\.", "mlp.router.")),  # PhiMoE
    ((r"\bbackbone\.", "model."),),  # Nemotron-H
    (_LAYERS, *_HEADS, _OUT, *_MLP),  # ViT, DeiT, BEiT, AST, …
    (*_HEADS, _OUT),  # DINOv2
    (*_HEADS, (r"\battention\.output\b", "attention.o_proj")),  # LW-DETR
    (*_SELVES, _OUT, *_MLP),  # Swin
    ((r"\bbackbone\.conv_encoder\.", "backbone."), *_DETR),  # DETR
    (*_AIFI, *_DETR),  # RT-DETR
    # LLaVA and its like: models with a head, and without one
    (
        (r"^language_model\.lm_head\b", "lm_head"),
        (rf"^({_TOWERS}|{_NEWER})\b", r"model.\1"),
        (r"^language_model\.model\.", "model.language_model."),
    ),
    ((r"^language_model\.model\.", "language_model."),),
    # Qwen2-VL
    ((r"^model\.", "model.language_model."), (r"^visual\.", "model.visual.")),
    ((r"^embed_out\b", "lm_head"),),  # GPT-NeoX
    # Granite with experts
    (
        (r"\bblock_sparse_moe\.input_linear\.weight$", "block_sparse_moe.experts.gate_up_proj"),
        (r"\bblock_sparse_moe\.output_linear\.weight$", "block_sparse_moe.experts.down_proj"),
        (r"\brouter\.layer\b", "router"),
    ),
    # Aria
    ((r"\bexperts\.fc1\.weight$", "experts.gate_up_proj"), (r"\bexperts\.fc2\.weight$", "experts.down_proj")),
)
"""What families of models are renamed by; one that renames nothing in a file may still stack experts."""

STACKS = (
    ("gate_up_proj", ("gate_proj", "up_proj")),
    ("gate_up_proj", ("w1", "w3")),
    ("up_proj", ("up_proj",)),
    ("down_proj", ("down_proj",)),
    ("down_proj", ("w2",)),
)
"""Tensors with an axis of experts, and the weights of one expert in a file that are its rows, one below the other."""

_EXPERT = re.compile(r"(.+\.experts)\.(0|[1-9]\d*)\.(\w+)\.weight")


@dataclass(frozen=True)
class Names:
    """The tensors of a base by their names in memory: their types, and the key of each in the file.

    A stack of experts has several keys, expert by expert.
    """

    types: Mapping[str, TensorType]
    keys: Mapping[str, tuple[str, ...]]

    def stored(self, path: str) -> str:
        """The path in a file of a tensor or module in memory; of a new tensor, that beside its module's weight."""
        if path in self.keys:
            return self.keys[path][0]
        if f"{path}.weight" in self.keys:
            return self.keys[f"{path}.weight"][0].removesuffix(".weight")
        module, _, leaf = path.rpartition(".")
        return f"{self.stored(module)}.{leaf}" if f"{module}.weight" in self.keys else path

    def is_stack(self, path: str) -> bool:
        """Whether a tensor in memory is several in the file."""
        return len(self.keys.get(path, ())) > 1


def find_names(types: Mapping[str, TensorType], modules: Collection[str]) -> Names:
    """The names of a base's tensors under which it has all of these modules; without a doubt, or its own names."""
    own = Names(types, {key: (key,) for key in types})
    if _has(own, modules):
        return own
    found = [names for names in (_in_memory(types, renaming) for renaming in RENAMINGS) if _has(names, modules)]
    meant = {frozenset((path, key) for path, key in names.keys.items() if _module(path) in modules) for names in found}
    return found[0] if len(meant) == 1 else own


def _has(names: Names, modules: Collection[str]) -> bool:
    return {*modules} <= {_module(path) for path in names.keys}


def _module(path: str) -> str:
    return path.rpartition(".")[0]


def _in_memory(types: Mapping[str, TensorType], renaming: Renaming) -> Names:
    """The names that a renaming gives; none where it gives two tensors one name."""
    keys: dict[str, str] = {}
    for key in types:
        name = key
        for pattern, new in renaming:
            name = re.sub(pattern, new, name)
        keys[name] = key
    if len(keys) < len(types):
        return Names({}, {})
    stacks = dict(_stacks(keys, types))
    return Names(
        {**{name: types[key] for name, key in keys.items()}, **{name: type for name, (type, _) in stacks.items()}},
        {**{name: (key,) for name, key in keys.items()}, **{name: parts for name, (_, parts) in stacks.items()}},
    )


def _stacks(
    keys: Mapping[str, str], types: Mapping[str, TensorType]
) -> Iterator[tuple[str, tuple[TensorType, tuple[str, ...]]]]:
    """The tensors that experts have together, with their types and keys."""
    experts: dict[str, dict[int, dict[str, str]]] = {}
    for name, key in keys.items():
        if part := _EXPERT.fullmatch(name):
            experts.setdefault(part[1], {}).setdefault(int(part[2]), {})[part[3]] = key
    for root, each in experts.items():
        for stack, members in STACKS:
            rows = [[each.get(number, {}).get(member, "") for member in members] for number in range(len(each))]
            shapes = {types[key].concrete() for row in rows for key in row if key}
            if all(map(all, rows)) and len(shapes) == 1 and len(shape := shapes.pop()) == 2:
                sizes = (len(each), len(members) * shape[0], shape[1])
                yield f"{root}.{stack}", (TensorType(sizes, types[rows[0][0]].dtype), tuple(chain.from_iterable(rows)))
