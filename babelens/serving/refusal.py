"""What the service says instead of an answer."""

from babelens.schema import InputError


class Refusal(InputError):
    """A request, or a row of one, that gets no answer: an HTTP status and why; `retry` seconds later one may ask."""

    def __init__(self, status: int, message: str, retry: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry = retry
