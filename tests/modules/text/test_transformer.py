import msgspec
import pytest
import torch
from transformers import AutoModel, AutoTokenizer

from babelens.modules.origin import Origin
from babelens.modules.text.casing import Casing
from babelens.modules.text.transformer import Transformer
from babelens.schema import InputError

FAMILIES = ["bert", "distilbert", "roberta", "xlm_roberta"]
SCRATCH = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 24,
}


def joined(sentences):
    return [word for words in sentences for word in words]


def build(folder, **fields):
    return Transformer(name=str(folder), **fields).build(Origin()).eval()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("pieces", ["first", "mean", "last", "previous"])
def test_word_states_are_those_of_the_encoder_run_by_hand(family, pieces, request, sentences):
    folder = request.getfixturevalue(family)
    encoder = build(folder, pieces=pieces)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    with torch.no_grad():
        encoded = encoder(encoder.tokens(sentences))
        for row, words in enumerate(sentences):
            framed = tokenizer([" " + " ".join(words)], return_tensors="pt", return_offsets_mapping=True)
            ends = torch.tensor([len(" ".join(words[: n + 1])) + 1 for n in range(len(words))])
            output = model(input_ids=framed["input_ids"], attention_mask=framed["attention_mask"])
            states = output.last_hidden_state[0, 1:-1]
            owner = torch.searchsorted(ends, framed["offset_mapping"][0, 1:-1, 1].contiguous())
            for place in range(len(words)):
                own = states[owner == place]
                before = states[owner == place - 1][-1] if place else output.last_hidden_state[0, 0]
                expected = {"first": own[0], "last": own[-1], "mean": own.mean(0), "previous": before}[pieces]
                torch.testing.assert_close(encoded.words[row, place], expected, atol=1e-5, rtol=0)
            assert encoded.mask[row].sum() == len(words)
            assert (encoded.words[row, len(words) :] == 0).all()
            pooled = output.last_hidden_state[0, 0] if family == "distilbert" else output.pooler_output[0]
            if family != "xlm_roberta":
                torch.testing.assert_close(encoded.pooled[row], pooled, atol=1e-5, rtol=0)


def test_the_place_before_a_word_is_one_of_its_own_window(bert, sentences):
    encoder = build(bert, pieces="previous")
    words = joined(sentences * 4)
    long = ("mosueratibnd" * 8)[:96]
    assert len(encoder.tokens.pieces(long)) > encoder.tokens.limit
    rows = [words, [*words[:3], long, long, *words[3:5]], []]
    text = encoder.tokens(rows)
    with torch.no_grad():
        encoded = encoder(text)
        states = encoder.encoder(input_ids=text.ids, attention_mask=text.attention.long()).last_hidden_state
    opening = 0
    for row, own in enumerate(rows):
        for place in range(len(own)):
            window, piece = divmod(int(text.first[row, place]), text.ids.shape[1])
            torch.testing.assert_close(encoded.words[row, place], states[window, piece - 1], atol=1e-5, rtol=0)
            owner = int(text.owner[window, piece - 1])
            # The last sub-token of the word before, or [CLS].
            assert owner == row * text.mask.shape[1] + place - 1 if piece > 1 else owner == -1
            opening += piece == 1 and place > 0
    assert opening > 0
    assert (encoded.words[2] == 0).all()


ADDED = ("\ufffd", "\x80", "\u200b")


