"""Compiled encoders against the same run as they are."""

import copy

import numpy as np
import pytest
import torch
from PIL import Image
from torch._inductor import cpp_builder

from babelens.data import Picture
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger, save_tagger
from babelens.models.compiled import CompileError, compile_encoders
from babelens.models.naming import named
from babelens.models.spec import Model
from babelens.modules.late import Late
from babelens.modules.text.recurrent import Recurrent
from babelens.schema import Example, TagSet

WORDS = [
    "Anna Lindqvist visited Paris with the team of Siemens in 2019 .",
    "Le maire de Lyon",
    "Ana ganó la copa ayer !",
]


def batch_of(tagger, sentences):
    rows = [
        Row(Example(id=str(number), words=tuple(sentence.split()), entities=()), (str(number),), picture)
        for number, sentence in enumerate(sentences)
    ]
    return tagger.collator()(rows, labelled=False)


def picture(key):
    pixels = np.random.default_rng(int(key)).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    return Picture(key, Image.fromarray(pixels), "used")


# "aot_eager" traces forward and backward as "inductor" does, and leaves out what takes it minutes: making kernels.
BACKENDS = [pytest.param("aot_eager"), pytest.param("inductor", marks=pytest.mark.long)]


@pytest.mark.filterwarnings("ignore")  # of torch's own compiler about itself
@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled_encoders_give_the_same_emissions_and_gradients_for_rows_of_any_number(tiny_tagger, tmp_path, backend):
    plain = copy.deepcopy(tiny_tagger).eval()
    compiled = copy.deepcopy(tiny_tagger).eval()
    assert compile_encoders(compiled, backend) == ("text", "clip", "resnet")
    assert list(compiled.state_dict()) == list(plain.state_dict())
    for sentences in (WORDS, WORDS[:1], WORDS[1:]):
        found = []
        for tagger in (plain, compiled):
            tagger.zero_grad()
            emissions = tagger.emissions(batch_of(tagger, sentences))
            (emissions * emissions).sum().backward()
            found.append(emissions.detach())
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
        for (name, one), other in zip(plain.named_parameters(), compiled.parameters(), strict=True):
            if one.grad is not None:
                torch.testing.assert_close(other.grad, one.grad, rtol=1e-3, atol=1e-4, msg=name)
    save_tagger(compiled, tmp_path / "model")


def test_what_cannot_be_compiled_is_told():
    tagger = new_tagger(Model(Late(Recurrent(vectors=None))), TagSet(("PER",)), lambda: [["Anna", "came"]])
    with pytest.raises(CompileError, match="encoders that can be compiled"):
        compile_encoders(tagger)
    interleaved = new_tagger(named("mkgformer", "compact"), TagSet(("PER",)), lambda: [["Anna", "came"]])
    with pytest.raises(CompileError, match="encoders that can be compiled"):
        compile_encoders(interleaved)


def test_a_machine_without_a_compiler_is_told(tiny_tagger, monkeypatch):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("no-such-compiler",))
    cpp_builder.cpp_compiler_search.cache_clear()
    with pytest.raises(CompileError, match="expected a C\\+\\+ compiler, found none"):
        compile_encoders(tiny_tagger)
