"""Adapters of low rank in an encoder whose own weights stay as they are (Hu et al., 2022), through the package peft."""

import msgspec
from torch import nn
from transformers import PreTrainedModel

from babelens.schema import InputError

# Query and value, as in section 7.1 of the paper, by the names that attention gives them in transformers; where one
# layer makes query, key and value together, that one. peft's own table knows few encoders of pictures.
_ATTENTION = (
    ("query", "value"),
    ("q_proj", "v_proj"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("q", "v"),
    ("Wqkv",),
    ("qkv",),
    ("qkv_proj",),
    ("in_proj",),
)


class Lora(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Train W x + (alpha / rank) B A x in place of W x: A and B of `rank` are new and trained, W stays (Eq. 3).

    `dropout` is applied to what the adapters read. `targets` are names of linear layers, or ends of them
    ("attention.output.dense"); () takes the queries and values of all attention layers. B starts at zero, so that a
    new model is the published one. Whatever the encoder holds beside its adapters is frozen; projection, fusion and
    head are no part of it and train as ever.

    Raises:
        InputError: a rank, an alpha or a dropout that makes no adapter.
    """

    rank: int = 8
    alpha: float = 16
    dropout: float = 0.0
    targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"lora.rank: expected 1 or more, found {self.rank}")
        if not self.alpha > 0:
            raise InputError(f"lora.alpha: expected more than 0, found {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise InputError(f"lora.dropout: expected a share from 0 to below 1, found {self.dropout}")

    def adapt(self, encoder: PreTrainedModel, *, trained: bool = True) -> None:
        """Put adapters into an encoder, in place, and freeze all else of it.

        Raises:
            InputError: peft is not installed, the encoder is not `trained`, or it has no layers of these names.
        """
        if not trained:
            raise InputError("lora: expected trained = true (adapters are what is trained), found trained = false")
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError as error:
            raise InputError("lora: expected the package peft; install it: pip install 'babelens[lora]'") from error
        targets = self._targets(encoder)
        # peft takes any number for alpha and divides by the rank; its annotation says int.
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # pyright: ignore[reportArgumentType]
            lora_dropout=self.dropout,
            target_modules=targets,
            bias="none",
        )
        inject_adapter_in_model(config, encoder)

    def _targets(self, encoder: PreTrainedModel) -> list[str]:
        """The names of the layers that get adapters, whole ones."""
        linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
        ends = {name.rpartition(".")[2] for name in linear}
        wanted = self.targets or next((names for names in _ATTENTION if ends.issuperset(names)), ())
        found = {end: [name for name in linear if name == end or name.endswith(f".{end}")] for end in wanted}
        lacking = [end for end, names in found.items() if not names]
        if lacking or not found:
            missing = ", ".join(map(repr, lacking)) or "no queries and values that are known"
            raise InputError(
                f"lora.targets: expected names of linear layers ({', '.join(sorted(ends))}), found {missing}"
            )
        return [name for names in found.values() for name in names]
