"""The preset `2m-ner-official` against the published arithmetic, written step by step in plain tensor code.

The reference calls the encoders and the tokenizer of transformers; of babelens it takes weights by name, nothing else.
"""

import copy
import math

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from babelens.data import Picture
from babelens.models.anatomy import sizes, unfilled
from babelens.models.batch import Row
from babelens.models.checkpoint import new_tagger
from babelens.models.zoo import ZOO
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.schema import Entity, Example, TagSet

TYPES = ("LOC", "MISC", "ORG", "PER")
SIZE = {"hidden_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
SENTENCES = [
    ("Marie Curie est née à Varsovie", [Entity(0, 2, "PER"), Entity(5, 6, "LOC")]),
    ("Le maire \u200b de Lyon \uf0d8 parle .", [Entity(4, 5, "LOC")]),
    ("Siemens", [Entity(0, 1, "ORG")]),
    ("Les joueurs du Real Madrid ont gagné la copa hier", [Entity(3, 5, "ORG"), Entity(8, 9, "MISC")]),
]
WORDS = [tuple(text.split(" ")) for text, _ in SENTENCES]
GOLD = [  # O, then B and I of each type in their order
    [7, 8, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 0, 0, 0],
    [5],
    [0, 0, 0, 5, 6, 0, 0, 0, 3, 0],
]
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def replace(declaration, **changes):
    return msgspec.structs.replace(declaration, **changes)


def without_dropout(fusion):
    return replace(fusion, dropout=0.0, attention_dropout=0.0)


@pytest.fixture(scope="module")
def tagger():
    """The preset on tiny encoders, without dropout."""
    declared = ZOO["2m-ner-official"]
    backbone = declared.backbone
    clip, resnet = backbone.views
    convolution = {"embedding_size": 8, "hidden_sizes": [8, 20], "depths": [1, 1], "size": 24}
    views = (
        replace(
            clip,
            regions=replace(clip.regions, scratch={**SIZE, "image_size": 16, "patch_size": 8}),
            fusion=without_dropout(clip.fusion),
        ),
        replace(resnet, regions=replace(resnet.regions, scratch=convolution), fusion=without_dropout(resnet.fusion)),
    )
    scratch = {"model_type": "bert", **SIZE, "max_position_embeddings": 60}
    text = replace(backbone.text, scratch=scratch, vocabulary=60, dropout=0.0)
    torch.manual_seed(5)
    model = replace(declared, backbone=replace(backbone, text=text, views=views), dropout=0.0)
    return new_tagger(model, TagSet(TYPES), lambda: WORDS)


@pytest.fixture(scope="module")
def batch(tagger):
    def opened(key):
        noise = np.random.default_rng(int(key)).integers(0, 256, (40, 50, 3), dtype=np.uint8)
        return Picture(key, Image.fromarray(noise), "used")

    rows = [
        Row(Example(str(n), words, tuple(entities)), (str(n),), opened)
        for n, (words, (_, entities)) in enumerate(zip(WORDS, SENTENCES, strict=True))
    ]
    return tagger.collator()(rows, labelled=True)


class Reference:
    """The published forward pass; `part(x)` is the linear layer of that name."""

    def __init__(self, tagger, training):
        self.weights = dict(tagger.named_parameters())
        self.tokenizer = tagger.backbone.text.tokens.tokenizer
        self.bert = tagger.backbone.text.encoder
        self.clip = tagger.backbone.views["clip"].regions.encoder
        # It follows training though nothing in it learns; a copy, so that its statistics drift by themselves.
        self.resnet = copy.deepcopy(tagger.backbone.views["resnet"].regions.encoder).train(training)

    def linear(self, name, vectors):
        return vectors @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def texts(self):
        """Words, each by the sub-token that its shifted index hits; which are there; the pooler's output."""
        encoded = self.tokenizer(WORDS, is_split_into_words=True, padding=True, return_tensors="pt")
        output = self.bert(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"])
        longest = max(map(len, WORDS))
        rows, mask = [], torch.zeros(len(WORDS), longest, dtype=torch.bool)
        for row, words in enumerate(WORDS):
            numbers = [number for number in encoded.word_ids(row) if number is not None]
            places = [numbers.index(word) for word in range(len(words))]
            padding = torch.zeros(longest - len(words), 24)
            rows.append(torch.cat([output.last_hidden_state[row, places], padding]))
            mask[row, : len(words)] = True
        return torch.stack(rows), mask, output.pooler_output

    def pictures(self, pixels):
        """The 5 tokens of the vision transformer, and the averaged feature map of the residual network."""
        mean, deviation = (torch.tensor(numbers).view(3, 1, 1) for numbers in (MEAN, DEVIATION))
        for_clip, for_resnet = ((view.float() / 255 - mean) / deviation for view in pixels)
        with torch.no_grad():
            cells = self.resnet(for_resnet).last_hidden_state
        return self.clip(for_clip).last_hidden_state, cells.mean((2, 3))

    def attend(self, name, words, regions, unseen):
        """Twelve heads, queries by the key matrix, no perceptron."""
        query, key = (self.linear(f"{name}.key", states) for states in (words, regions))
        value = self.linear(f"{name}.value", regions)
        part, heads = words.shape[-1] // 12, []
        for head in range(12):
            own = slice(head * part, (head + 1) * part)
            scores = query[..., own] @ key[..., own].transpose(1, 2) / math.sqrt(part) + unseen
            heads.append(scores.softmax(-1) @ value[..., own])
        total = words + self.linear(f"{name}.output", torch.cat(heads, -1))
        centred = total - total.mean(-1, keepdim=True)
        spread = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
        norm = f"{name}.attention_norm"
        return centred / spread * self.weights[f"{norm}.weight"] + self.weights[f"{norm}.bias"]

    def contrast(self, name, pooled, image):
        """NT-Xent, tau 0.5, texts projected by the layers that both losses share."""
        text = self.linear("backbone.shared_text.2", self.linear("backbone.shared_text.0", pooled).relu())
        image = self.linear(f"{name}.2", self.linear(f"{name}.0", image).relu())
        vectors = torch.cat([text, image])
        vectors = vectors / vectors.norm(dim=1, keepdim=True)
        count, terms = len(text), []
        for anchor in range(2 * count):
            others = [other for other in range(2 * count) if other != anchor]
            exponentials = {other: (vectors[anchor] @ vectors[other] / 0.5).exp() for other in others}
            terms.append(-(exponentials[(anchor + count) % (2 * count)] / sum(exponentials.values())).log())
        return torch.stack(terms).mean()

    def chain(self, emissions):
        """The negative log-likelihood of the gold, averaged over sentences."""
        transitions, start, end = (self.weights[f"head.{name}"] for name in ("transitions", "start", "end"))
        losses = []
        for scores, tags in zip(emissions, GOLD, strict=True):
            gold, every = start[tags[0]] + scores[0, tags[0]], start + scores[0]
            for place in range(1, len(tags)):
                gold = gold + transitions[tags[place - 1], tags[place]] + scores[place, tags[place]]
                every = torch.logsumexp(every[:, None] + transitions, 0) + scores[place]
            losses.append(torch.logsumexp(every + end, 0) - gold - end[tags[-1]])
        return torch.stack(losses).mean()

    def run(self, pixels):
        words, mask, pooled = self.texts()
        tokens, average = self.pictures(pixels)
        copies = self.linear("backbone.views.resnet.regions.projection", average)[:, None].repeat(1, words.shape[1], 1)
        padding = (~mask)[:, None, :] * -1e4
        read = [
            self.attend("backbone.views.clip.fusion", words, tokens, 0.0),
            self.attend("backbone.views.resnet.fusion", words, copies, padding),
        ]
        emissions = self.linear("head.scores", self.linear("backbone.joint", torch.cat(read, -1)))
        losses = {
            "tags": self.chain(emissions),
            "alignment/clip": self.contrast("backbone.views.clip.alignment.image", pooled, tokens.flatten(1)),
            "alignment/resnet": self.contrast("backbone.views.resnet.alignment.image", pooled, average),
        }
        total = 2 * (0.8 * losses["tags"] + 0.2 * (losses["alignment/clip"] + losses["alignment/resnet"]))
        return emissions, mask, losses, total


@pytest.mark.parametrize("training", [True, False])
def test_emissions_losses_and_gradients_are_those_of_the_published_code(tagger, batch, training):
    tagger.train(training)
    assert batch.tags.tolist() == [tags + [0] * (10 - len(tags)) for tags in GOLD]
    assert batch.text.unknown == 0  # the added tokens are known
    emissions, mask, losses, total = Reference(tagger, training).run(batch.pixels)
    own = tagger.loss(batch)
    assert mask.equal(batch.text.mask)
    torch.testing.assert_close(tagger.emissions(batch)[mask], emissions[mask], atol=1e-5, rtol=1e-5)
    assert own.parts.keys() == losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(own.parts[name], loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(own.total, total, atol=1e-5, rtol=1e-5)
    weights = {name: weight for name, weight in tagger.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(own.total, list(weights.values()))
    expected = torch.autograd.grad(total, list(weights.values()))
    for name, one, other in zip(weights, found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_what_learns_is_what_the_published_code_trains(tagger, batch):
    still = {name for name, weight in tagger.named_parameters() if not weight.requires_grad}
    assert still and all(name.startswith("backbone.views.resnet.regions.encoder.") for name in still)
    names = {name for name, _ in tagger.named_parameters()}
    assert not [name for name in names if (".query." in name and ".fusion." in name) or "perceptron" in name]
    # Over copies of one region there is nothing to choose: the keys' gradient is there, and zero.
    tagger.eval().zero_grad()
    tagger.loss(batch).total.backward()
    key = tagger.backbone.views["resnet"].fusion.key
    assert key.weight.grad is not None and key.weight.grad.abs().max() < 1e-6
    tagger.zero_grad()


def test_its_resnet_follows_training_and_drifts(tagger, batch):
    encoder = tagger.backbone.views["resnet"].regions.encoder
    before = {name: value.clone() for name, value in encoder.named_buffers() if "running" in name}
    tagger.eval().encode(batch)
    assert all(value.equal(before[name]) for name, value in encoder.named_buffers() if name in before)
    tagger.train().encode(batch)
    assert not any(value.equal(before[name]) for name, value in encoder.named_buffers() if name in before)


def test_dropout_stands_between_the_two_layers_of_the_merge(tagger, batch):
    seen = {}
    hooks = [
        module.register_forward_hook(lambda _, given, made, name=name: seen.update({name: (given[0], made)}))
        for name, module in (
            ("joint", tagger.backbone.joint),
            ("dropout", tagger.dropout),
            ("head", tagger.head.scores),
        )
    ]
    tagger.eval().emissions(batch)
    for hook in hooks:
        hook.remove()
    assert seen["dropout"][0] is seen["joint"][1] and seen["head"][0] is seen["dropout"][1]


def test_the_declaration_says_what_the_table_says():
    model = ZOO["2m-ner-official"]
    clip, resnet = model.backbone.views
    assert (model.alpha, model.factor, model.reduction, model.dropout) == (0.8, 2.0, "mean", 0.1)
    assert [ord(token) for token in model.backbone.text.added] == [
        int(number, 16) for number in ["FFFD", "0080", "00AD", "F02D", "F0D6", "200B", "F0D8", "F0A7"]
    ]
    assert clip.fusion == CrossAttention(heads=12, dropout=0.1, attention_dropout=0.1, query="key", perceptron=False)
    assert resnet.fusion == replace(clip.fusion, copies=True)
    assert (resnet.regions.fit, resnet.regions.augmented, clip.regions.fit) == ("random", False, "crop")
    assert [view.alignment.temperature for view in (clip, resnet)] == [0.5, 0.5]


def test_parameters_are_those_that_the_documents_count():
    official, paper = (sizes(unfilled(ZOO[name]))["all"] for name in ("2m-ner-official", "2m-ner"))
    assert (official.all, official.trained) == (363_193_516, 305_049_708)
    assert (paper.all, paper.trained) == (343_939_756, 343_939_756)
