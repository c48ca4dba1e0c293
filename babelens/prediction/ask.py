"""What is asked of a model besides the entities and their scores."""

import msgspec

from babelens.schema import InputError


class AskError(InputError):
    """A wish that cannot be fulfilled: the message says which, what was expected and what was found."""


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What answers say beyond entities, types and scores; all of it costs time.

    - `alternatives`: of so many other types that the same words might be, how likely each is, the likeliest first; and
      how likely it is that the words are no entity, or that the entity has other borders.
    - `image_effect`: what changes when the picture is taken away. Rows with a picture are read once more without it.
    - `regions`: where in the picture the model looked, for each entity and over all words.
    - `min_score`: entities of a lower score are left out; that is a share from 0 to 1.
    - `model`: the digest of the model stands in each answer.

    Raises:
        AskError: `alternatives` is below 0, or `min_score` is no share.
    """

    alternatives: int = 0
    image_effect: bool = False
    regions: bool = False
    min_score: float = 0.0
    model: bool = False

    def __post_init__(self) -> None:
        if self.alternatives < 0:
            raise AskError(f"alternatives: expected 0 or more types, found {self.alternatives}")
        if not 0 <= self.min_score <= 1:
            raise AskError(f"min_score: expected a share from 0 to 1, found {self.min_score}")


PLAIN = Ask()
"""Entities, types and scores, and nothing else."""
