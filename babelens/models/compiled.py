"""Encoders compiled by `torch.compile`: fused kernels, made on first use for any number of rows, words and pictures."""

from importlib.util import find_spec

from torch import nn

from babelens.models.tagger import Tagger
from babelens.modules.late import LateBackbone
from babelens.modules.text.transformer import TransformerEncoder
from babelens.modules.vision.crops import CropsEncoder
from babelens.schema import InputError


class CompileError(InputError):
    """A model of which nothing can be compiled, or a machine that cannot compile."""


def compile_encoders(tagger: Tagger, backend: str = "inductor") -> tuple[str, ...]:
    """Let `torch.compile` make the encoders of a tagger faster, in place; returns their names.

    Names of weights and what is saved stay as they are. The first steps are slow: each encoder is compiled for training
    and for evaluation when it is first called, and needs a C++ compiler on a processor, Triton on a GPU.

    Raises:
        CompileError: no encoder is called as a whole (those of an interleaved backbone run layer by layer), or none is
            a transformer or a network of pictures; or there is no compiler.
    """
    if backend == "inductor":
        _check_compiler(tagger.device.type)
    parts: dict[str, nn.Module] = {}
    backbone = tagger.backbone
    if isinstance(backbone, LateBackbone):
        if isinstance(backbone.text, TransformerEncoder):
            parts["text"] = backbone.text.encoder
        for name, view in backbone.seeing().items():
            regions = view.regions.encoder if isinstance(view.regions, CropsEncoder) else view.regions
            if regions is not None:
                parts[name] = regions.encoder
    if not parts:
        raise CompileError("training.compile: expected a model with encoders that can be compiled, found none")
    for part in parts.values():
        part.compile(dynamic=True, backend=backend)
    return tuple(parts)


def _check_compiler(device: str) -> None:
    """See that there is what makes kernels for a device, before torch ends in a traceback for want of it."""
    if device == "cuda":
        if find_spec("triton") is None:
            raise CompileError("training.compile: expected Triton, which compiles for GPUs, found no such package")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        get_cpp_compiler()
    except RuntimeError as error:
        raise CompileError(
            "training.compile: expected a C++ compiler, found none; install one (g++, clang) or name it in CXX"
        ) from error
