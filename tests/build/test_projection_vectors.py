import numpy as np
import pytest
import torch

from babelens.build.projection_vectors import encoder_vectors, link_words, linked_runs
from babelens.schema import InputError


def test_links_are_mutual_nearest_neighbours():
    draw = np.random.default_rng(5)
    source, target = draw.normal(size=(6, 4)), draw.normal(size=(8, 4))
    links = link_words(source, target)
    for i, one in enumerate(source):
        for j, other in enumerate(target):
            cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
            nearest = all(one @ t / np.linalg.norm(t) <= one @ other / np.linalg.norm(other) + 1e-12 for t in target)
            back = all(s @ other / np.linalg.norm(s) <= one @ other / np.linalg.norm(one) + 1e-12 for s in source)
            assert links[i, j] == pytest.approx(cosine if nearest and back and cosine > 0 else 0)


def test_links_of_equal_and_of_no_words():
    assert np.allclose(link_words(np.eye(3) * 5, np.eye(3)), np.eye(3))
    assert link_words(np.zeros((0, 3)), np.eye(3)).shape == (0, 3)
    assert link_words(np.eye(3), np.zeros((0, 3))).shape == (3, 0)
    assert not link_words(np.zeros((2, 3)), np.eye(3)).any()


def test_runs_of_linked_words():
    links = np.zeros((3, 5))
    links[0, 1] = links[1, 2] = 0.9
    links[2, 4] = 0.8
    runs = linked_runs(links, 0, 2, least=0.0)
    assert (runs[0].start, runs[0].end, runs[0].similarity) == (1, 3, pytest.approx(0.9))
    assert {(run.start, run.end): round(run.similarity, 3) for run in runs[1:]} == {(1, 2): 0.6, (2, 3): 0.6}
    # A word in between that is linked with nothing: 2 links, 2 words and 4 words.
    wide = np.zeros((2, 4))
    wide[0, 0] = wide[1, 3] = 1.0
    assert linked_runs(wide, 0, 2)[0].similarity == pytest.approx(4 / 6)
    assert linked_runs(links, 0, 0) == []


def test_vectors_of_an_encoder(tmp_path):
    from transformers import BertConfig, BertModel

    from babelens.modules.text.wordpieces import train_wordpieces

    sentences = [["Anna", "visits", "Zürich", "."], ["Marie", "est", "née"]]
    tokenizer = train_wordpieces(sentences * 3, 90)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=48, **sizes)).eval()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    vectors = encoder_vectors(str(tmp_path), layers=2, batch=1)
    found = vectors(sentences)
    assert [row.shape for row in found] == [(4, 16), (3, 16)]
    # The mean of a word's sub-tokens after the second layer, from the whole model.
    encoded = tokenizer(sentences[0], is_split_into_words=True, return_tensors="pt")
    with torch.no_grad():
        layer = model(**encoded, output_hidden_states=True).hidden_states[2][0]
    for word in range(4):
        places = [place for place, owner in enumerate(encoded.word_ids()) if owner == word]
        assert np.allclose(found[0][word], layer[places].mean(0).numpy(), atol=1e-5)
    # A sentence is linked with itself, word by word.
    assert np.allclose(link_words(found[0], found[0]).diagonal(), 1, atol=1e-5)
    with pytest.raises(InputError, match="layers: expected 1 to 3, found 8"):
        encoder_vectors(str(tmp_path))
