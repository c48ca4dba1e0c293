"""A spaCy pipeline that knows a list of names for certain: examples/add_names.py PIPELINE NAMES.jsonl OUT."""

import sys

import spacy
import srsly


def main(pipeline: str, names: str, out: str) -> None:
    """Write a copy of the pipeline in which the names of the list go before what it has found itself."""
    nlp = spacy.load(pipeline)
    nlp.add_pipe("entity_ruler", config={"overwrite_ents": True}).add_patterns(srsly.read_jsonl(names))
    nlp.to_disk(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
