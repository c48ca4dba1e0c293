"""Encoders of many families, each a real folder of configuration, tokenizer and weights, read as any other."""

import json

import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.text.transformer import Transformer
from babelens.modules.text.wordpieces import train_wordpieces

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
BERT_LIKE = {**SIZES, "max_position_embeddings": 48}
ROBERTA_LIKE = {**SIZES, "max_position_embeddings": 50, "pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}


def wordpieces(sentences):
    return train_wordpieces(sentences, 90)


def mpnet(sentences):
    """WordPiece with the control tokens of RoBERTa, in its order."""
    own = train_wordpieces(sentences, 90).get_vocab()
    names = {"[CLS]": "<s>", "[SEP]": "</s>", "[PAD]": "<pad>", "[MASK]": "<mask>"}
    pieces = [names.get(piece, piece) for piece in sorted(own, key=own.__getitem__)]
    first = ["<s>", "<pad>", "</s>", "[UNK]", "<mask>"]
    ordered = [*first, *(piece for piece in pieces if piece not in first)]
    return hf.MPNetTokenizer(
        vocab={piece: number for number, piece in enumerate(ordered)}, do_lower_case=False, strip_accents=False
    )


def unigram(kind, specials, unknown):
    """A tokenizer of SentencePiece's unigram model, as `kind` wraps it."""

    def make(sentences):
        trained = Tokenizer(models.Unigram())
        trained.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=120, special_tokens=specials, unk_token=unknown, show_progress=False
        )
        trained.train_from_iterator((" ".join(words) for words in sentences), trainer=trainer)
        return kind(vocab=[tuple(entry) for entry in json.loads(trained.to_str())["model"]["vocab"]])

    return make


