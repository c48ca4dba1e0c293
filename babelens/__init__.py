"""Multilingual, multimodal named entity recognition."""

from babelens.schema import Entity, Example

__all__ = ["Entity", "Example"]
__version__ = "0.1.0"
