"""What ends a training run with a message."""

from babelens.schema import InputError


class TrainingError(InputError):
    """Training that cannot go on: the message says at which step, with which rows, and why."""