def byte_level(sentences):
    """The tokenizer of ModernBERT: bytes, no blank before a text, of no class of its own."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=specials,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    trained.train_from_iterator((" ".join(words) for words in sentences), trainer=trainer)
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=trained, mask_token="[MASK]", **names)


def gemma(sentences):
    """The tokenizer of mmBERT, which is Gemma's: blanks are part of the pieces, and none stands before a text."""
    trained = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trained.pre_tokenizer = pre_tokenizers.Split("▁", behavior="merged_with_next")
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *(f"<0x{number:02X}>" for number in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=380, special_tokens=specials, show_progress=False)
    trained.train_from_iterator((" ".join(words) for words in sentences), trainer=trainer)
    trained.pre_tokenizer = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    trained.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[("<bos>", 2), ("<eos>", 1)]
    )
    names = {"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    return hf.PreTrainedTokenizerFast(tokenizer_object=trained, mask_token="<mask>", **names)


FAIRSEQ = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
GOOGLE = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
MODERN = {
    **SIZES,
    "max_position_embeddings": 48,
    "local_attention": 16,
    "pad_token_id": 3,
    "cls_token_id": 1,
    "sep_token_id": 2,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# What makes the model, its tokenizer, and how many sub-tokens it reads at once.
FAMILIES = {
    "mbert": (hf.BertModel, hf.BertConfig, BERT_LIKE, wordpieces, 48),
    "xlm-r": (
        hf.XLMRobertaForMaskedLM,
        hf.XLMRobertaConfig,
        ROBERTA_LIKE,
        unigram(hf.XLMRobertaTokenizer, FAIRSEQ, "<unk>"),
        48,
    ),
    # Its tokenizer is XLM-R's, its layers are BERT's.
    "multilingual-minilm": (
        hf.BertModel,
        hf.BertConfig,
        BERT_LIKE,
        unigram(hf.XLMRobertaTokenizer, FAIRSEQ, "<unk>"),
        48,
    ),
    "mdeberta": (
        hf.DebertaV2ForMaskedLM,
        hf.DebertaV2Config,
        {
            **BERT_LIKE,
            "relative_attention": True,
            "pos_att_type": ["p2c", "c2p"],
            "position_biased_input": False,
            "position_buckets": 8,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "type_vocab_size": 0,
        },
        unigram(hf.DebertaV2Tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]"),
        48,
    ),
    "deberta-v3": (
        hf.DebertaV2Model,
        hf.DebertaV2Config,
        {**BERT_LIKE, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
        unigram(hf.DebertaV2Tokenizer, ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"], "[UNK]"),
        48,
    ),
    "modernbert": (hf.ModernBertForMaskedLM, hf.ModernBertConfig, MODERN, byte_level, 48),
    "mmbert": (
        hf.ModernBertForMaskedLM,
        hf.ModernBertConfig,
        {**MODERN, "pad_token_id": 0, "cls_token_id": 2, "bos_token_id": 2, "eos_token_id": 1, "sep_token_id": 1},
        gemma,
        48,
    ),
    "distilmbert": (
        hf.DistilBertForMaskedLM,
        hf.DistilBertConfig,
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "max_position_embeddings": 48},
        wordpieces,
        48,
    ),
    "electra": (hf.ElectraForPreTraining, hf.ElectraConfig, {**BERT_LIKE, "embedding_size": 8}, wordpieces, 48),
    "camembert": (
        hf.CamembertForMaskedLM,
        hf.CamembertConfig,
        ROBERTA_LIKE,
        unigram(hf.CamembertTokenizer, FAIRSEQ, "<unk>"),
        48,
    ),
    "rembert": (
        hf.RemBertForMaskedLM,
        hf.RemBertConfig,
        {
            **BERT_LIKE,
            "input_embedding_size": 8,
            "output_embedding_size": 12,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        unigram(hf.RemBertTokenizer, ["<pad>", "[CLS]", "<unk>", "[SEP]", "[MASK]"], "<unk>"),
        48,
    ),
    "albert": (
        hf.AlbertModel,
        hf.AlbertConfig,
        {**BERT_LIKE, "embedding_size": 8, "bos_token_id": 2, "eos_token_id": 3},
        unigram(hf.AlbertTokenizer, GOOGLE, "<unk>"),
        48,
    ),
    "mpnet": (
        hf.MPNetModel,
        hf.MPNetConfig,
        ROBERTA_LIKE,
        mpnet,
        48,
    ),
}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory, sentences):
    """A folder as published, the oracle's model and tokenizer, and the number of sub-tokens read at once."""
    kind, config, fields, tokens, limit = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = tokens(sentences * 3)
    torch.manual_seed(0)
    model = kind(config(vocab_size=len(tokenizer), **fields))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return (
        folder,
        getattr(model, model.base_model_prefix, model).eval(),
        hf.AutoTokenizer.from_pretrained(folder),
        limit,
    )


def build(folder, **fields):
    return Transformer(name=str(folder), **fields).build(Origin()).eval()


def test_words_are_those_of_the_encoder_run_by_hand(family, sentences):
    """The oracle: the tokenizer's own reading of the text, joined to words by its offsets."""
    folder, model, tokenizer, limit = family
    encoder = build(folder)
    assert encoder.tokens.limit == limit
    with torch.no_grad():
        encoded = encoder(encoder.tokens(sentences))
        assert encoded.words.shape == (4, 10, 16) and encoded.mask.sum() == sum(map(len, sentences))
        for row, words in enumerate(sentences):
            framed = tokenizer([" " + " ".join(words)], return_tensors="pt", return_offsets_mapping=True)
            ids = framed["input_ids"]
            states = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
            end = 0
            for place, word in enumerate(words):
                before, end = end, end + 1 + len(word)
                own = [
                    number
                    for number, (start, stop) in enumerate(framed["offset_mapping"][0].tolist())
                    if before < stop <= end and start < stop
                ]
                torch.testing.assert_close(encoded.words[row, place], states[own[0]], atol=1e-5, rtol=0)


def test_padding_and_neighbours_change_nothing(family, sentences):
    encoder = build(family[0])
    rows = [*sentences, [word for words in sentences for word in words] * 2, []]
    with torch.no_grad():
        many = encoder(encoder.tokens(rows))
        for number, words in enumerate(rows):
            one = encoder(encoder.tokens([words]))
            torch.testing.assert_close(many.words[number, : len(words)], one.words[0, : len(words)], atol=1e-5, rtol=0)
            torch.testing.assert_close(many.pooled[number], one.pooled[0], atol=1e-5, rtol=0)


def test_gradient_reaches_every_trained_weight(family, sentences):
    encoder = build(family[0]).train()
    encoder.drop_pooler()
    words = encoder(encoder.tokens(sentences)).words
    (words * torch.randn_like(words)).sum().backward()
    assert not [name for name, weight in encoder.named_parameters() if weight.requires_grad and weight.grad is None]
    with torch.autocast("cpu", torch.bfloat16):
        assert encoder(encoder.tokens(sentences)).words.isfinite().all()


def test_rebuilt_offline_from_what_it_saved(family, sentences, tmp_path):
    encoder = build(family[0], lora=Lora(rank=2))
    assert any("lora" in name for name, weight in encoder.named_parameters() if weight.requires_grad)
    encoder.save(tmp_path)
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.bin"))
    again = Transformer(name="nobody/nothing", lora=Lora(rank=2)).build(Origin(folder=tmp_path)).eval()
    again.load_state_dict(encoder.state_dict(), strict=True)
    odd = [*sentences, ["\u200b", "ZÜRICH", "[SEP]", "neu"]]
    with torch.no_grad():
        assert again(again.tokens(odd)).words.equal(encoder(encoder.tokens(odd)).words)
