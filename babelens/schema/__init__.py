"""What a row, an entity and a tag are. Standard library only."""

from babelens.schema.errors import InputError
from babelens.schema.example import Box, Entity, Example
from babelens.schema.tags import SCHEMES, Reading, Scheme, TagError, TagSet, read_tags, write_tags

__all__ = [
    "SCHEMES",
    "Box",
    "Entity",
    "Example",
    "InputError",
    "Reading",
    "Scheme",
    "TagError",
    "TagSet",
    "read_tags",
    "write_tags",
]
