"""How many tokens a text has: which vocabulary a model uses, and a bound that holds for any of them."""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

from .model_names import ModelName

Encoding = Literal["cl100k_base", "o200k_base"]

# As OpenAI publishes them with tiktoken: the longest names first, since gpt-4o begins like gpt-4.
_ENCODINGS: Final[tuple[tuple[re.Pattern[str], Encoding], ...]] = (
    (re.compile(r"(ft:)?(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-5)"), "o200k_base"),
    (re.compile(r"(ft:)?o[134](-|:|$)"), "o200k_base"),
    (re.compile(r"(ft:)?(gpt-4(-|:|$)|gpt-3\.5-turbo|gpt-35-turbo)"), "cl100k_base"),
    (re.compile(r"text-embedding-(ada-002|3-small|3-large)$"), "cl100k_base"),
)
_SELLERS: Final = frozenset({"openai", "azure"})


def encoding_of(name: ModelName) -> Encoding | None:
    """The vocabulary of a normalised OpenAI model, whoever sells it; None where it is not published."""
    model = name.model
    if name.provider not in _SELLERS:
        route, _, inner = model.partition("/")
        if route != "openai":
            return None
        model = inner
    return next((encoding for pattern, encoding in _ENCODINGS if pattern.match(model)), None)


def most_tokens(text: str) -> int:
    """A number of tokens that no usual tokenizer passes for ``text``.

    Byte-level BPE (GPT, Llama 3, Qwen, Mistral's Tekken, DeepSeek) starts from the bytes of the UTF-8
    text and only ever joins them; SentencePiece with byte fallback (Gemini, Llama 2) takes at most a
    token per byte of its normalised text. So: the bytes of the longest of the text and its Unicode
    normal forms, and one for the marker that SentencePiece puts in front. Not counted is what a
    provider adds around the text.
    """
    if not text:
        return 0
    length = len(text.encode())
    if not text.isascii():
        forms = (unicodedata.normalize(form, text) for form in ("NFC", "NFD", "NFKC", "NFKD"))
        length = max(length, *(len(form.encode()) for form in forms))
    return length + 1
