import pytest

from babelens.data.postcards.grammar import Mention, realise
from babelens.data.postcards.plain_frames import FRAMES, ROLES, TEST_FRAMES
from babelens.data.postcards.sentences import Ambiguous, Plain, tell

ONE = [Mention(0, ("Ovali", "Tiru"), after=("à", "gauche"))]


def say(frame: str, language: str, *mentions: Mention) -> str:
    slots = {"x": list(mentions), **{str(mention.entity): [mention] for mention in mentions}}
    return " ".join(realise(frame, language, slots).words)


def test_spans_are_those_of_the_names() -> None:
    sentence = realise("on {x} .", "fr", {"x": [*ONE, Mention(1, ("Belo",), before=("le", "port", "de"))]})
    assert [sentence.words[start:end] for start, end in sentence.spans] == [("Ovali", "Tiru"), ("Belo",)]


def test_number_agrees() -> None:
    assert say("{x} [is|are] new", "en", Mention(0, ("Belo",))) == "Belo is new"
    assert say("{x} [is|are] new", "en", Mention(0, ("Belo",)), Mention(1, ("Tiru",))) == "Belo and Tiru are new"


def test_french_elides_and_contracts() -> None:
    assert say("on parle {0:de}", "fr", Mention(0, ("Ovali",))) == "On parle d' Ovali"
    assert say("on parle {0:de}", "fr", Mention(0, ("Belo",))) == "On parle de Belo"
    assert say("on parle {0:de}", "fr", Mention(0, ("Belo",), ("le", "film"))) == "On parle du film Belo"
    assert say("on parle {0:de}", "fr", Mention(0, ("Belo",), ("l'", "île", "de"))) == "On parle de l' île de Belo"
    assert say("on donne {0:à}", "fr", Mention(0, ("Belo",), ("le", "jeu"))) == "On donne au jeu Belo"
    assert say("{0} dort", "fr", Mention(0, ("Ubo",), ("la", "ville", "de"))) == "La ville d' Ubo dort"


def test_spanish_contracts_and_changes_its_and() -> None:
    assert say("habla {0:de}", "es", Mention(0, ("Belo",), ("el", "banco"))) == "Habla del banco Belo"
    assert say("da {0:a}", "es", Mention(0, ("Belo",), ("el", "banco"))) == "Da al banco Belo"
    assert say("veo {x}", "es", Mention(0, ("Belo",)), Mention(1, ("Iru",))) == "Veo Belo e Iru"
    assert say("veo {x}", "es", Mention(0, ("Belo",)), Mention(1, ("Uru",))) == "Veo Belo y Uru"
    assert say("sueña {x:con}", "es", Mention(0, ("Belo",)), Mention(1, ("Iru",))) == "Sueña con Belo y con Iru"


@pytest.mark.parametrize(
    ("article", "accusative", "dative"), [("die", "die", "der"), ("das", "das", "dem"), ("der", "den", "dem")]
)
def test_german_cases(article: str, accusative: str, dative: str) -> None:
    mention = Mention(0, ("Belo",), (article, "X"))
    assert say("ich sehe {0:acc}", "de", mention) == f"Ich sehe {accusative} X Belo"
    assert say("ich gehe mit {0:dat}", "de", mention) == f"Ich gehe mit {dative} X Belo"
    assert say("nahe von {0:dat}", "de", mention) == ("Nahe vom X Belo" if dative == "dem" else "Nahe von der X Belo")


@pytest.mark.parametrize(
    ("shape", "cues", "expected"),
    [
        ("side", ("left", "right"), "We saw Belo on the left and Iru on the right ."),
        ("bracket", ("red", "blue"), "We saw Belo ( in red ) and Iru ( in blue ) ."),
    ],
)
def test_binding_beside_the_name(shape: str, cues: tuple[str, ...], expected: str) -> None:
    lines = ("We saw {x} .", "", "", "")
    assert " ".join(tell(Ambiguous(shape, lines, (("Belo",), ("Iru",)), cues), "en").words) == expected


@pytest.mark.parametrize(
    ("shape", "language", "cues", "expected"),
    [
        ("fronted", "fr", ("left", "right"), "À gauche Belo , à droite Iru : deux rêves ."),
        ("figure", "de", ("red", "blue"), "Die rote Figur ist Belo und die blaue ist Iru : deux rêves ."),
        (
            "figure",
            "es",
            ("left", "right"),
            "La figura de la izquierda es Belo y la de la derecha es Iru : deux rêves .",
        ),
        ("stated", "es", ("red", "blue"), "Belo está en rojo e Iru está en azul : deux rêves ."),
    ],
)
def test_binding_in_clauses(shape: str, language: str, cues: tuple[str, ...], expected: str) -> None:
    text = Ambiguous(shape, ("[un rêve|deux rêves]",) * 4, (("Belo",), ("Iru",)), cues)
    sentence = tell(text, language)
    assert " ".join(sentence.words) == expected
    assert [sentence.words[start:end] for start, end in sentence.spans] == [("Belo",), ("Iru",)]


def test_one_mention_is_told_in_the_singular() -> None:
    text = Ambiguous("fronted", ("[a dream|two dreams]",) * 4, (("Belo",),), ("red",))
    assert " ".join(tell(text, "en").words) == "In red Belo : a dream ."


def test_every_plain_frame_takes_every_role_in_every_language() -> None:
    for types, lines in (*FRAMES, *TEST_FRAMES):
        for number in range(7):
            roles = tuple(ROLES[type_][number] for type_ in types)
            names = (("Ovali", "Tiru"), ("Iru",))[: len(types)]
            for language in ("en", "fr", "de", "es"):
                sentence = tell(Plain(lines, roles, names), language)
                assert [sentence.words[start:end] for start, end in sentence.spans] == list(names)
                assert sentence.words[0][0].isupper()
                assert sentence.words[-1] == "."
                assert not {"{", "}", "[", "|"} & set("".join(sentence.words))
