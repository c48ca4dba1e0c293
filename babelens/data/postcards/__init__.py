"""The built-in corpus: sentences in four languages whose names only their drawn pictures can tell the types of."""

from babelens.data.postcards.cards import Card, Thing, read_cards
from babelens.data.postcards.scenes import Sizes
from babelens.data.postcards.writer import write_postcards

__all__ = ["Card", "Sizes", "Thing", "read_cards", "write_postcards"]
