"""Boxes of tiny random detectors against what transformers' own post-processing gives for one picture and query."""

import string
from typing import Any

import pytest
import torch
from PIL import Image
from transformers import (
    BertConfig,
    BertTokenizer,
    CLIPTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    GroundingDinoImageProcessorPil,
    GroundingDinoProcessor,
    OwlViTConfig,
    OwlViTForObjectDetection,
    OwlViTImageProcessorPil,
    OwlViTProcessor,
    SwinConfig,
)

from babelens.models.detector import Detector, DetectorError
from babelens.schema import InputError

CPU = torch.device("cpu")


def save_owl(folder):
    """An OWL-ViT of random weights that spells words by letters."""
    torch.manual_seed(0)
    letters = [*string.ascii_lowercase, *(f"{letter}</w>" for letter in string.ascii_lowercase)]
    vocabulary = {name: number for number, name in enumerate([*letters, "<|startoftext|>", "<|endoftext|>"])}
    small = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    marks = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1, "pad_token_id": 0}
    config = OwlViTConfig(
        text_config={"vocab_size": len(vocabulary), "max_position_embeddings": 16, **marks, **small},
        vision_config={"image_size": 32, "patch_size": 8, **small},
        projection_dim=16,
    )
    model = OwlViTForObjectDetection(config)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.3)
    model.save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processor = OwlViTProcessor(
        OwlViTImageProcessorPil(size=size, crop_size=size),
        CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16),
    )
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def owl(tmp_path_factory):
    return Detector(str(save_owl(tmp_path_factory.mktemp("owl"))), CPU)


@pytest.fixture(scope="module")
def pictures():
    generator = torch.Generator().manual_seed(0)
    sizes = [(50, 100), (64, 40), (7, 200)]
    return [Image.fromarray(torch.randint(0, 256, (*size, 3), generator=generator).byte().numpy()) for size in sizes]


def test_boxes_are_the_best_of_each_query_asked_alone(owl, pictures):
    found = owl.find(pictures, ["person", "a flag"], top=3)
    for boxes, picture in zip(found, pictures, strict=True):
        assert sorted({box.label for box in boxes}, reverse=True) == ["person", "a flag"]
        for query in ("person", "a flag"):
            own = [box for box in boxes if box.label == query]
            inputs = owl.processor(images=picture, text=[query], return_tensors="pt")
            with torch.no_grad():
                answer = owl.model(**inputs)
            scores = answer.logits[0, :, 0].sigmoid()
            expected = []
            for place in sorted(range(len(scores)), key=lambda place: -float(scores[place])):
                x, y, width, height = answer.pred_boxes[0, place].tolist()
                # OWL-ViT's processor stretches, so boxes are shares of the width and of the height.
                edges = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
                left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
                if left < right and top < bottom:
                    shares = (
                        left * picture.width,
                        top * picture.height,
                        right * picture.width,
                        bottom * picture.height,
                    )
                    expected.append((*shares, float(scores[place])))
            assert own
            for box, edges in zip(own, expected[:3], strict=True):
                assert (box.left, box.top, box.right, box.bottom, box.score) == pytest.approx(edges, abs=0.02)
                assert box.group is None and box.left < box.right and box.top < box.bottom


def test_neighbours_change_nothing(owl, pictures):
    together = owl.find(pictures, ["person"])
    for boxes, picture in zip(together, pictures, strict=True):
        ((alone,),) = owl.find([picture], ["person"])
        (box,) = boxes
        assert (box.left, box.top, box.right) == pytest.approx((alone.left, alone.top, alone.right), abs=0.02)


def test_threshold_and_top_limit(owl, pictures):
    everything = owl.find(pictures[:1], ["person"], top=99)[0]
    assert 5 < len(everything) <= 16
    scores = [box.score for box in everything]
    assert scores == sorted(scores, reverse=True)
    above = owl.find(pictures[:1], ["person"], top=99, threshold=scores[4])[0]
    assert [box.score for box in above] == scores[:4]
    assert owl.find(pictures, ["person"], threshold=1.0) == [[], [], []]


def test_a_detector_whose_text_is_one_sentence(tmp_path, pictures):
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", "person"]
    stages: dict[str, Any] = {"depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1], "out_indices": [2, 3, 4]}
    layers: dict[str, Any] = {
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
    }
    text: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(image_size=64, patch_size=4, embed_dim=8, window_size=4, **stages),
        text_config=BertConfig(vocab_size=len(vocabulary), **text),
        d_model=32,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        num_queries=10,
        max_text_len=16,
        **layers,
    )
    GroundingDinoForObjectDetection(config).save_pretrained(tmp_path)
    processor = GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 100})
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(vocabulary)}, model_max_length=16)
    GroundingDinoProcessor(processor, tokenizer).save_pretrained(tmp_path)
    found = Detector(str(tmp_path), CPU).find(pictures, ["person", "Person"], top=2)
    for boxes, picture in zip(found, pictures, strict=True):
        assert [box.label for box in boxes] == ["person"] * 2 + ["Person"] * 2
        # Its text is lower-cased, so both queries are one.
        assert [(box.left, box.top) for box in boxes[:2]] == [(box.left, box.top) for box in boxes[2:]]
        assert all(0 <= box.left <= box.right <= picture.width for box in boxes)
        assert all(0 <= box.top <= box.bottom <= picture.height for box in boxes)


def test_mistakes_are_named(tmp_path, tiny_folder):
    assert issubclass(DetectorError, InputError)
    with pytest.raises(DetectorError, match="nothing: expected a zero-shot object detector of transformers"):
        Detector(str(tmp_path / "nothing"), CPU)
    with pytest.raises(DetectorError, match="expected a zero-shot object detector"):
        Detector(str(tiny_folder / "clip"), CPU)
