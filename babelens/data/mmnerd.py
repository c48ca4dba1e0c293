"""What is published of MMNERD, the data set of the 2M-NER paper: its figures, and where its rows come from."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from babelens.data.places import SPLITS
from babelens.schema import Example

Source = Literal["tweet", "caption"]

# Wang et al., "2M-NER: Contrastive Learning for Multilingual and Multimodal NER with Language and Modal Fusion", 2024,
# Table 2: by language and type the entities of Train, Dev and Test; "Sent Num" are sentences.
TABLE_2_SOURCE = "2M-NER (Wang et al., 2024), Table 2"
_TABLE_2: dict[str, dict[str, tuple[int, int, int]]] = {
    "en": {
        "PER": (3_340, 419, 431),
        "LOC": (4_605, 541, 504),
        "ORG": (7_342, 927, 968),
        "MISC": (23_621, 2_920, 3_013),
        "sentences": (19_966, 2_463, 2_533),
    },
    "fr": {
        "PER": (3_237, 396, 362),
        "LOC": (2_984, 376, 310),
        "ORG": (1_511, 204, 183),
        "MISC": (3_331, 438, 390),
        "sentences": (4_812, 609, 561),
    },
    "es": {
        "PER": (3_186, 393, 362),
        "LOC": (2_023, 254, 267),
        "ORG": (2_115, 277, 247),
        "MISC": (3_184, 396, 430),
        "sentences": (4_798, 591, 593),
    },
    "de": {
        "PER": (3_213, 395, 380),
        "LOC": (2_560, 350, 345),
        "ORG": (1_556, 181, 205),
        "MISC": (3_392, 530, 425),
        "sentences": (4_750, 628, 604),
    },
}
# What the table prints as sums, of each language (Train, Dev, Test) and of each row.
TABLE_2_TOTALS = {
    "en": (38_908, 4_807, 4_916),
    "fr": (11_063, 1_414, 1_245),
    "es": (10_508, 1_320, 1_306),
    "de": (10_721, 1_456, 1_355),
}
TABLE_2_ROWS = {"PER": 16_114, "LOC": 15_119, "ORG": 15_716, "MISC": 42_070, "entities": 89_019, "sentences": 42_908}

_TWEET = re.compile(r"(?:O|\d\d(?:_\d\d){1,2})_\d+")  # O_2845, 17_06_4705, 16_05_01_6: the ids of Twitter-2017
_CAPTION = re.compile(r"\d{8}---.*", re.DOTALL)  # 02626611---nuance-overcome-tshirt
_MOSTLY = 0.95


@dataclass(frozen=True)
class Published:
    """What the paper says of a part: its sentences, and its entities by type."""

    sentences: int
    entities: dict[str, int]


def published(language: str, split: str) -> Published | None:
    """What Table 2 says of a part ("train", "valid", "test") in a language, or None where it says nothing."""
    counts = _TABLE_2.get(language)
    if counts is None or split not in SPLITS:
        return None
    own = {name: numbers[list(SPLITS).index(split)] for name, numbers in counts.items()}
    return Published(own.pop("sentences"), own)


def mmnerd_source(example: Example) -> Source | None:
    """Whether a row of MMNERD is a "tweet" (of Twitter-2017) or a "caption" (of the image-text pairs called mBART50).

    The id of its picture tells; None where it is neither.
    """
    for image in example.images:
        if _CAPTION.fullmatch(image):
            return "caption"
        if _TWEET.fullmatch(image.removesuffix(".jpg")):
            return "tweet"
    return None


def is_mmnerd(examples: Iterable[Example]) -> bool:
    """Whether rows are MMNERD's: nearly all are of its two sources, and some are captions."""
    sources = [mmnerd_source(example) for example in examples]
    return "caption" in sources and sum(source is not None for source in sources) >= _MOSTLY * len(sources)
