"""What a fusion works on, and what it wants to know of its surroundings.

Each fusion's declaration says three things of its class:

- `unit`: whether it fuses words, or the sub-tokens of which the encoder reads them (words where there are none); of
  fused sub-tokens, those that stand for words go to the head.
- `projected`: whether its view projects the regions to the width of the text, or the fusion takes them as they are.
- `reads_text`: whether it also changes words that see no picture; then a text-only twin keeps its text path.

`build(dim, region_dim)` makes its module for words of width `dim`, and for no regions at all if `region_dim` is None.
The module has `dim` and `auxiliary_dim`, the widths of its streams, and

    forward(words, mask, regions, region_mask) -> Streams
    weights(words, mask, regions, region_mask) -> (batch, head, word, region), or None if it cannot tell

A row whose `region_mask` is all False gets what the docstring of the fusion says, never NaN, and changes nothing for
its neighbours.
"""

from typing import Literal

Unit = Literal["word", "piece"]
