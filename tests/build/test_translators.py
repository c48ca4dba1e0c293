"""Tiny models of random weights with real tokenizers: what they say means nothing, but how they are asked is real."""

import json

import pytest
import torch

from babelens.build.translate import translate_rows
from babelens.build.translators import ModelTranslator, PairTranslator, Translator, load_translator
from babelens.schema import InputError

sentencepiece = pytest.importorskip("sentencepiece", reason="the extra build is not installed")

TEXTS = [
    "The mayor of London met Angela Merkel in Paris .",
    "Le maire de Lyon a reçu les joueurs du Real Madrid .",
    "Die Sängerin aus Köln singt morgen .",
    "El equipo de Bogotá ganó la copa ayer !",
    "tags <e1> and </e2> [1: and ] 2 345678 9",
]
SIZES = {
    "d_model": 16,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
}
# From the sixth token on the end of a translation becomes ever more probable; else random weights find none.
ENDING = {"exponential_decay_length_penalty": (6, 4.0)}


def pieces(path):
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 4),
            model_writer=file,
            vocab_size=140,
            hard_vocab_limit=False,
            minloglevel=2,
        )
    processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return [processor.id_to_piece(number) for number in range(processor.get_piece_size())]


def save(model, folder, ending=True):
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(8)  # untrained scores hardly differ; these do, so that texts differ too
    model.generation_config.update(**(ENDING if ending else {}))
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def marian(tmp_path_factory):
    """Two pairs, en to fr and en to de, and a model that knows both targets."""
    from transformers import MarianConfig, MarianMTModel

    folder = tmp_path_factory.mktemp("marian")
    for seed, name in enumerate(("en-fr", "en-de", "en-many")):
        own = folder / name
        own.mkdir()
        known = pieces(own / "source.spm")
        pieces(own / "target.spm")
        codes = [">>fra<<", ">>deu<<"] if name == "en-many" else []
        vocabulary = list(dict.fromkeys(["</s>", "<unk>", *codes, *known, "<pad>"]))
        vocabulary.remove("<s>")
        (own / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(vocabulary)}), encoding="utf-8")
        told = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr", "model_max_length": 64}
        (own / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")
        torch.manual_seed(seed)
        size = len(vocabulary)
        special = {
            "pad_token_id": size - 1,
            "decoder_start_token_id": size - 1,
            "eos_token_id": 0,
            "forced_eos_token_id": 0,
        }
        save(MarianMTModel(MarianConfig(vocab_size=size, **special, **SIZES)), own)
    return folder


@pytest.fixture(scope="module")
def m2m(tmp_path_factory):
    from transformers import M2M100Config, M2M100ForConditionalGeneration, M2M100Tokenizer

    folder = tmp_path_factory.mktemp("m2m")
    known = list(dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", *pieces(folder / "sentencepiece.bpe.model")]))
    (folder / "vocab.json").write_text(json.dumps({piece: n for n, piece in enumerate(known)}), encoding="utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(3)
    size = len(known) + len(tokenizer.lang_code_to_id) + tokenizer.num_madeup_words
    save(M2M100ForConditionalGeneration(M2M100Config(vocab_size=size, **SIZES)), folder)
    return folder


@pytest.fixture(scope="module")
def nllb(tmp_path_factory):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import M2M100Config, M2M100ForConditionalGeneration, NllbTokenizer

    folder = tmp_path_factory.mktemp("nllb")
    learnt = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    learnt.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    learnt.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=180, special_tokens=special, show_progress=False))
    made = json.loads(learnt.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=made["vocab"], merges=[tuple(pair) for pair in made["merges"]])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(4)
    model = M2M100ForConditionalGeneration(M2M100Config(vocab_size=len(tokenizer), **SIZES))
    with torch.no_grad():
        # Most of the vocabulary are languages, and a translation of nothing else would be empty.
        model.get_input_embeddings().weight[sorted(tokenizer.get_added_vocab().values())[4:]] *= 0.1
    save(model, folder)
    return folder


@pytest.fixture(params=["marian", "m2m", "nllb"])
def folder(request):
    made = request.getfixturevalue(request.param)
    return made / "en-fr" if request.param == "marian" else made


def test_texts_come_back_in_their_order_whatever_the_batches(folder):
    translator = load_translator(str(folder), beams=2, batch=3)
    assert isinstance(translator, Translator)
    texts = [TEXTS[0], "", TEXTS[1], "a", " \n", *TEXTS[2:], TEXTS[0]]
    together = translator.translate(texts, "en", "fr")
    assert together[1] == together[4] == ""
    assert together[0] == together[-1]
    assert len(set(together)) > 3
    alone = load_translator(str(folder), beams=2, batch=1)
    assert together == [alone.translate([text], "en", "fr")[0] for text in texts]
    assert translator.translate([], "en", "fr") == []


def test_greedy_and_beams_are_those_of_the_model(folder):
    loaded = load_translator(str(folder))
    assert isinstance(loaded, ModelTranslator)
    tokenizer, model = loaded.tokenizer, loaded.model
    coded = hasattr(tokenizer, "src_lang")
    if coded:
        tokenizer.src_lang = "eng_Latn" if "nllb" in str(folder) else "en"
    forced = tokenizer.convert_tokens_to_ids("fra_Latn" if "nllb" in str(folder) else "__fr__") if coded else None
    inputs = tokenizer([TEXTS[0]], return_tensors="pt")
    for beams in (1, 3):
        with torch.no_grad():
            ids = model.generate(**inputs, num_beams=beams, forced_bos_token_id=forced, max_new_tokens=50)[0].tolist()
        words = [number for number in ids[1:] if number not in (forced, *tokenizer.all_special_ids)]
        assert load_translator(str(folder), beams=beams).translate(TEXTS[:1], "en", "fr") == [tokenizer.decode(words)]


def test_languages_reach_the_model(m2m, nllb, monkeypatch):
    for folder, codes in ((m2m, ("__de__", "__fr__")), (nllb, ("deu_Latn", "fra_Latn"))):
        translator = load_translator(str(folder))
        assert isinstance(translator, ModelTranslator)
        seen = []
        generate = translator.model.generate

        def spy(seen=seen, generate=generate, **options):
            output = generate(**options)
            seen.append((options["input_ids"][0, 0].item(), output[0, 1].item()))
            return output

        monkeypatch.setattr(translator.model, "generate", spy)
        translator.translate(TEXTS[:1], "de", "fr")
        assert tuple(translator.tokenizer.convert_ids_to_tokens(list(seen[0]))) == codes
        assert translator.translate(TEXTS[:1], "de", "es") != translator.translate(TEXTS[:1], "de", "fr")


def test_the_code_of_the_language_is_no_part_of_a_translation(m2m, nllb):
    for folder, code in ((m2m, "__fr__"), (nllb, "fra_Latn")):
        assert all(not text.startswith(code) for text in load_translator(str(folder)).translate(TEXTS, "en", "fr"))


def test_languages_may_be_named_as_the_model_does(nllb):
    translator = load_translator(str(nllb))
    named = load_translator(str(nllb), codes={"xx": "fra_Latn"})
    assert translator.translate(TEXTS, "en", "fr") == named.translate(TEXTS, "eng_Latn", "xx")
    with pytest.raises(InputError, match=r"expected a language that the model knows \(.*, \.\.\.\), found 'qq'"):
        translator.translate(TEXTS, "en", "qq")


def test_a_marian_model_with_several_targets_is_told_the_target(marian, monkeypatch):
    translator = load_translator(str(marian / "en-many"))
    assert translator._languages("en", "fr") == (">>fra<< ", None)
    assert translator.translate(TEXTS, "en", "fr") != translator.translate(TEXTS, "en", "de")
    with pytest.raises(InputError, match=r"\(deu, fra, \.\.\.\), found 'es'"):
        translator.translate(TEXTS, "en", "es")


def test_a_name_for_each_pair(marian):
    template = str(marian / "{source}-{target}")
    translator = load_translator(template, beams=1)
    assert isinstance(translator, PairTranslator)
    for target in ("fr", "de", "fr"):
        one = load_translator(str(marian / f"en-{target}"), beams=1)
        assert translator.translate(TEXTS, "en", target) == one.translate(TEXTS, "en", target)
    with pytest.raises(InputError, match="en-es': expected the hub id or the folder of a translation model"):
        translator.translate(TEXTS, "en", "es")


def test_texts_that_are_too_long_and_translations_without_an_end_are_left_out(m2m, tmp_path):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    translator = load_translator(str(m2m))
    assert translator.limit == 64
    assert translator.translate(["The mayor " * 40, TEXTS[0]], "en", "fr")[0] == ""
    assert translator.translate(["The mayor " * 40, TEXTS[0]], "en", "fr")[1] != ""
    AutoTokenizer.from_pretrained(m2m).save_pretrained(tmp_path)
    endless = AutoModelForSeq2SeqLM.from_pretrained(m2m)
    endless.generation_config.exponential_decay_length_penalty = None
    endless.generation_config.suppress_tokens = [2]
    endless.save_pretrained(tmp_path)
    assert load_translator(str(tmp_path)).translate(TEXTS[:2], "en", "fr") == ["", ""]


def test_rows_go_through_a_model(nllb):
    entities = [{"start": 13, "end": 19, "text": "London", "type": "LOC"}]
    rows = [{"id": "r", "text": TEXTS[0], "language": "en", "entities": entities}]
    once = translate_rows(rows, load_translator(str(nllb)), ["fr", "de"])
    assert [row["id"] for row in once[0].rows] == ["r-fr", "r-de"]
    assert once == translate_rows(rows, load_translator(str(nllb)), ["fr", "de"])


def test_what_is_no_model(tmp_path, marian, monkeypatch):
    with pytest.raises(InputError, match="expected the hub id or the folder of a translation model"):
        load_translator(str(tmp_path))
    with pytest.raises(InputError, match="expected at least one beam and one text at once, found 0 and 32"):
        load_translator(str(marian / "en-fr"), beams=0)
    import transformers

    def missing(*_, **__):
        raise ImportError("MarianTokenizer requires the SentencePiece library")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", missing)
    with pytest.raises(InputError, match=r"expected the packages of the extra babelens\[build\], found: MarianTok"):
        load_translator("Helsinki-NLP/opus-mt-en-fr")
