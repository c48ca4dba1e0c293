"""What the service says of itself (OpenAPI), with examples."""

from typing import TYPE_CHECKING, Any

import msgspec

from babelens.serving.engine import Facts
from babelens.serving.questions import Question

if TYPE_CHECKING:
    from fastapi import FastAPI

_REFERENCE = "#/components/schemas/{name}"
_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
_ROWS = {
    "a text": {"text": "Anna Lindqvist visited Paris."},
    "a text and its picture": {"text": "Real Madrid won again!", "image": _PNG, "language": "en"},
    "tokens": {"tokens": ["Siemens", "is", "in", "Berlin", "."], "ask": {"alternatives": 2, "model": True}},
    "what the picture does": {"text": "Paris!", "image": _PNG, "ask": {"image_effect": True, "regions": True}},
}
_ANSWER = {
    "text": "Anna Lindqvist visited Paris.",
    "entities": [
        {"start": 0, "end": 14, "text": "Anna Lindqvist", "type": "PER", "score": 0.981203},
        {"start": 23, "end": 28, "text": "Paris", "type": "LOC", "score": 0.974118},
    ],
    "image_status": "none",
}
_REFUSALS = {
    400: "The body is no JSON, or no form.",
    401: "The token of the service is missing or wrong.",
    408: "The request did not come in whole before its deadline.",
    413: "The body, the text, or a picture is too large.",
    415: "The content type, or the format of a picture, is none that is read here.",
    422: "A field is missing, of another kind, or holds what cannot be read.",
    429: "Too many requests wait already: come again after as many seconds as Retry-After says.",
    500: "The service failed over this request.",
    503: "The service is not ready, about to end, or its model's process was lost.",
    504: "The deadline of the request is over.",
}
_SCHEMAS = {
    "Entity": {
        "type": "object",
        "required": ["start", "end", "text", "type", "score"],
        "properties": {
            "start": {"type": "integer", "description": "Where it starts, in Unicode code points."},
            "end": {"type": "integer", "description": "Where it ends; the code point there is not part of it."},
            "text": {"type": "string"},
            "type": {"type": "string"},
            "score": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "description": "The exact probability of the span.",
            },
        },
    },
    "Answer": {
        "type": "object",
        "required": ["text", "entities", "image_status"],
        "properties": {
            "id": {"type": "string"},
            "text": {"type": "string"},
            "entities": {"type": "array", "items": {"$ref": "#/components/schemas/Entity"}},
            "image_status": {"enum": ["used", "none"], "description": "Whether the model read a picture."},
            "language": {"type": "string"},
            "model": {"type": "string", "description": "The digest of the model, where it was asked for."},
        },
    },
    "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    "Unanswered": {
        "type": "object",
        "required": ["error", "status"],
        "properties": {"id": {"type": "string"}, "error": {"type": "string"}, "status": {"type": "integer"}},
    },
}


def _schema(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(name=name)}


def _json(schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema, **more}}


def _refusal(status: int) -> dict[str, Any]:
    retry = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return {
        "description": _REFUSALS[status],
        "content": _json(_schema("Error")),
        **({"headers": retry} if status == 429 else {}),
    }


_FORM = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "tokens": {"type": "string", "description": "A JSON list."},
        "id": {"type": "string"},
        "language": {"type": "string"},
        "ask": {"type": "string", "description": "A JSON object."},
        "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
        "image_url": {"type": "string"},
    },
}
_ROW, _LIST = _schema("Question"), {"type": "array", "items": _schema("Question"), "minItems": 1}
_EXAMPLES = {name: {"value": row} for name, row in (*_ROWS.items(), ("a list", list(_ROWS.values())[:2]))}

PREDICTION: dict[str, Any] = {
    "summary": "Find the entities of a text, or of a list of texts",
    "description": "A list is answered by a list; a row that cannot be answered then has an error in its place.",
    "responses": {
        200: {
            "description": "The answer, or as many answers as there were rows.",
            "content": _json(
                {
                    "anyOf": [
                        _schema("Answer"),
                        {"type": "array", "items": {"anyOf": [_schema("Answer"), _schema("Unanswered")]}},
                    ]
                },
                example=_ANSWER,
            ),
        },
        **{status: _refusal(status) for status in _REFUSALS},
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                **_json({"anyOf": [_ROW, _LIST]}, examples=_EXAMPLES),
                "multipart/form-data": {"schema": _FORM},
            },
        },
        "parameters": [
            {
                "name": "babelens-timeout",
                "in": "header",
                "required": False,
                "description": "The seconds within which an answer is of use; it is not worked on after them.",
                "schema": {"type": "number", "minimum": 0.1, "maximum": 60},
            }
        ],
    },
}
MODEL: dict[str, Any] = {
    "summary": "What the model is",
    "responses": {
        200: {"description": "The model.", "content": _json(_schema("Facts"))},
        401: _refusal(401),
        503: _refusal(503),
    },
}
PROBE: dict[str, Any] = {
    "responses": {200: {"description": "Yes, or the figures."}, 401: _refusal(401), 503: _refusal(503)},
}


def document(app: "FastAPI") -> dict[str, Any]:
    """The OpenAPI document of the application."""
    from fastapi.openapi.utils import get_openapi

    from babelens import __version__

    made = get_openapi(title=app.title, version=__version__, routes=app.routes)
    _, schemas = msgspec.json.schema_components([Question, Facts], ref_template=_REFERENCE)
    made["components"] = {
        "schemas": {**schemas, **_SCHEMAS},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    return made
