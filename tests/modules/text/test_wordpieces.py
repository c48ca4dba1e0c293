import os
import subprocess
import sys

import pytest
from transformers import AutoTokenizer, BertConfig

from babelens.modules.text.wordpieces import train_wordpieces
from babelens.schema import InputError

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from babelens.modules.text.wordpieces import train_wordpieces
words = {words!r}
print(sorted(train_wordpieces(words, 60).get_vocab().items(), key=lambda pair: pair[1]))
"""


def test_cased_with_accents_and_specials_first(sentences):
    tokenizer = train_wordpieces(sentences * 3, 300)
    assert tokenizer.convert_ids_to_tokens(list(range(5))) == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert tokenizer.tokenize("Zürich") == ["Zürich"]
    assert tokenizer.tokenize("zürich") != ["Zürich"]
    assert "née" in tokenizer.get_vocab()


def test_most_subtokens_and_rarest_characters_unknown():
    tokenizer = train_wordpieces([["aaab", "aab", "ab", "ba", "z"]] * 4, 11)
    assert len(tokenizer) <= 11
    assert tokenizer.tokenize("z") == ["[UNK]"]
    assert "[UNK]" not in tokenizer.tokenize("aab")


def test_read_back_by_auto_tokenizer(tmp_path, sentences):
    tokenizer = train_wordpieces(sentences * 3, 90)
    tokenizer.save_pretrained(tmp_path)
    BertConfig().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for words in [*sentences, ["ZÜRICH", "nee", "\u200b", "東京", "Málaga,abre"]]:
        assert again(" ".join(words))["input_ids"] == tokenizer(" ".join(words))["input_ids"]


def test_same_in_every_process_and_order(sentences):
    reversed_ = [list(reversed(words)) for words in reversed(sentences)]
    root = os.getcwd()
    programs = [PROGRAM.format(root=root, words=words) for words in (sentences * 2, sentences * 2, reversed_ * 2)]
    seeds = ("0", "1", "2")
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        for program, seed in zip(programs, seeds, strict=True)
    ]
    said = {run.communicate(timeout=120)[0] for run in runs}
    assert len(said) == 1 and len(said.pop()) > 100


def test_size_without_room():
    with pytest.raises(InputError, match="expected more than 5 sub-tokens, found 5"):
        train_wordpieces([["a"]], 5)
