"""Labelled files as training data for spaCy: examples/spacy_corpus.py OUT.spacy FILE[:SHARE]..."""

import sys

import spacy
from spacy.tokens import Doc, DocBin, Span

from babelens.data.reading import read_share


def main(out: str, *files: str) -> None:
    """Write the rows of all files as documents of spaCy; a share of a file is drawn by seed 0."""
    vocabulary = spacy.blank("xx").vocab
    documents = DocBin()
    for file in files:
        for example in read_share(file):
            document = Doc(vocabulary, words=list(example.words))
            document.ents = [Span(document, entity.start, entity.end, entity.type) for entity in example.entities]
            documents.add(document)
    documents.to_disk(out)
    print(f"{len(documents):,} sentences in {out}")


if __name__ == "__main__":
    main(*sys.argv[1:])
