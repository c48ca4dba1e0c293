"""`babelens models` as a user calls it."""

import pytest
from typer.testing import CliRunner

from babelens.cli.main import app
from babelens.models.published import PUBLISHED
from babelens.models.zoo import ZOO


def said(*arguments):
    answer = CliRunner().invoke(app, ["models", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_every_model_is_listed_with_its_year_and_its_figures():
    lines = {line.split()[0]: line for line in said("list").splitlines() if line.strip()}
    assert ZOO.keys() == PUBLISHED.keys() & ZOO.keys()
    for name in ZOO:
        assert str(PUBLISHED[name].year) in lines[name]
    assert "343.9" in lines["2m-ner"] and "70.49" in lines["2m-ner"]


def test_show_gives_declaration_parameters_and_shapes():
    output = said("show", "2m-ner", "--encoders", "compact")
    assert "model.backbone.views.0.regions.type = 'clip'" in output
    assert "clip.fusion" in output and "emissions" in output and "1 x 9 x 9" in output


def test_diff_prints_only_what_differs():
    assert said("diff", "bert", "bert-crf").splitlines() == ["model.head: Softmax() -> Crf()"]
    assert said("diff", "2m-ner-text", "bert-crf") == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "gpt"], "expected a model"),
        (["show", "bert", "--encoders", "tiny"], "expected one of pretrained, compact, random, found 'tiny'"),
        (["diff", "bert", "2m-ner-without-vgg"], "expected a part of the model"),
    ],
)
def test_names_that_lead_nowhere_are_told(arguments, message):
    answer = CliRunner().invoke(app, ["models", *arguments])
    assert message in str(answer.exception)
