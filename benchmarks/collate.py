"""Making batches: tokenising, opening pictures and cutting them to size, alone and while a model is trained.

The pictures are those of 2M-NER, 224 pixels for CLIP and as many for ResNet; the tokenizer is one of word pieces, as
multilingual BERT's is, learnt from other sentences. What is trained is a compact model, with all cores and with one
less, so that it is seen when a thread or a process beside it pays.

The peer does as the published code does, in the process that trains: one row after the other, each with its own call
of the tokenizer and of each image processor, which normalise to floats; its pictures are therefore four times as large.
It works on the same processors and tokenizer as we do.
"""

import argparse
import functools
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import torch
from material import sentences
from measure import apart, print_line, side_by_side
from PIL import Image
from step import made_corpus

from babelens.data import Corpus, read_corpus
from babelens.models.batch import Collator, CorpusRows
from babelens.models.checkpoint import new_tagger
from babelens.models.draw import Epoch
from babelens.models.loading import AHEAD, BatchLoader, Source, Work
from babelens.models.naming import named
from babelens.models.spec import Model
from babelens.models.tagger import Tagger
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.late import Late, View
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.resnet import Resnet
from babelens.schema import TagSet
from babelens.training.sampler import epoch_batches

PACKAGES = ("babelens", "torch", "transformers", "tokenizers", "pillow")
MEMORY = 1 << 30
PICTURE = 224
THIN = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=128, help="sentences, each with a picture [%(default)s]")
    parser.add_argument("--batch", type=int, default=16, help="rows of a batch [%(default)s]")
    parser.add_argument("--workers", type=int, nargs="*", default=[1], help="numbers of data workers [1]")
    parser.add_argument("--runs", type=int, default=3, help="passes over all rows that are timed [%(default)s]")
    parser.add_argument("--encoders", choices=("compact", "random"), default="compact", help="of the trained model")
    parser.add_argument("--steps", type=int, default=8, help="steps of a pass of training [%(default)s]")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    with made_corpus(options.rows) as path:
        for case, measure, threads in [
            ("alone", make_batches, cores),
            ("while a model trains", train, cores),
            ("while a model trains", train, cores - 1),
        ]:
            if not threads:
                continue
            facts, seconds = apart(measure, options, read_corpus(path), threads)
            peer = statistics.median(next(iter(seconds.values())))
            for subject, times in seconds.items():
                rate = round(facts["rows"] / statistics.median(times), 1)
                print_line("collate", case, subject, times, peer, PACKAGES, **facts, rows_per_s=rate)


Measured = tuple[dict[str, int], dict[str, list[float]]]


def make_batches(options: argparse.Namespace, corpus: Corpus, threads: int) -> Measured:
    """Make all batches of the corpus, and do nothing else."""
    torch.set_num_threads(threads)
    tagger = made_up(corpus)
    works = numbered(corpus, options.batch)
    direct = Source(CorpusRows(corpus), tagger.collator(), labelled=True)
    published = Published(tagger, corpus)

    def one_by_one() -> None:
        for work in works:
            direct.batch(work)

    with ExitStack() as stack:
        subjects: dict[str, Callable[[], object]] = {
            "peer": lambda: [published(work) for work in works],
            "one by one": one_by_one,
        }
        for name, loader in loaders(options, corpus, tagger.collator, stack):
            subjects[name] = functools.partial(exhaust, loader, works)
        for name, loader in loaders(options, corpus, lambda: tagger.collator(MEMORY), stack):
            subjects[f"{name}, pictures kept"] = functools.partial(exhaust, loader, works)
        seconds = side_by_side(subjects, options.runs, warm=1)
    return {"rows": len(corpus), "batch": options.batch, "threads": threads}, seconds


