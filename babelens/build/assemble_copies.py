"""Rows of a data set to be that repeat another one, and which of them remains."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from babelens.data.corpus import Corpus
from babelens.data.near import THRESHOLD, near_duplicates, plain
from babelens.data.split import normalise

SAME, NEAR = "same text", "near text"


@dataclass(frozen=True)
class Copy:
    """A row that is left out: the row that remains in its place, why, and whether the two are labelled differently.

    `disagrees` is None where the words are not the same, so that labels cannot be compared.
    """

    of: int
    why: str
    disagrees: bool | None


def preference(input_of: np.ndarray, pictured: np.ndarray) -> np.ndarray:
    """Rows (rows) in the order in which they are kept: by input, those with a picture first, then as they stand."""
    return np.lexsort((np.arange(len(input_of)), ~pictured, input_of))


def find_copies(corpus: Corpus, order: Sequence[int] | np.ndarray, near: float | None = THRESHOLD) -> dict[int, Copy]:
    """The rows that repeat another row of their language that is kept, by row.

    Rows are taken in the given order, and one is left out if a row that is kept already has the same text (but for
    letter case, blanks and how characters are composed), or nearly the same (a similarity of at least `near`; None asks
    for the same text alone; see `near.near_duplicates`). So a row that is left out is like the one that remains, and
    not only like another that is. Rows not in `order` have no part in it.
    """
    languages: dict[str | None, list[int]] = defaultdict(list)
    examples = {row: corpus[row] for row in map(int, order)}
    for row, example in examples.items():
        languages[example.language].append(row)
    found: dict[int, Copy] = {}
    for rows in languages.values():
        texts = {row: normalise(examples[row].words) for row in rows}
        forms = {row: plain(" ".join(examples[row].words)) if near is not None else texts[row] for row in rows}
        like = _neighbours(sorted(set(forms.values())), near)
        by_form: dict[str, int] = {}
        by_text: dict[str, int] = {}
        for row in rows:
            of = by_text.get(texts[row])
            if of is None:
                of = next((by_form[form] for form in (forms[row], *like.get(forms[row], ())) if form in by_form), None)
            if of is None:
                by_form[forms[row]] = by_text[texts[row]] = row
                continue
            one, other = examples[of], examples[row]
            disagrees = set(one.entities) != set(other.entities) if one.words == other.words else None
            found[row] = Copy(of, SAME if texts[of] == texts[row] else NEAR, disagrees)
    return found


def _neighbours(forms: list[str], near: float | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    if near is not None:
        for one, other in near_duplicates(forms, near).tolist():
            found[forms[one]].append(forms[other])
            found[forms[other]].append(forms[one])
    return found
