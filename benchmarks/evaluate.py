"""Tagging a corpus with 2M-NER at its full size with random weights, as evaluation does it, pictures included.

The peer is the published implementation, its cost rebuilt without its code: the declaration of its arithmetic
(`2m-ner-official`) in fp32, batches of 16 in the order of the corpus. All subjects tag the same rows.
"""

import argparse
import statistics
import time
from pathlib import Path

from measure import apart, count_flops, print_line, waiting
from step import (
    PACKAGES,
    Case,
    Measured,
    add_options,
    facts_of,
    made_corpus,
    make_collator,
    make_recipe,
    make_tagger,
    peak,
    prepare,
    speed,
)

from babelens.data import read_corpus
from babelens.models.batch import CorpusRows
from babelens.models.decode import decode_corpus
from babelens.training.processes import make_accelerator

PEER_BATCH = 16
CASES = {
    "peer": Case("2m-ner-official", frozen=("resnet",), peer=True),
    "uncached": Case(),
    "cached": Case(frozen=("clip", "resnet"), cached=True),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), metavar="CASE", help=", ".join(CASES))
    parser.add_argument("--rows", type=int, default=128, help="sentences of the corpus [%(default)s]")
    parser.add_argument("--batch", type=int, default=64, help="rows of a batch, the peer's aside [%(default)s]")
    parser.add_argument("--runs", type=int, default=3, help="passes over the corpus that are timed [%(default)s]")
    add_options(parser)
    options = parser.parse_args()
    with made_corpus(options.rows) as corpus:
        peer = None
        for name in options.cases:
            measured = apart(tag, CASES[name], options, corpus)
            median = statistics.median(measured.seconds)
            peer = median if CASES[name].peer else peer
            print_line("evaluate", "evaluation", name, measured.seconds, peer, PACKAGES, **measured.facts)


def tag(case: Case, options: argparse.Namespace, path: Path) -> Measured:
    """Tag the corpus once to warm up, in which operations are counted, and as often as is timed."""
    rates = prepare(case, options)
    corpus, recipe = read_corpus(path), make_recipe(case, options)
    tagger = make_tagger(recipe, corpus, case)
    accelerator = make_accelerator(tagger, recipe.training, options.device)
    tagger.to(accelerator.device).eval()
    collator = make_collator(tagger, corpus, case, accelerator, "evaluation")
    rows, wait = CorpusRows(corpus), waiting(options.device)
    batch = PEER_BATCH if case.peer else options.batch
    in_order = [list(range(start, min(start + batch, len(rows)))) for start in range(0, len(rows), batch)]

    def one_pass() -> float:
        start = time.perf_counter()
        if case.peer:
            for numbers in in_order:
                tensors = collator([rows[row] for row in numbers], labelled=False)
                tagger.decode(tensors.to(tagger.device))
        else:
            decode_corpus(tagger, corpus, batch=batch, collator=collator)
        wait()
        return time.perf_counter() - start

    flops = count_flops(one_pass)
    seconds = [one_pass() for _ in range(options.runs)]
    facts = {
        **facts_of(tagger, corpus, case, accelerator, options),
        "batch": batch,
        **speed(statistics.median(seconds), len(corpus), flops, rates),
        "peak_mib": round(peak(options.device)),
    }
    return Measured(seconds, facts)


if __name__ == "__main__":
    main()
