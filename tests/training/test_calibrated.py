import pytest

from babelens.data import read_corpus
from babelens.data.split import split
from babelens.models.checkpoint import load_tagger
from babelens.models.spec import Model
from babelens.modules.late import Late
from babelens.modules.text.transformer import Transformer
from babelens.training.loop import train
from babelens.training.recipe import Recipe, RecipeError, Training

SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
TEXT = Transformer(scratch={"model_type": "bert", **SMALL, "max_position_embeddings": 40}, vocabulary=200)
TRAINING = Training(epochs=2, batch=4, rate=5e-3, precision="fp32", seed=3)


@pytest.fixture
def corpus(tmp_path):
    names = ["Anna", "Paris", "Lyon", "Siemens"]
    rows = [f"{names[n % 4]}\tB-{'PER' if n % 4 == 0 else 'LOC'}\nin\tO\nw{n}\tO\n" for n in range(24)]
    (tmp_path / "train.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return read_corpus(tmp_path / "train.txt")


def test_a_run_calibrates_on_the_half_that_its_choice_did_not_use(corpus, tmp_path):
    settled = Training(**{**_fields(TRAINING), "calibrate": True, "targets": (0.01,)})
    done = train(Recipe(Model(Late(TEXT)), settled), corpus, corpus, tmp_path / "run")
    chosen, held = split(corpus, (1.0, 1.0), seed=3)
    made = load_tagger(done.model).calibration
    assert made.facts["digest"] == held.digest and sum(made.facts["rows"].values()) == len(held)
    assert [threshold.target for threshold in made.thresholds] in ([0.01], [])
    again = train(Recipe(Model(Late(TEXT)), settled), corpus, corpus, tmp_path / "run", resume=True)
    assert load_tagger(again.model).calibration == made
    # The choice is that of a run that never saw the held half.
    plain = train(Recipe(Model(Late(TEXT)), TRAINING), corpus, chosen, tmp_path / "plain")
    assert [e["validation_f1"] for e in plain.history] == [e["validation_f1"] for e in done.history]
    assert load_tagger(plain.model).calibration is None


def _fields(training):
    return {name: getattr(training, name) for name in training.__struct_fields__}


def test_a_target_is_a_share():
    with pytest.raises(RecipeError, match="found 90"):
        Training(targets=(90.0,))
