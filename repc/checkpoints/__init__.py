"""Names and tensors, in and out: safetensors and torch files, the key layouts of libraries, PEFT's adapters.

`read` opens a file and finds the state_dict in it; nothing in a file is ever executed.  `match` gives every parameter
of a network its tensor: each key of the file is used once or named in an error.  A `Layout` is how a library names the
tensors of a network; the labels of a spec are its authors' own keys, so that the authors' layout changes nothing.
`open_stored` reads headers only, for checkpoints that are larger than memory.  `write` stores tensors, and
`read_adapter` turns an adapter into spec text and a layout, so that adapters need no code of their own anywhere else:
`read_peft` the folders of PEFT, `read_kohya` the files of kohya's scripts and of LyCORIS.

To add a layout: one file with a `Layout`, and its place in `LAYOUTS`.  To add a method of PEFT: one entry of `METHODS`.
"""

from repc.checkpoints.adapted import match_adapted, read_adapter
from repc.checkpoints.checkpoint import Checkpoint
from repc.checkpoints.errors import relative_after_another
from repc.checkpoints.headers import INDEX, SINGLE, Entry, Header, Stored, open_stored, read_into
from repc.checkpoints.kohya import modules_of, read_kohya
from repc.checkpoints.layout import OFFICIAL, Layout
from repc.checkpoints.matching import Matched, match
from repc.checkpoints.peft.reading import CONFIG, AdapterImport, layer_ranges, read_peft, tensors_of
from repc.checkpoints.reading import from_memory, read
from repc.checkpoints.timm import TIMM, TIMM_FASTVIT, TIMM_GHOSTNET, TIMM_REPVIT
from repc.checkpoints.writing import TORCH, TYPES, header_bytes, write

LAYOUTS = (OFFICIAL, TIMM, TIMM_GHOSTNET, TIMM_FASTVIT, TIMM_REPVIT)
"""The layouts that are recognised; where two fit equally well, the first is meant."""

__all__ = [
    "CONFIG",
    "INDEX",
    "LAYOUTS",
    "OFFICIAL",
    "SINGLE",
    "TIMM",
    "TORCH",
    "TYPES",
    "AdapterImport",
    "Checkpoint",
    "Entry",
    "Header",
    "Layout",
    "Matched",
    "Stored",
    "from_memory",
    "header_bytes",
    "layer_ranges",
    "match",
    "match_adapted",
    "modules_of",
    "open_stored",
    "read",
    "read_adapter",
    "read_into",
    "read_kohya",
    "read_peft",
    "relative_after_another",
    "tensors_of",
    "write",
]
