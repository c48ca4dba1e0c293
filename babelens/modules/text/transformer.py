"""Text encoder: any Hugging Face encoder, its sub-tokens joined to words (2M-NER, Eqs. 1-3)."""

from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import msgspec
import torch
from huggingface_hub.errors import StrictDataclassError
from jaxtyping import Float, Int
from torch import Tensor, nn
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from babelens.modules.lora import Lora
from babelens.modules.origin import Origin
from babelens.modules.text.casing import Casing
from babelens.modules.text.encoded import EncodedText, Pieces
from babelens.modules.text.tokens import TextInput, WordTokenizer
from babelens.modules.text.wordpieces import train_wordpieces
from babelens.schema import InputError

Chosen = Literal["first", "mean", "last", "previous"]

# Layers run by someone else: embedded sub-tokens of some windows, and which those are, to their states.
Layers = Callable[[Float[Tensor, "window piece dim"], slice], Float[Tensor, "window piece dim"]]

_MULTILINGUAL_ROWS = 119_547
_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
_TOKENS_AT_ONCE = 32_768


class Transformer(msgspec.Struct, frozen=True, tag="transformer", forbid_unknown_fields=True):
    """Declares a transformer over sub-tokens.

    - `name`: hub id or folder of a pretrained encoder.
    - `layers`: keep the first so many layers; None keeps all.
    - `pieces`: which sub-token stands for a word; "first" as in 2M-NER, "mean" of all, "last", or "previous", the
      sub-token before the word: the last one of the word before it, and [CLS] for the first word. The published code of
      2M-NER takes this one, by an index that forgets [CLS].
    - `casing`: add an embedding of each word's casing class to its sub-tokens (for uncased encoders).
    - `scratch`: fields of a Hugging Face configuration (`model_type` and its sizes); then the weights are random, the
      tokenizer is learnt from the training words and `name` is not read. {} is the published size of multilingual
      BERT, with all its 119,547 rows.
    - `vocabulary`: most sub-tokens that a tokenizer learnt from scratch may hold.
    - `added`: special tokens that the tokenizer shall know beside its own, each a sub-token with a new row of the
      embeddings (random, from the encoder's own start). The published code adds characters that it would drop.
    - `dropout`: replaces the encoder's own rates (hidden states and attention).
    - `trained`: False keeps the encoder as it is: no gradients, no dropout.
    - `lora`: train adapters of low rank in place of the encoder's weights (see `Lora`); `added` rows, too, then stay as
      they start.
    """

    name: str = "bert-base-multilingual-cased"
    layers: int | None = None
    pieces: Chosen = "first"
    casing: bool = False
    scratch: dict[str, Any] | None = None
    vocabulary: int = 8000
    added: tuple[str, ...] = ()
    dropout: float | None = None
    trained: bool = True
    lora: Lora | None = None

    def build(self, origin: Origin) -> "TransformerEncoder":
        """Build the encoder: from its folder in a checkpoint, from scratch, or pretrained by name.

        Raises:
            InputError: a name or folder that holds no such encoder, a configuration that makes none, or `lora` that
                cannot be had for it.
        """
        if origin.folder is not None:
            tokenizer, config = _read(str(origin.folder), offline=True)
            model = _create(self._adapt(config))
        elif self.scratch is not None:
            if origin.words is None:
                raise InputError("a text encoder from scratch learns its tokenizer from training words; found none")
            tokenizer = train_wordpieces(origin.words(), self.vocabulary)
            model = _create(self._adapt(_configure(self.scratch, tokenizer)))
            _extend(model, tokenizer, self.added)
        else:
            tokenizer, config = _read(self.name, offline=False)
            model = _pretrained(self.name, self._adapt(config))
            _extend(model, tokenizer, self.added)
        return TransformerEncoder(self, model, tokenizer)

    def _adapt(self, config: PreTrainedConfig) -> PreTrainedConfig:
        """Set the layers and dropout that are asked for."""
        if self.layers is not None:
            if not 1 <= self.layers <= config.num_hidden_layers:
                raise InputError(f"layers: expected 1 to {config.num_hidden_layers}, found {self.layers}")
            config.num_hidden_layers = self.layers
            if getattr(config, "layer_types", None):
                config.layer_types = config.layer_types[: self.layers]
        if self.dropout is not None:
            rates = [name for name in _DROPOUTS if hasattr(config, name)]
            if not rates:
                raise InputError(f"dropout: a {config.model_type} configuration has no such rate to set")
            for name in rates:
                setattr(config, name, self.dropout)
        return config


