"""In which numbers a model computes; its weights, and sums over paths of tags, always have 32 bits or more."""

from typing import Literal, get_args

import torch

from babelens.models.tagger import Tagger

Precision = Literal["auto", "fp32", "bf16", "fp16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

# Encoders of this width gain more from half as many bits than the casts cost on a processor.
_WIDE = 512


def resolve(precision: Precision, tagger: Tagger, device: torch.device) -> torch.dtype | None:
    """The type of matrix products and convolutions, None for that of the weights.

    "auto" is bf16 where a GPU has it, or where a CPU has it and the text encoder is wide enough to gain from it.
    """
    if precision == "auto":
        if device.type == "cuda":
            precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
        else:
            wide = device.type == "cpu" and tagger.backbone.text.dim >= _WIDE
            has_it: bool = torch.cpu._is_avx512_bf16_supported()  # pyright: ignore[reportAttributeAccessIssue]
            precision = "bf16" if wide and has_it else "fp32"
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
