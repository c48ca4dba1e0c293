import babelens
from babelens.prediction.predictor import Predictor


def test_a_saved_predictor_answers_the_same(tiny_tagger, tmp_path):
    made = Predictor(tiny_tagger)
    made.save(tmp_path / "model")
    text = "Anna Lindqvist visited Paris ."
    assert babelens.load(tmp_path / "model").predict(text).to_dict() == made.predict(text).to_dict()


def test_what_is_pushed_is_a_whole_model_folder(tiny_tagger, tmp_path, monkeypatch):
    class Hub:
        def create_repo(self, repository, private, exist_ok):
            assert (repository, private, exist_ok) == ("user/model", True, True)

        def upload_folder(self, repo_id, folder_path):
            assert repo_id == "user/model"
            folder_path.rename(tmp_path / "hub")
            return "its address"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    assert Predictor(tiny_tagger).push("user/model", private=True) == "its address"
    assert babelens.load(tmp_path / "hub").types == tiny_tagger.tags.types
