"""Names for tensor shapes, used in signatures and checked under the tests.

Axes: batch (rows), word, dim and width (of words and of regions), region and crop (of a picture), tag, picture, row and
column (of its pixels), piece (sub-token), window.
"""

from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

Words = Float[Tensor, "batch word dim"]
WordMask = Bool[Tensor, "batch word"]
Pooled = Float[Tensor, "batch dim"]
Pixels = Float[Tensor, "picture channel row column"]
Bytes = UInt8[Tensor, "picture channel row column"]
CropBytes = UInt8[Tensor, "picture crop channel row column"]
Regions = Float[Tensor, "batch region width"]
RegionMask = Bool[Tensor, "batch region"]
Emissions = Float[Tensor, "batch word tag"]
Tags = Int[Tensor, "batch word"]
PerRow = Float[Tensor, " batch"]
Scalar = Float[Tensor, ""]