@pytest.mark.parametrize("scratch", [True, False])
def test_added_tokens_have_rows_of_their_own_and_survive_the_folder(bert, sentences, tmp_path, scratch):
    fields = {"scratch": SCRATCH, "vocabulary": 120} if scratch else {"name": str(bert)}
    plain = Transformer(**fields).build(Origin(words=lambda: sentences))
    made = Transformer(**fields, added=ADDED).build(Origin(words=lambda: sentences)).eval()
    assert made.encoder.config.vocab_size == plain.encoder.config.vocab_size + len(ADDED)
    rows = made.encoder.get_input_embeddings().weight
    assert rows.shape[0] == made.encoder.config.vocab_size and rows[-3:].std() > 0.001
    if not scratch:
        assert torch.equal(rows[:-3], plain.encoder.get_input_embeddings().weight)
    odd = ["Obama", "\u200b", "\ufffd", "\x80", "née\u200b."]
    text, before = made.tokens([odd]), plain.tokens([odd])
    assert (before.unknown, text.unknown) == (3, 0)
    numbers = [made.tokens.tokenizer.convert_tokens_to_ids(token) for token in ADDED]
    assert text.ids[0, text.first[0, 1:4]].tolist() == [numbers[2], numbers[0], numbers[1]]
    assert numbers[2] in text.ids[0, text.first[0, 4] :].tolist()
    made.save(tmp_path)
    again = Transformer(**fields, added=ADDED).build(Origin(folder=tmp_path)).eval()
    again.load_state_dict(made.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(again(again.tokens([odd])).words, made(text).words)


def test_encoder_without_pooler_pools_its_first_state(distilbert, sentences):
    encoder = build(distilbert)
    text = encoder.tokens(sentences)
    with torch.no_grad():
        states = encoder.encoder(input_ids=text.ids, attention_mask=text.attention.long()).last_hidden_state
        torch.testing.assert_close(encoder(text).pooled, states[:, 0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("casing", [False, True])
def test_batch_of_one_is_batch_of_many(family, casing, request, sentences):
    encoder = build(request.getfixturevalue(family), pieces="mean", casing=casing)
    if casing:
        torch.nn.init.normal_(encoder.casing.weight)
    rows = [*sentences, joined(sentences * 4), []]
    with torch.no_grad():
        many = encoder(encoder.tokens(rows))
        for number, words in enumerate(rows):
            one = encoder(encoder.tokens([words]))
            torch.testing.assert_close(many.words[number, : len(words)], one.words[0, : len(words)], atol=1e-5, rtol=0)
            torch.testing.assert_close(many.pooled[number], one.pooled[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("family", "limit"), [("bert", 48), ("distilbert", 48), ("roberta", 48), ("xlm_roberta", 48)])
def test_reads_as_many_subtokens_as_its_positions_hold(family, limit, request, sentences):
    """RoBERTa's 50 rows hold 48 positions. The oracle: the encoder itself reads so many and fails at one more."""
    encoder = build(request.getfixturevalue(family))
    assert encoder.tokens.limit == limit
    encoder.encoder(input_ids=torch.full((1, limit), 7))
    with pytest.raises((IndexError, RuntimeError)):
        encoder.encoder(input_ids=torch.full((1, limit + 1), 7))
    with torch.no_grad():
        assert encoder(encoder.tokens([joined(sentences * 4)])).words.isfinite().all()


def test_a_text_that_fits_is_the_same_without_windows(bert, sentences):
    encoder = build(bert)
    words = sentences[0][:3]
    text = encoder.tokens([words])
    encoder.tokens._body = 10_000
    free = encoder.tokens([words])
    assert torch.equal(text.ids, free.ids) and len(text.ids) == 1


def test_words_of_a_long_text_by_hand(bert, sentences):
    """Each word's state is that of the window, framed and run alone, where it stands farthest from a cut."""
    encoder = build(bert, pieces="mean")
    model, tokens = AutoModel.from_pretrained(bert).eval(), encoder.tokens
    tokenizer = AutoTokenizer.from_pretrained(bert)
    words = joined(sentences * 4)
    sizes = [len(tokens.pieces(word)) for word in words]
    text = tokens([words])
    windows = []
    for owner in text.owner:
        inside = owner[owner >= 0]
        windows.append((int(inside.min()), int(inside.max()) + 1))
    assert len(windows) > 3
    with torch.no_grad():
        encoded = encoder(text)
        states = []
        for start, end in windows:
            body = [number for word in words[start:end] for number in tokens.pieces(word)]
            ids = torch.tensor([[tokenizer.cls_token_id, *body, tokenizer.sep_token_id]])
            states.append(model(input_ids=ids))
        for place in range(len(words)):
            rooms = []
            for start, end in windows:
                before = sum(sizes[start:place]) if start else 10**6
                after = sum(sizes[place + 1 : end]) if end < len(words) else 10**6
                rooms.append(min(before, after) if start <= place < end else -1)
            best = rooms.index(max(rooms))
            begin = 1 + sum(sizes[windows[best][0] : place])
            expected = states[best].last_hidden_state[0, begin : begin + sizes[place]].mean(0)
            torch.testing.assert_close(encoded.words[0, place], expected, atol=1e-5, rtol=0)
        torch.testing.assert_close(encoded.pooled[0], states[0].pooler_output[0], atol=1e-5, rtol=0)


def test_long_texts_go_through_in_parts(bert, sentences, monkeypatch):
    encoder = build(bert)
    text = encoder.tokens([joined(sentences * 5), *sentences])
    with torch.no_grad():
        whole = encoder(text)
        monkeypatch.setattr("babelens.modules.text.transformer._TOKENS_AT_ONCE", 50)
        parts = encoder(text)
    torch.testing.assert_close(whole.words, parts.words, atol=1e-5, rtol=0)
    torch.testing.assert_close(whole.pooled, parts.pooled, atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
def test_casing_starts_at_nothing_and_reaches_its_own_class(family, request, sentences):
    folder = request.getfixturevalue(family)
    plain, cased = build(folder), build(folder, casing=True)
    if family == "xlm_roberta":
        plain.encoder.load_state_dict(cased.encoder.state_dict())
    text = cased.tokens(sentences)
    torch.testing.assert_close(plain(text).words, cased(text).words, atol=1e-6, rtol=0)
    cased(text).words.square().sum().backward()
    grad = cased.casing.weight.grad.abs().sum(1)
    present = {int(number) for number in text.casing[text.mask]}
    assert {Casing.INITIAL, Casing.LOWER, Casing.SIGN} <= present
    assert {int(n) for n in grad.nonzero().flatten()} == present


def test_first_layers_only(bert, sentences):
    encoder = build(bert, layers=1)
    model = AutoModel.from_pretrained(bert).eval()
    text = encoder.tokens(sentences[:1])
    with torch.no_grad():
        states = model(input_ids=text.ids, output_hidden_states=True).hidden_states[1]
        torch.testing.assert_close(encoder(text).words, states[0, text.first[0]][None], atol=1e-5, rtol=0)
    with pytest.raises(InputError, match="layers: expected 1 to 2, found 3"):
        build(bert, layers=3)


def test_dropout_replaces_the_rates_of_the_encoder(bert, distilbert, sentences):
    for folder in (bert, distilbert):
        encoder = build(folder, dropout=0.0).train()
        text = encoder.tokens(sentences)
        assert torch.equal(encoder(text).words, encoder(text).words)
        encoder = build(folder, dropout=0.5).train()
        assert {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)} == {0.5}
        assert not torch.equal(encoder(text).words, encoder(text).words)


def test_untrained_encoder_has_no_gradient_and_no_dropout(bert, sentences):
    encoder = build(bert, trained=False, casing=True).train()
    text = encoder.tokens(sentences)
    assert torch.equal(encoder(text).words, encoder(text).words)
    assert [name for name, weight in encoder.named_parameters() if weight.requires_grad] == ["casing.weight"]
    encoder(text).words.square().sum().backward()
    assert encoder.casing.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2", "electra"])
def test_from_scratch_and_back_from_its_folder(family, tmp_path, sentences):
    scratch = {"model_type": family, **SCRATCH}
    if family == "distilbert":
        del scratch["intermediate_size"]
    declaration = Transformer(name="never/read", scratch=scratch, vocabulary=120, casing=True, dropout=0.2)
    made = declaration.build(Origin(words=lambda: sentences)).eval()
    assert made.dim == 16 and made.encoder.config.num_hidden_layers == 2
    made.save(tmp_path)
    assert not list(tmp_path.glob("*.safetensors")) and not list(tmp_path.glob("*.bin"))
    plain = msgspec.to_builtins(declaration)
    again = msgspec.convert(plain, Transformer).build(Origin(folder=tmp_path)).eval()
    again.load_state_dict(made.state_dict())
    odd = [*sentences, ["\u200b", "ZÜRICH", "neu"]]
    with torch.no_grad():
        torch.testing.assert_close(again(again.tokens(odd)).words, made(made.tokens(odd)).words)


def test_attention_is_the_fused_one(bert):
    assert build(bert).encoder.config._attn_implementation == "sdpa"


def test_published_size_when_nothing_is_said(sentences):
    """Multilingual BERT, cased: 119,547 rows and 177,853,440 weights in all."""
    with torch.device("meta"):
        encoder = Transformer(scratch={}).build(Origin(words=lambda: sentences))
    assert sum(weight.numel() for weight in encoder.parameters()) == 177_853_440
    assert encoder.dim == 768 and encoder.tokens.limit == 512


def test_mistakes_are_named(tmp_path, bert, sentences):
    with pytest.raises(InputError, match=r"expected the hub id or the folder of a Hugging Face encoder"):
        build(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"bert configuration \(.*hidden_size.*\), found 'hiden_size'"):
        Transformer(scratch={"hiden_size": 8}).build(Origin(words=lambda: sentences))
    with pytest.raises(InputError, match="found 'brt'"):
        Transformer(scratch={"model_type": "brt"}).build(Origin(words=lambda: sentences))
    with pytest.raises(InputError, match="training words; found none"):
        Transformer(scratch=SCRATCH).build(Origin())
    with pytest.raises(InputError, match="at most 20 sub-tokens"):
        Transformer(scratch={**SCRATCH, "vocab_size": 20}).build(Origin(words=lambda: sentences))
    for path in bert.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(InputError, match="expected weights beside its configuration"):
        build(tmp_path)
    with pytest.raises(msgspec.ValidationError, match="unknown field `piece`"):
        msgspec.convert({"type": "transformer", "piece": "first"}, Transformer)


@pytest.mark.parametrize(
    ("scratch", "message"),
    [
        ({"hidden_size": 10, "num_attention_heads": 3}, "not a multiple"),
        ({"hidden_size": "ten"}, "expected int, got str"),
        ({"hidden_size": -4}, "expected the configuration of a bert encoder"),
        ({"hidden_act": "gelo"}, "gelo"),
        ({"model_type": "t5"}, "expected an encoder of text, found a t5 model"),
        ({"model_type": "vit"}, "expected an encoder of text, found a vit model"),
        ({"model_type": "clip"}, "expected an encoder of text, found a clip model"),
    ],
)
def test_configurations_that_make_no_encoder(scratch, message, sentences):
    with pytest.raises(InputError, match=message):
        Transformer(scratch=scratch).build(Origin(words=lambda: sentences))


def test_real_encoder(minilm):
    """Published weights through the ordinary path; the oracle is AutoModel on the tokenizer's own alignment."""
    encoder = build(minilm, pieces="mean")
    tokenizer, model = AutoTokenizer.from_pretrained(minilm), AutoModel.from_pretrained(minilm).eval()
    rows = [["Angela", "Merkel", "visited", "Ouagadougou", "\u200b", "yesterday", "."], ["Hola", "!"]]
    with torch.no_grad():
        encoded = encoder(encoder.tokens(rows))
        assert encoded.words.shape == (2, 7, 384)
        for row, words in enumerate(rows):
            framed = tokenizer([w if w != "\u200b" else "[UNK]" for w in words], is_split_into_words=True)
            output = model(input_ids=torch.tensor([framed["input_ids"]]))
            for place in range(len(words)):
                own = [n for n, word in enumerate(framed.word_ids()) if word == place]
                torch.testing.assert_close(
                    encoded.words[row, place], output.last_hidden_state[0, own].mean(0), atol=1e-5, rtol=0
                )
            torch.testing.assert_close(encoded.pooled[row], output.pooler_output[0], atol=1e-5, rtol=0)
