"""What a folder has besides weights: configuration and tokenizer go along, weights in other formats do not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from repc.checkpoints import INDEX, Stored
from repc.ir.files import write_whole
from repc.merging.layout import Output

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".gguf", ".onnx", ".index.json")
"""Suffixes of files that have, or are about, weights: left behind, they would be those of the base."""
CONFIG = "config.json"


def carried(base: Stored) -> tuple[list[str], list[str]]:
    """The files of a folder that go along, and what is left out."""
    if not base.is_folder:
        return [], []
    others = sorted(entry for entry in base.path.iterdir() if entry.name not in base.files and entry.name != INDEX)
    kept = [entry.name for entry in others if entry.is_file() and not entry.name.endswith(WEIGHTS)]
    return kept, [entry.name for entry in others if entry.name not in kept]


def carry(base: Stored, names: Sequence[str], settings: Mapping[str, Any], folder: Path) -> None:
    """Copy files, the configuration with other settings where there are any."""
    for name in names:
        if name == CONFIG and settings:
            config = {**json.loads((base.path / name).read_bytes()), **settings}
            write_whole(folder / name, f"{json.dumps(config, indent=2, ensure_ascii=False)}\n".encode())
        else:
            shutil.copyfile(base.path / name, folder / name)


def write_index(base: Stored, outputs: Sequence[Output], folder: Path) -> None:
    """The index of the shards, where the base has one."""
    if not base.is_folder or not (base.path / INDEX).exists():
        return
    found: dict[str, Any] = json.loads((base.path / INDEX).read_bytes())
    size = sum(entry.stop - entry.start for output in outputs for entry in output.entries.values())
    homes = {key: output.name for output in outputs for key in output.entries}
    index: dict[str, Any] = {
        "metadata": {**(found.get("metadata") or {}), "total_size": size},
        "weight_map": dict(sorted(homes.items())),
    }
    write_whole(folder / INDEX, f"{json.dumps(index, indent=2)}\n".encode())