def train(options: argparse.Namespace, corpus: Corpus, threads: int) -> Measured:
    """Train a model for some steps, on batches that are made meanwhile, or between steps."""
    torch.set_num_threads(threads)
    corpus = corpus.select(range(min(len(corpus), options.steps * options.batch)))
    tagger = new_tagger(named("2m-ner", options.encoders), TagSet(corpus.types), sentences).train()
    optimizer = torch.optim.AdamW(tagger.parameters(), lr=1e-5, fused=True)
    works = numbered(corpus, options.batch)
    direct = Source(CorpusRows(corpus), tagger.collator(), labelled=True)

    def one_pass(batches: Callable[[], Iterator]) -> None:
        for batch in batches():
            optimizer.zero_grad(set_to_none=True)
            tagger.loss(batch).total.backward()
            optimizer.step()

    with ExitStack() as stack:
        makers: dict[str, Callable[[], Iterator]] = {"batches between steps": lambda: map(direct.batch, works)}
        for name, loader in loaders(options, corpus, tagger.collator, stack):
            makers[name] = functools.partial(loader.batches, works)
        subjects = {name: functools.partial(one_pass, maker) for name, maker in makers.items()}
        seconds = side_by_side(subjects, options.runs, warm=1)
    return {"rows": len(corpus), "batch": options.batch, "threads": threads}, seconds


def numbered(corpus: Corpus, batch: int) -> list[Work]:
    """The batches of an epoch."""
    return [Work(rows, Epoch(0, 0)) for rows in epoch_batches(corpus.lengths, batch, seed=0, epoch=0)]


def loaders(
    options: argparse.Namespace, corpus: Corpus, collator: Callable[[], Collator], stack: ExitStack
) -> Iterator[tuple[str, BatchLoader]]:
    """A loader with a thread, though it be one too many, and one with each number of workers."""
    for count in (0, *options.workers):
        name = f"{count} worker{'s' * (count > 1)}" if count else "a thread ahead"
        loader = BatchLoader(Source(CorpusRows(corpus), collator(), labelled=True), workers=count)
        loader.ahead = AHEAD
        yield name, stack.enter_context(loader)


def exhaust(loader: BatchLoader, works: list[Work]) -> None:
    for _ in loader.batches(works):
        pass


def made_up(corpus: Corpus) -> Tagger:
    """A thin model whose tokenizer and whose pictures are as large as those of 2M-NER."""
    text = Transformer(scratch={"model_type": "bert", **THIN, "max_position_embeddings": 512}, vocabulary=20_000)
    clip = Clip(scratch={**THIN, "image_size": PICTURE, "patch_size": 32})
    resnet = Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "size": PICTURE})
    views = tuple(View(regions, CrossAttention(heads=2)) for regions in (clip, resnet))
    return new_tagger(Model(Late(text, views)), TagSet(corpus.types), sentences)


class Published:
    """Makes a batch row by row, as the published code does."""

    def __init__(self, tagger: Tagger, corpus: Corpus) -> None:
        collator = tagger.collator()
        self.corpus = corpus
        self.tokenizer = tagger.backbone.text.tokens.tokenizer
        self.processors = [transform.processor for transform in collator.transforms]
        self.tags = collator.tags

    def __call__(self, work: Work) -> dict[str, torch.Tensor]:
        rows, pictures, tags = [], [], []
        for number in work.rows:
            example = self.corpus[number]
            encoded = self.tokenizer(list(example.words), is_split_into_words=True)
            own = self.tags.encode(example.entities, len(example.words))
            tags.append([0 if word is None else own[word] for word in encoded.word_ids()])
            rows.append(encoded)
            path = self.corpus.picture_source(self.corpus.picture_keys(number)[0])
            with Image.open(path) as opened:
                image = opened.convert("RGB")
            pictures.append([one(image, return_tensors="pt")["pixel_values"][0] for one in self.processors])
        batch = self.tokenizer.pad(rows, return_tensors="pt")
        width = batch["input_ids"].shape[1]
        return {
            **batch,
            "tags": torch.tensor([row + [0] * (width - len(row)) for row in tags]),
            **{f"pictures {view}": torch.stack(own) for view, own in enumerate(zip(*pictures, strict=True))},
        }


if __name__ == "__main__":
    main()
