"""What goes wrong with a declaration."""

from babelens.schema import InputError


class DeclarationError(InputError):
    """A declaration that cannot be built: the message says which field, what was expected and what was found."""