class TransformerEncoder(nn.Module):
    """Reads words as sub-tokens in context and gives one state per word (2M-NER, Eqs. 1-3).

    `pooled` is the encoder's pooler output (BERT: a tanh layer over [CLS]) or, where it has no pooler, the last state
    of the first sub-token. A row of several windows is pooled from its first. A pooler whose weights a published
    checkpoint lacks starts at random; transformers warns of it.

    With `pieces="previous"` a word that opens a later window of a long text gets that window's [CLS], as the first
    word of a text does; windows overlap, so that happens only beside words of half a window. The published code reads
    no text that long.
    """

    def __init__(self, declaration: Transformer, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        embeddings = model.get_input_embeddings()
        if not isinstance(embeddings, nn.Embedding):
            raise InputError(f"expected an encoder of text, found a {model.config.model_type} model")
        rows, width = embeddings.num_embeddings, embeddings.embedding_dim
        if len(tokenizer) > rows:
            raise InputError(
                f"expected a tokenizer of at most {rows} sub-tokens, as the encoder, found {len(tokenizer)}"
            )
        self.dim: int = model.config.hidden_size
        self.pieces: Chosen = declaration.pieces
        self.trained = declaration.trained
        self.tokens = WordTokenizer(tokenizer, _limit(model))
        if self.pieces == "previous" and int(self.tokens([["a"]]).first) == 0:
            raise InputError(
                'pieces = "previous": expected a tokenizer that sets a sub-token before a text, found none'
            )
        self.encoder = model
        self.casing = nn.Embedding(len(Casing), width, padding_idx=int(Casing.NONE)) if declaration.casing else None
        if self.casing is not None:
            nn.init.zeros_(self.casing.weight)
        if not self.trained:
            self.encoder.requires_grad_(False)
        if declaration.lora is not None:
            declaration.lora.adapt(model, trained=self.trained)

    def train(self, mode: bool = True) -> "TransformerEncoder":
        """Switch dropout on or off; an encoder that is not trained keeps it off."""
        super().train(mode)
        if not self.trained:
            self.encoder.eval()
        return self

    def forward(self, text: TextInput, layers: Layers | None = None) -> EncodedText:
        """Encode sentences; words beyond the mask are zero. `layers` take the place of the encoder's own stack."""
        states, pooled = self._run(text, layers)
        flat = states.flatten(0, 1)
        chosen = self._chosen(text)
        words = _mean(flat, text) if self.pieces == "mean" else flat[chosen]
        words = words.masked_fill(~text.mask.unsqueeze(-1), 0.0)
        return EncodedText(words, text.mask, pooled[text.window], Pieces(states, text.attention, text.rows, chosen))

    def _chosen(self, text: TextInput) -> Int[Tensor, "batch word"]:
        """The place that stands for each word; any where there is no word."""
        if self.pieces == "last":
            return text.last
        # What frames a text stands in every window, so the place before a word is one of its own window.
        return (text.first - 1).clamp(min=0) if self.pieces == "previous" else text.first

    def drop_pooler(self) -> None:
        """Do without the layer behind `pooled`, which nothing reads: weights without a gradient."""
        if getattr(self.encoder, "pooler", None) is not None:
            setattr(self.encoder, "pooler", None)  # noqa: B010, not every encoder declares one

    def save(self, folder: Path) -> None:
        """Write configuration and tokenizer, no weights; `Origin(folder)` rebuilds the encoder from them."""
        self.encoder.config.save_pretrained(folder)
        self.tokens.tokenizer.save_pretrained(folder)

    def _run(
        self, text: TextInput, layers: Layers | None
    ) -> tuple[Float[Tensor, "window piece dim"], Float[Tensor, "window dim"]]:
        """States and pooled states of all windows; without gradients, long texts go through in parts."""
        windows, width = text.ids.shape
        count = windows if torch.is_grad_enabled() else max(1, _TOKENS_AT_ONCE // width)
        parts = [self._run_windows(text, slice(start, start + count), layers) for start in range(0, windows, count)]
        if len(parts) == 1:
            return parts[0]
        states, pooled = zip(*parts, strict=True)
        return torch.cat(states), torch.cat(pooled)

    def _run_windows(
        self, text: TextInput, part: slice, layers: Layers | None
    ) -> tuple[Float[Tensor, "window piece dim"], Float[Tensor, "window dim"]]:
        ids, attention = text.ids[part], text.attention[part].long()
        if self.casing is None:
            inputs = {"input_ids": ids}
        else:
            owner = text.owner[part]
            classes = text.casing.flatten()[owner.clamp(min=0)].masked_fill(owner < 0, int(Casing.NONE))
            inputs = {"inputs_embeds": self.encoder.get_input_embeddings()(ids) + self.casing(classes)}
        if layers is not None:
            states = layers(self.encoder.get_submodule("embeddings")(**inputs), part)
            return states, states[:, 0]
        output = self.encoder(**inputs, attention_mask=attention)
        states = output.last_hidden_state
        pooled = getattr(output, "pooler_output", None)
        return states, states[:, 0] if pooled is None else pooled


def _mean(flat: Float[Tensor, "place dim"], text: TextInput) -> Float[Tensor, "batch word dim"]:
    """The mean of each word's sub-tokens in the window that was chosen for it."""
    owner = text.owner.flatten()
    place = torch.arange(len(owner), device=owner.device)
    first, last = text.first.flatten(), text.last.flatten()
    word = owner.clamp(min=0)
    chosen = (owner >= 0) & (place >= first[word]) & (place <= last[word])
    sums = flat.new_zeros(len(first), flat.shape[-1]).index_add(0, word[chosen], flat[chosen])
    return (sums / (last - first + 1).unsqueeze(-1)).view(*text.mask.shape, -1)


def _read(name: str, offline: bool) -> tuple[PreTrainedTokenizerBase, PreTrainedConfig]:
    """Tokenizer and configuration of an encoder on the hub or in a folder."""
    try:
        config = AutoConfig.from_pretrained(name, local_files_only=offline)
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=offline)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"text encoder {name!r}: expected the hub id or the folder of a Hugging Face encoder, found: {error}"
        ) from error
    _check_encoder(config)
    return tokenizer, config


