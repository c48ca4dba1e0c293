"""What a server answers: endpoints, fields, forms, limits."""

import base64
import io
import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from babelens.prediction.ask import Ask
from babelens.prediction.predictor import Predictor
from babelens.serving.settings import Flow, Limits

WORDS = [
    *("Anna", "Lindqvist", "Paris", "Siemens", "Köln", "東京", "กรุงเทพ", "équipe", "l'eau", "don't", "👩🏽\u200d🚀"),
    *("#copa", "@x", "3.14", "—", "maire", "«Lied»…", "المدينة"),
]


@pytest.fixture(scope="module")
def predictor(tiny_tagger):
    return Predictor(tiny_tagger)


def picture(number: int, size=(40, 30), kind="PNG") -> bytes:
    image = Image.new("RGB", size, (number * 37 % 256, number * 91 % 256, 200))
    image.paste((255, 255, number % 256), (0, 0, 5 + number % 20, 20))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def coded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def same(answer: dict, expected: dict) -> None:
    """Equal, but for scores, which may differ by 1e-5, and the id."""
    numbers: list[list[float]] = [[], []]
    others = [
        json.loads(json.dumps({**told, "id": ""}), parse_float=lambda text, own=own: own.append(float(text)))
        for told, own in zip((answer, expected), numbers, strict=True)
    ]
    assert others[0] == others[1]
    assert numbers[0] == pytest.approx(numbers[1], abs=1.2e-5)


def form(parts: list[tuple[str, bytes]], boundary: str = "frontier") -> tuple[bytes, str]:
    lines = b""
    for name, content in parts:
        file = '; filename="a.png"' if name == "image" else ""
        lines += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return lines + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def test_an_answer_is_that_of_the_model(server, predictor):
    text = "Anna Lindqvist a visité Köln."
    status, answer = server.predict({"text": text, "id": "7", "language": "fr"})
    assert status == 200 and answer["id"] == "7" and answer["language"] == "fr" and answer["entities"]
    same(answer, predictor.predict(text, language="fr").to_dict())


def test_tokens_pictures_and_wishes_reach_the_model(server, predictor):
    tokens, ask = ["Siemens", "is", "in", "Paris"], {"alternatives": 2, "image_effect": True, "regions": True}
    row = {"tokens": tokens, "image": [coded(picture(1)), coded(picture(2, kind="JPEG"))], "ask": ask}
    status, answer = server.predict(row)
    assert status == 200 and answer["image_status"] == "used"
    expected = predictor.predict(tokens, [picture(1), picture(2, kind="JPEG")], ask=Ask(**ask))
    same(answer, expected.to_dict())


def test_a_form_is_a_row(server, predictor):
    parts = [("text", "Köln — Paris".encode()), ("id", b"x"), ("ask", b'{"model": true}'), ("image", picture(3))]
    body, kind = form(parts)
    status, _, answer = server.ask("POST", "/v1/predict", body, content_type=kind)
    assert status == 200, answer
    same(json.loads(answer), predictor.predict("Köln — Paris", picture(3), ask=Ask(model=True)).to_dict())


def test_a_list_is_answered_by_a_list_and_bad_rows_in_their_place(server):
    rows = [{"text": "Anna"}, {"text": "b", "image": "?", "id": "b"}, {"text": ""}, {"text": "c", "tokens": ["d"]}]
    status, answers = server.predict(rows)
    assert status == 200 and [row.get("status", 200) for row in answers] == [200, 422, 200, 422]
    assert answers[1]["error"].startswith("image: expected base64") and "entities" not in answers[1]
    assert answers[2]["entities"] == [] and "out of it" in answers[3]["error"]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 400, "JSON"),
        (b"", 400, "JSON"),
        (b"[]", 422, "1 to 64 rows"),
        (json.dumps([{"text": "a"}] * 65).encode(), 413, "64 rows"),
        (b"{}", 422, "text or tokens"),
        (b'{"text": 7}', 422, "$.text"),
        (b'{"text": "a", "pciture": ""}', 422, "pciture"),
        (b'{"tokens": ["a", 1]}', 422, "$.tokens[1]"),
        (b'{"text": "b", "tokens": ["a"]}', 422, "out of it"),
        (b'{"text": "a", "ask": {"min_score": 2}}', 422, "min_score"),
        (b'{"text": "a", "image": "a b"}', 422, "base64"),
        (b'{"text": "a", "image": ""}', 422, "no bytes"),
        (b'{"text": "a", "image_url": "http://example.org/a.png"}', 422, "does not fetch"),
        (json.dumps({"text": "a" * 100_001}).encode(), 413, "100,000"),
        (json.dumps({"tokens": [""] * 100_001}).encode(), 413, "100,000"),
        (json.dumps({"text": "a", "image": ["AAAA"] * 5}).encode(), 413, "4 pictures"),
        (json.dumps({"text": "a", "id": "x" * 201}).encode(), 413, "id"),
        (b"[" * 100_000, 422, "the request"),
        (b'{"text": "\xff"}', 400, "UTF-8"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_reason(server, body, status, says):
    found, answer = server.predict(body)
    assert found == status and says in answer["error"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", b"hello", 415),
        ("multipart/form-data", b"--x", 400),
        ("multipart/form-data; boundary=x", b"no form", 400),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nAnna', 400),
        ("multipart/form-data; boundary=x", form([("text", b"a"), ("text", b"b")], "x")[0], 422),
        ("multipart/form-data; boundary=x", form([("other", b"a")], "x")[0], 422),
        ("multipart/form-data; boundary=x", form([("text", b"\xff")], "x")[0], 422),
        ("multipart/form-data; boundary=x", form([("tokens", b"no")], "x")[0], 422),
        ("multipart/form-data; boundary=x", form([("image", b"a")] * 40, "x")[0], 413),
    ],
)
def test_bodies_of_other_kinds_are_refused(server, kind, body, status):
    found, _, answer = server.ask("POST", "/v1/predict", body, content_type=kind)
    assert found == status and json.loads(answer)["error"]


