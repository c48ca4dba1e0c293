"""The root of all errors that are the input's fault, not the program's."""


class InputError(ValueError):
    """Something that was handed in cannot be used; the message says where, what was expected and what was found.

    The command line prints the message alone and exits with `exit_code`.
    """

    exit_code = 1
