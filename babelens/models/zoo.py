"""All models on one screen. The difference between two is the difference between two declarations."""

from babelens.models.spec import Model
from babelens.modules.alignment import Contrastive
from babelens.modules.fusion.co_attention import CoAttention
from babelens.modules.fusion.cross_attention import CrossAttention
from babelens.modules.fusion.graph import Graph
from babelens.modules.fusion.interaction import Interaction
from babelens.modules.heads import Crf, Softmax
from babelens.modules.interleaved import Interleaved
from babelens.modules.late import Late, View
from babelens.modules.span_guided import SpanGuidedCrf
from babelens.modules.text.recurrent import Recurrent
from babelens.modules.text.transformer import Transformer
from babelens.modules.vision.clip import Clip
from babelens.modules.vision.crops import Crops
from babelens.modules.vision.objects import Objects
from babelens.modules.vision.resnet import Resnet
from babelens.modules.vision.vgg import Vgg

# The arithmetic of the 2M-NER authors' code, which differs from their paper: see docs/reproduction.md.
_SPECIAL = ("\ufffd", "\x80", "\xad", "\uf02d", "\uf0d6", "\u200b", "\uf0d8", "\uf0a7")
_RESNET = Resnet(name="timm/resnet152.tv_in1k", norm="drifting", fit="random", trained=False, pool=True)
_LAYER = CrossAttention(attention_dropout=0.1, query="key", perceptron=False)
_COPYING = CrossAttention(attention_dropout=0.1, query="key", perceptron=False, copies=True)

# A grid of four crops, which needs nothing. With source "boxes": what a visual grounding found for each of the labels.
_OBJECTS = Objects(labels=("person", "miscellaneous", "location", "organization"), group="grounding")

ZOO: dict[str, Model] = {
    # From scratch; the published scores come with GloVe: --set model.backbone.text.vectors=FILE.
    "bilstm-crf": Model(backbone=Late(Recurrent()), dropout=0.5),
    "hbilstm-crf": Model(backbone=Late(Recurrent(characters="lstm")), dropout=0.5),
    "cnn-bilstm-crf": Model(backbone=Late(Recurrent(characters="cnn")), dropout=0.5),
    "bert": Model(backbone=Late(Transformer()), head=Softmax()),
    "bert-crf": Model(backbone=Late(Transformer())),
    "adacan": Model(
        backbone=Late(
            Recurrent(word_dim=200, characters="blocks", joined="between", hidden=200, layers=2, dropout=0.0),
            views=(View(Vgg(), CoAttention()),),
        ),
        dropout=0.0,
    ),
    # Published with bert-base-uncased; on MMNERD the baselines of the 2M-NER paper read multilingual text.
    "mkgformer": Model(backbone=Interleaved()),
    # Published over sub-tokens with 13 labels; here first sub-tokens are gathered and words get the data's own tags.
    # Its batch norm drifted in training (norm="drifting"); here the statistics stay.
    "umt": Model(
        backbone=Late(Transformer(), views=(View(Resnet(trained=False), Interaction()),)),
        head=SpanGuidedCrf(),
        dropout=0.0,
    ),
    # Published over sub-tokens with 13 labels, as UMT; its paper ties an object to the phrase that it was found for,
    # its code to all words, as here. Its ResNet normalised by the batch; here the statistics stay.
    "umgf": Model(
        backbone=Late(Transformer(), views=(View(Crops(Resnet(pool=True), _OBJECTS), Graph()),)),
        dropout=0.0,
        reduction="sum",
    ),
    "2m-ner": Model(
        backbone=Late(
            Transformer(),
            views=(
                View(Clip(), CrossAttention(), Contrastive()),
                View(Resnet(), CrossAttention(), Contrastive()),
            ),
        ),
        head=Crf(),
        alpha=0.8,
    ),
    "2m-ner-official": Model(
        backbone=Late(
            Transformer(pieces="previous", added=_SPECIAL),
            views=(
                View(Clip(), _LAYER, Contrastive(image="flat")),
                View(_RESNET, _COPYING, Contrastive(image="native")),
            ),
            joint=768,
            shared_text=True,
        ),
        head=Crf(),
        alpha=0.8,
        factor=2.0,
    ),
}