@pytest.mark.parametrize("given", ["0", "5e-324", "-1", "nan", "inf", "soon", "61"])
def test_a_deadline_is_a_number_of_seconds(server, given):
    assert server.predict({"text": "a"}, babelens_timeout=given)[0] == 422


def test_what_is_asked_of_a_service_besides_answers(server, tiny_tagger):
    assert server.ask("GET", "/livez")[0] == server.ask("GET", "/readyz")[0] == 200
    facts = json.loads(server.ask("GET", "/v1/model")[2])
    assert facts["types"] == list(tiny_tagger.tags.types) and facts["views"] == ["clip", "resnet"]
    server.predict({"text": "Anna"})
    figures = dict(
        line.rsplit(" ", 1) for line in server.ask("GET", "/metrics")[2].decode().splitlines() if line[0] != "#"
    )
    assert float(figures['babelens_requests_total{status="200"}']) >= 1 and figures["babelens_ready"] == "1.0"
    assert server.ask("GET", "/nowhere")[0] == 404 and server.ask("PUT", "/v1/predict")[0] == 405
    status, headers, body = server.ask("GET", "/v1/predict")
    assert (status, headers["allow"]) == (405, "POST") and b"expected POST /v1/predict, found GET" in body


def test_every_answer_bears_the_headers_that_browsers_heed(server):
    for path in ("/livez", "/nowhere", "/v1/model", "/openapi.json"):
        _, headers, _ = server.ask("GET", path)
        assert headers["content-security-policy"].startswith("default-src 'none';")
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert "server" not in headers


def test_the_examples_of_the_document_are_answered(server):
    document = json.loads(server.ask("GET", "/openapi.json")[2])
    asked = document["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for example in asked.values():
        status, answer = server.predict(example["value"])
        assert status == 200, answer
        for row in answer if isinstance(answer, list) else [answer]:
            assert "error" not in row


def test_a_token_is_asked_for_where_there_is_one(start):
    server = start(token="s3cret-token", flow=Flow(decoders=1))
    assert server.ask("GET", "/livez")[0] == 200
    for path in ("/v1/model", "/metrics"):
        for given in ({}, {"authorization": "Bearer s3cret"}, {"authorization": "Basic s3cret-token"}):
            status, headers, _ = server.ask("GET", path, **given)
            assert status == 401 and headers["www-authenticate"] == "Bearer"
        assert server.ask("GET", path, authorization="Bearer s3cret-token")[0] == 200
    assert server.predict({"text": "a"})[0] == 401
    assert server.predict({"text": "a"}, authorization="bearer s3cret-token")[0] == 200
    server.stop()


def test_nothing_of_a_request_is_logged_but_sizes_and_times(start, server):
    server.predict({"text": "Geheimnis"})
    server.predict({"text": "x", "tokens": ["Geheimnis"]})
    line = json.loads(server.log.splitlines()[-2])
    assert {"status", "ms", "bytes_in", "rows", "words", "pictures", "bytes_out"} == line.keys()
    assert "Geheimnis" not in server.log
    asked = start(log_texts=True, flow=Flow(decoders=1))
    asked.predict({"text": "Geheimnis"})
    assert json.loads(asked.log.splitlines()[-1])["texts"] == ["Geheimnis"]
    asked.stop()


def test_a_long_body_is_refused_whether_it_says_how_long_it_is_or_not(start):
    server = start(limits=Limits(body=1000, deadline=2.0), flow=Flow(decoders=1))
    assert server.predict({"text": "a" * 1000})[0] == 413
    body = [b'{"text": "', *[b"a" * 200] * 10, b'"}']
    status, _, _ = server.ask("POST", "/v1/predict", iter(body), content_type="application/json")
    assert status == 413
    assert server.predict({"text": "a" * 900})[0] == 200
    assert server.predict(b"a" * (20 << 20))[0] == 413
    server.stop()


def random_row(draw: random.Random) -> dict:
    text = " ".join(draw.choices(WORDS, k=draw.choice((0, 1, 3, 10, 30))))
    row: dict = {"text": text} if draw.random() < 0.7 else {"tokens": text.split(" ")}
    if draw.random() < 0.3:
        row["image"] = coded(picture(draw.randrange(20), kind=draw.choice(("PNG", "JPEG", "WEBP", "GIF"))))
    if draw.random() < 0.2:
        row["ask"] = {"alternatives": draw.choice((0, 1, 3)), "image_effect": draw.random() < 0.3}
    return row


def check_concurrent(server, predictor, count: int) -> None:
    rows = [random_row(random.Random(number)) for number in range(count)]
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(server.predict, rows))
    for row, (status, answer) in zip(rows, found, strict=True):
        assert status == 200, answer
        image = base64.b64decode(row["image"]) if "image" in row else None
        given = row["text"] if "text" in row else row["tokens"]
        same(answer, predictor.predict(given, image, ask=Ask(**row.get("ask", {}))).to_dict())


def test_answers_to_many_at_once_are_those_to_one_after_the_other(server, predictor):
    check_concurrent(server, predictor, 120)


@pytest.mark.long
def test_answers_to_thousands_at_once_are_those_to_one_after_the_other(server, predictor):
    check_concurrent(server, predictor, 5_000)
