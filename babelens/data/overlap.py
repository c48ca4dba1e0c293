"""What training and test rows share, and which rows are not independent of one another."""

from collections.abc import Sequence

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.near import near_duplicates, plain
from babelens.data.picture_marks import Marks, find_mentions, same_content, same_name
from babelens.data.split import KINDS as SAME
from babelens.data.split import hashed_keys, tie_rows

PICTURE, NAME, GROUP, TEXT, SIMILAR, NEAR = "picture", "picture name", "group", "text", "similar text", "near text"
KINDS = (PICTURE, NAME, GROUP, TEXT, SIMILAR, NEAR)


def find_marks(corpus: Corpus, near: bool = True) -> dict[str, Marks]:
    """What rows share with one another, by kind.

    - "picture": the same file, or files of the same bytes.
    - "picture name": the same name of pictures that are not there (see `picture_marks`).
    - "group": rows that are copies or translations of one another by their own account.
    - "text": the same words.
    - "similar text": the same but for letter case, blanks (so also how words are split), and how characters are
      composed. Of the 723 test texts of Twitter-2017, 351 are so found in the training part of MMNERD (English), and
      342 as the same words.
    - "near text": nearly the same but for links and user names (see `near.near_duplicates`); only with `near`.

    The same text is also a similar one, and a similar one a near one. Rows without words share no text.
    """
    marks, rows, kinds = hashed_keys(corpus, SAME)
    found = {kind: Marks(rows[kinds == number], marks[kinds == number]) for number, kind in enumerate(SAME)}
    mentions = find_mentions(corpus)
    content = same_content(corpus, mentions)
    # Keys are digests of 64 bits and contents small numbers.
    by_key = found[PICTURE]
    found[PICTURE] = Marks(
        np.concatenate([by_key.rows, content.rows]), np.concatenate([by_key.marks, content.marks.astype(np.uint64)])
    )
    found[NAME] = same_name(mentions)
    if near:
        found[NEAR] = _near(corpus)
    return {kind: found[kind] for kind in KINDS if kind in found}


def _near(corpus: Corpus) -> Marks:
    texts: dict[str, list[int]] = {}
    for row, example in enumerate(corpus):
        if form := plain(" ".join(example.words)):
            texts.setdefault(form, []).append(row)
    same = list(texts.values())
    groups = [*same, *(same[one] + same[other] for one, other in near_duplicates(list(texts)).tolist())]
    pairs = [(row, number) for number, group in enumerate(groups) if len(group) > 1 for row in group]
    rows, marks = np.array(pairs, np.int64).reshape(-1, 2).T
    return Marks(rows, marks)


def tied_units(corpora: Corpus | Sequence[Corpus], near: bool = True) -> np.ndarray:
    """The unit of each row (rows) of a corpus, or of several, one after the other; the unit of a bootstrap.

    Rows are tied by a picture, its name, a group, or a text that is nearly the same, directly or through others (see
    `find_marks`). Units are numbered from 0 in the order of their first row.
    """
    corpus = corpora if isinstance(corpora, Corpus) else Corpus.concatenate(corpora)
    return tie_rows(find_marks(corpus, near).values(), len(corpus))


def overlap(training: Corpus, test: Corpus, near: bool = True) -> list[tuple[str, ...]]:
    """What each row of a test part shares with any row of training: kinds of `find_marks`, in the order of `KINDS`.

    Pictures of the same size in bytes are read from disk, no other is; several corpora and languages to train on are
    joined by `Corpus.concatenate`.
    """
    shared: list[list[str]] = [[] for _ in range(len(test))]
    for kind, (rows, marks) in find_marks(Corpus.concatenate([training, test]), near).items():
        for row in rows_sharing(marks, rows, rows < len(training), rows >= len(training)).tolist():
            shared[row - len(training)].append(kind)
    return [tuple(kinds) for kinds in shared]


def rows_sharing(marks: np.ndarray, rows: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The rows among `other` (mark,) that have a mark which stands among `one` (mark,) too; each once, sorted."""
    return np.unique(rows[other][np.isin(marks[other], marks[one])])
