"""Counting tokens offline, where a tokenizer is installed and a model's vocabulary is published."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from financial.domain.model_names import ModelName
from financial.domain.token_bounds import Encoding, encoding_of


@lru_cache(maxsize=4)
def _tokenizer(encoding: Encoding) -> Any:
    """The tokenizer of the optional requirements (``requirements-tokenizers.txt``); None without them."""
    try:
        import quicktok
    except ImportError:
        return None
    return quicktok.get_encoding(encoding)


def count_tokens(text: str, name: ModelName) -> tuple[int, Encoding] | None:
    """The exact tokens of ``text`` for a normalised model, special tokens read as text; None if unknown."""
    encoding = encoding_of(name)
    tokenizer = None if encoding is None else _tokenizer(encoding)
    if encoding is None or tokenizer is None:
        return None
    return int(tokenizer.count(text)), encoding