def _check_encoder(config: PreTrainedConfig) -> None:
    if config.is_encoder_decoder or not hasattr(config, "hidden_size") or hasattr(config, "patch_size"):
        raise InputError(f"expected an encoder of text, found a {config.model_type} model")


def _pretrained(name: str, config: PreTrainedConfig) -> PreTrainedModel:
    """The published weights, in 32-bit numbers whatever they are stored in."""
    try:
        return AutoModel.from_pretrained(name, config=config, dtype=torch.float32)
    except OSError as error:
        raise InputError(f"text encoder {name!r}: expected weights beside its configuration, found: {error}") from error


def _extend(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, added: tuple[str, ...]) -> None:
    """Give a tokenizer more special tokens, and its encoder rows for them."""
    count = tokenizer.add_tokens(list(added), special_tokens=True)
    rows = model.get_input_embeddings()
    if count and isinstance(rows, nn.Embedding):
        # An encoder may have had rows to spare; it gets one for each token all the same, as in the published code.
        model.resize_token_embeddings(rows.num_embeddings + count, mean_resizing=False)


def _create(config: PreTrainedConfig) -> PreTrainedModel:
    """A model of random weights."""
    try:
        return AutoModel.from_config(config, dtype=torch.float32)
    except (ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"expected the configuration of a {config.model_type} encoder, found: {error}") from error


def _configure(scratch: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> PreTrainedConfig:
    """The configuration that `scratch` asks for, with the tokenizer's size and padding."""
    fields = dict(scratch)
    type_ = fields.pop("model_type", "bert")
    if type_ not in CONFIG_MAPPING:
        raise InputError(f"scratch: expected a model_type that transformers knows (bert, ...), found {type_!r}")
    known = CONFIG_MAPPING[type_]()
    for name in fields:
        if not hasattr(known, name):
            near = ", ".join(get_close_matches(name, vars(known), n=3)) or "hidden_size, num_hidden_layers, ..."
            raise InputError(f"scratch: expected fields of a {type_} configuration ({near}), found {name!r}")
    fields.setdefault("vocab_size", len(tokenizer) if scratch else _MULTILINGUAL_ROWS)
    fields.setdefault("pad_token_id", tokenizer.pad_token_id)
    try:
        config = CONFIG_MAPPING[type_](**fields)
    except (ValueError, TypeError, StrictDataclassError) as error:
        raise InputError(f"scratch: expected fields of a {type_} configuration, found: {error}") from error
    _check_encoder(config)
    return config


def _limit(model: PreTrainedModel) -> int:
    """How many sub-tokens the encoder reads at once, those that frame a text included.

    RoBERTa and its kin count positions from padding_idx + 1 on, so that many rows of the table are never reached.
    """
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            return module.num_embeddings - unused
    return getattr(model.config, "max_position_embeddings", None) or 512
