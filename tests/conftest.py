"""Shapes are checked in every test: jaxtyping and beartype watch each annotated function of the package."""

import os
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from jaxtyping import install_import_hook

install_import_hook("babelens", "beartype.beartype")

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def shared() -> Path:
    """The folder of real data beside the checkout; a test that needs it is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no ../shared/data beside this checkout: real data sets are not part of the project")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Parsed corpora go to a folder of the test run, not to the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BABELENS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


TINY_SENTENCES = [
    "Anna Lindqvist visited Paris with the team of Siemens in 2019 .",
    "Le maire de Lyon a reçu les joueurs du Real Madrid .",
    "Die Sängerin aus Köln singt morgen in der Elbphilharmonie .",
    "El equipo de Bogotá ganó la copa ayer !",
]


@pytest.fixture(scope="session")
def tiny_tagger():
    """A 2M-NER with tiny encoders and random weights: text of 30 sub-tokens at once, two views, a CRF."""
    import torch

    from babelens.models.checkpoint import new_tagger
    from babelens.models.spec import Model
    from babelens.modules.alignment import Contrastive
    from babelens.modules.fusion.cross_attention import CrossAttention
    from babelens.modules.late import Late, View
    from babelens.modules.text.transformer import Transformer
    from babelens.modules.vision.clip import Clip
    from babelens.modules.vision.resnet import Resnet
    from babelens.schema import TagSet

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    text = Transformer(scratch={"model_type": "bert", **small, "max_position_embeddings": 30}, vocabulary=300)
    clip = Clip(scratch={**small, "image_size": 32, "patch_size": 16})
    resnet = Resnet(scratch={"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "size": 32})
    views = tuple(View(regions, CrossAttention(heads=2), Contrastive()) for regions in (clip, resnet))
    torch.manual_seed(7)
    words = [sentence.split() for sentence in TINY_SENTENCES]
    tagger = new_tagger(Model(Late(text, views), alpha=0.8), TagSet(("LOC", "MISC", "ORG", "PER")), lambda: words)
    with torch.no_grad():
        # Untrained emissions hardly differ from word to word; these do, so that many entities are found.
        tagger.head.scores.weight.mul_(8)
    return tagger.eval()


@pytest.fixture(scope="session")
def tiny_folder(tiny_tagger, tmp_path_factory):
    """The model folder of `tiny_tagger`."""
    from babelens.models.checkpoint import save_tagger

    folder = tmp_path_factory.mktemp("tiny") / "model"
    save_tagger(tiny_tagger, folder)
    return folder
