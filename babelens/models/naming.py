"""A model by its name: one of the zoo, its text-only twin, or one that lacks a part; with encoders of one's choice."""

from babelens.models.encoders import Encoders, with_encoders
from babelens.models.spec import DeclarationError, Model
from babelens.models.zoo import ZOO


def named(name: str, encoders: Encoders = "pretrained") -> Model:
    """The model of that name; `NAME-text` is its text-only twin, `NAME-without-PART` lacks a part (`Model.without`).

    Encoders are exchanged before parts are taken away, so that a twin keeps the text encoder of the whole.

    Raises:
        DeclarationError: there is none.
    """
    if name in ZOO:
        return with_encoders(ZOO[name], encoders)
    whole, without, part = name.partition("-without-")
    if without and whole in ZOO:
        return with_encoders(ZOO[whole], encoders).without(part)
    base = name.removesuffix("-text")
    if base in ZOO and ZOO[base].views:
        return with_encoders(ZOO[base], encoders).text_only()
    raise DeclarationError(f"expected a model ({', '.join(ZOO)}) or one with -text added, found {name!r}")
