from pathlib import Path

import pytest

from babelens.data.postcards import Card, Sizes, read_cards, write_postcards

SIZES = Sizes(train=160, valid=40, test=320)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus") / "postcards"
    write_postcards(folder, sizes=SIZES, workers=1)
    return folder


@pytest.fixture(scope="session")
def cards(corpus: Path) -> list[Card]:
    return read_cards(corpus)


@pytest.fixture(scope="session")
def tested(cards: list[Card]) -> list[Card]:
    return [card for card in cards if card.split == "test"]
