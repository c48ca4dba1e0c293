"""A row as a form with files (multipart/form-data, RFC 7578); nothing of it is written to the disk."""

from typing import TYPE_CHECKING

import msgspec
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from babelens.prediction.ask import Ask
from babelens.serving.questions import Asked, Question, check_question
from babelens.serving.refusal import Refusal
from babelens.serving.settings import Limits

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_TEXTS = ("text", "id", "language")
_PARTS = 32


def read_form(body: bytes, content_type: str, limits: Limits) -> Asked:
    """The row of a form: `text` or `tokens` (a JSON list), `id`, `language`, `ask` (a JSON object), files `image`.

    Raises:
        Refusal: it is no form (400), has other fields or fields of another kind (422), or is beyond a limit (413).
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise Refusal(400, "expected a form with a boundary in its content type, found none")
    parts = _Parts()
    try:
        parser = MultipartParser(boundary, parts.callbacks())
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Refusal(400, "expected a form (multipart/form-data), found something else") from None
    if not parts.whole:
        raise Refusal(400, "expected a whole form, found one that is cut off")
    return _row(parts, limits)


class _Parts:
    """Names and contents of a form's parts, as they come."""

    def __init__(self) -> None:
        self.found: list[tuple[str, bytes]] = []
        self.whole = False
        self._field = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._content = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_field,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_content,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        if len(self.found) == _PARTS:
            raise Refusal(413, f"expected at most {_PARTS} parts in a form, found more")
        self._headers, self._content = {}, bytearray()

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._field.lower()] = self._value
        self._field = self._value = b""

    def _add_content(self, data: bytes, start: int, end: int) -> None:
        self._content += memoryview(data)[start:end]

    def _end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self.found.append((options.get(b"name", b"").decode("utf-8", "replace"), bytes(self._content)))

    def _finish(self) -> None:
        self.whole = True


def _row(parts: _Parts, limits: Limits) -> Asked:
    fields: dict[str, object] = {}
    pictures: list[bytes] = []
    for name, content in parts.found:
        if name == "image":
            if content:  # a form whose file was not chosen sends an empty one
                pictures.append(content)
        elif name in fields:
            raise Refusal(422, f"expected one field {name}, found two")
        elif name in _TEXTS or name == "image_url":
            fields[name] = _text(name, content)
        elif name == "tokens":
            fields[name] = _json(name, content, list[str])
        elif name == "ask":
            fields[name] = _json(name, content, Ask)
        else:
            raise Refusal(
                422, "expected the fields text, tokens, id, language, ask, image and image_url, found another"
            )
    return check_question(Question(**fields), limits, pictures)  # pyright: ignore[reportArgumentType]


def _text(name: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Refusal(422, f"{name}: expected UTF-8, found other bytes") from None


def _json(name: str, content: bytes, kind: type) -> object:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(422, f"{name}: {error}") from None
