"""What ends a training run with a message."""

from babelens.schema import InputError


class TrainingError(InputError):
    """Training that cannot go on: the message says at which step, with which rows, and why."""


class OutOfMemory(TrainingError):
    """Memory that does not hold a batch; the message names it, and says what needs less."""

    exit_code = 3


class Interrupted(InputError):
    """Training was stopped from outside; its state is saved, and the message says how to go on."""

    exit_code = 130


class Halted(TrainingError):
    """Training that cannot have its next rows; its state is saved, and the message says how to go on."""


class DiskFull(TrainingError):
    """A disk that has no room; the message says what could not be written and which state is whole."""

    exit_code = 3


class ResumeError(InputError):
    """A run that cannot be gone on with: the message says why."""
