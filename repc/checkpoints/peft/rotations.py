"""Methods of PEFT that turn the inputs of a weight, or its outputs."""

from __future__ import annotations

from repc.checkpoints.peft.method import (
    TRANSPOSED,
    Form,
    Method,
    Setting,
    Values,
    count,
    flag,
    is_count,
    number,
    one_of,
)

_EXACT = {"use_cayley_neumann": False, "block_share": False}
_SERIES = {"use_cayley_neumann": True, "block_share": False}
_EMBEDDED = {"oft_embedding_R.weight": "blocks count"}
_SHARED = {"block_share": True}
_SIDE = "int((1 + sqrt(1 + 8 * {count})) / 2)"
"""The rows of a skew-symmetric matrix with so many elements above its diagonal."""


def _oft(values: Values, module: str) -> Values:
    """The library's series for three terms is that for four."""
    radius = values["eps"] if values["coft"] else "none"
    return {"radius": radius, "terms": max(4, values["num_cayley_neumann_terms"])}


OFT = Method(
    "OFT",
    "orthogonal",
    (
        Form("OFT({blocks}, {radius})", {"oft_R.weight": "blocks count"}, _EXACT),
        Form("OFTNeumann({blocks}, {terms}, {radius})", {"oft_R.weight": "blocks count"}, _SERIES),
        Form("OFTEmbedding({blocks}, {radius})", _EMBEDDED, _EXACT, turned=False),
        Form("OFTEmbeddingNeumann({blocks}, {terms}, {radius})", _EMBEDDED, _SERIES, turned=False),
        Form(f"OFTShared({_SIDE}, {{radius}})", {"oft_R.weight": "1 count"}, {**_EXACT, **_SHARED}),
        Form(f"OFTSharedNeumann({_SIDE}, {{terms}}, {{radius}})", {"oft_R.weight": "1 count"}, {**_SERIES, **_SHARED}),
    ),
    {
        "use_cayley_neumann": flag(True),
        "num_cayley_neumann_terms": Setting(5, is_count, lambda n: n >= 3, "the library's own series needs at least 3"),
        "block_share": flag(),
        "coft": flag(),
        "eps": number(6e-5),
        **TRANSPOSED,
    },
    frozenset(("r", "oft_block_size", "module_dropout")),
    derived=_oft,
)

BOFT = Method(
    "BOFT",
    "orthogonal",
    (
        Form("BOFT({factors}, {blocks})", {"boft_R": "factors blocks n n", "boft_s": "o 1"}),
        Form("BOFTConv({factors}, {blocks})", {"boft_R": "factors blocks n n", "boft_s": "1 o"}, turned=False),
    ),
    {**TRANSPOSED},
    # without a certain extension there is one factor, whatever the configuration says
    frozenset(("boft_block_size", "boft_block_num", "boft_dropout", "boft_n_butterfly_factor")),
)

HRA = Method(
    "HRA",
    "orthogonal",
    (
        Form("HRA(r={r})", {"hra_u": "i r"}, {"apply_GS": False}),
        Form("HRAOrthogonal(r={r})", {"hra_u": "i r"}, {"apply_GS": True}),
    ),
    {"r": count(), "apply_GS": flag()},
)

ROAD = Method(
    "ROAD",
    "orthogonal",
    tuple(
        Form(f"{block}(group={{group_size}})", {"road_theta": "n", "road_alpha": "n"}, {"variant": variant}, layer=True)
        for variant, block in (("road_1", "RoAd"), ("road_2", "RoAd2"), ("road_4", "RoAd4"))
    ),
    {
        "group_size": count(64),
        "variant": one_of("road_1", ("road_1", "road_2", "road_4"), "repc does not know it"),
    },
)
