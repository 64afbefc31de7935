"""The recorded adapters as specs: for each case, what is attached where, and the adapter's own shared weights."""

from __future__ import annotations

TWO = "at block.* expect 2 use"
WEIGHTS = "at block.*.weight expect 2 use"

CASES = {
    "adalora": ("lora", f"{WEIGHTS} m: AdaLoRA(6, 8)", ""),
    "loha": ("hadamard", f"{WEIGHTS} m: LoHa(4, 6)", ""),
    "lokr": (
        "kronecker",
        "at block.fc1.weight expect 1 use m: LoKrLow(5, 4, 2, 3)\n"
        "  at block.fc2.weight expect 1 use m: LoKrLow(4, 5, 2, 3)",
        "",
    ),
    "lokr-decompose-both": ("kronecker", f"{WEIGHTS} m: LoKrBoth(8, 8, 2, 3)", ""),
    "oft": ("orthogonal", f"{WEIGHTS} m: OFTNeumann(4)", ""),
    "oft-exact": ("orthogonal", f"{WEIGHTS} m: OFT(4)", ""),
    "boft": (
        "orthogonal",
        "at block.fc1.weight expect 1 use m: BOFT(1, 6)\n  at block.fc2.weight expect 1 use m: BOFT(1, 10)",
        "",
    ),
    "hra": ("orthogonal", f"{WEIGHTS} m: HRA(4)", ""),
    "road-1": ("orthogonal", f"{TWO} m: RoAd(8)", ""),
    "ia3": ("diagonal", f"{TWO} m: IA3()", ""),
    "ia3-feedforward": (
        "diagonal",
        "at block.fc1 expect 1 use m: IA3()\n  at block.fc2.weight expect 1 use m: IA3Input()",
        "",
    ),
    "vera": (
        "random",
        f"{WEIGHTS} m: VeRA()",
        "weight vera_A: [6, 40] = zeros\n  weight vera_B: [40, 6] = zeros",
    ),
    "randlora": (
        "random",
        f"{WEIGHTS} m: RandLoRA(3)",
        "weight randlora_A: [4, 1, 40] = zeros\n  weight randlora_B: [40, 10, 4] = zeros",
    ),
    "vblora": ("random", f"{WEIGHTS} m: VBLoRA(4)", "weight vblora_vector_bank: [16, 8] = zeros"),
    "shira": (
        "structured",
        "at block.fc1.weight expect 1 use m: SHiRA(128)\n  at block.fc2.weight expect 1 use m: SHiRA(112)",
        "",
    ),
    "c3a": ("structured", f"{WEIGHTS} m: C3A(8)", ""),
    "fourierft": ("structured", f"{WEIGHTS} m: FourierFT(60, 12, 777)", ""),
    "miss": ("structured", f"{WEIGHTS} m: MiSS(7)", ""),
    "miss-bat": ("structured", f"{WEIGHTS} m: MiSSBat(8)", ""),
    "lora-pissa": ("lora", f"{WEIGHTS} m: PiSSA(4, 6)", ""),
    "lora-olora": ("lora", f"{WEIGHTS} m: OLoRA(4, 6)", ""),
    "lora-pissa-converted": ("lora", f"{WEIGHTS} m: LoRA(8, 12)", ""),
}
"""Case → (module of specs/adapters, attachments, weights of the adapter)."""


def spec(case: str) -> str:
    """The small network of the recorded cases with the adapter attached."""
    module, attachments, weights = CASES[case]
    own = f"  {weights}\n" if weights else ""
    return (
        f"repc 1\n\nimport adapters.{module}\nimport models.mlp\n\nadapt MLP as Adapted {{\n{own}  {attachments}\n}}\n"
    )
