"""Which precision stands for "auto"."""

import copy

import pytest
import torch

from babelens.models.precision import resolve

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "wish, width, has_it, expected",
    [
        ("fp32", 768, True, None),
        ("bf16", 16, False, torch.bfloat16),
        ("fp16", 16, False, torch.float16),
        ("auto", 768, True, torch.bfloat16),
        ("auto", 768, False, None),
        ("auto", 96, True, None),
    ],
)
def test_auto_is_bf16_where_a_processor_has_it_and_the_encoder_is_wide(
    wish, width, has_it, expected, tiny_tagger, monkeypatch
):
    tagger = copy.deepcopy(tiny_tagger)
    tagger.backbone.text.dim = width
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_it)
    assert resolve(wish, tagger, CPU) == expected
