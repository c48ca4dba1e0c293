from babelens.models.batch import CorpusRows
from babelens.models.decode import decode_corpus, decode_rows, ordered_batches


def test_batches_go_from_long_to_short_and_hold_every_row_once():
    assert ordered_batches([3, 9, 1, 9, 5], 2) == [[1, 3], [4, 0], [2]]


def test_answers_come_in_the_order_of_the_corpus(tiny_tagger, tmp_path):
    from babelens.data import read_corpus

    sentences = [
        "Anna visited Paris",
        "Köln",
        "Le maire de Lyon a reçu les joueurs du Real Madrid .",
        "Siemens in 2019",
    ]
    blocks = ["\n".join(f"{word}\tO" for word in sentence.split()) for sentence in sentences]
    (tmp_path / "test.txt").write_text("\n\n".join(blocks) + "\n", encoding="utf-8")
    corpus = read_corpus(tmp_path / "test.txt")
    rows = CorpusRows(corpus)
    one_by_one = [tiny_tagger.decode(tiny_tagger.collator()([rows[n]], labelled=False))[0] for n in range(len(rows))]
    done = []
    entities, status = decode_corpus(tiny_tagger, corpus, batch=2, step=done.append)
    assert entities == one_by_one
    assert any(entities)
    assert status == ["none"] * 4
    assert done == [2, 2]
    assert decode_rows(tiny_tagger, rows, corpus.lengths, batch=3)[0] == one_by_one
