"""Names for tensor shapes, used in signatures and checked under the tests.

Axes: batch (rows), word, dim (width), region (of a picture), tag, picture, piece (sub-token), window.
"""

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Words = Float[Tensor, "batch word dim"]
WordMask = Bool[Tensor, "batch word"]
Pooled = Float[Tensor, "batch dim"]
Pixels = Float[Tensor, "picture channel height width"]
Bytes = UInt8[Tensor, "picture channel height width"]
Regions = Float[Tensor, "batch region width"]
RegionMask = Bool[Tensor, "batch region"]
Emissions = Float[Tensor, "batch word tag"]
Tags = Int[Tensor, "batch word"]
PerRow = Float[Tensor, " batch"]
Scalar = Float[Tensor, ""]
