"""Taking out of prompts and completions what nobody should keep: secrets, and what identifies people."""

from __future__ import annotations

import re
from typing import Final

_RULES: Final = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S), "[private key]"),
    (re.compile(r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}|\b(?:ghp|gho|ghs|xox[abprs])[-_][A-Za-z0-9-]{10,}"), "[secret]"),
    (re.compile(r"\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b"), "[secret]"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+"), "[token]"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{12,}"), r"\1 [secret]"),
    (re.compile(r"(?i)\b(password|passwd|secret|api[_-]?key|token)(\"?\s*[:=]\s*\"?)[^\s\"',;}]{4,}"), r"\1\2[secret]"),
    (re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"), "[e-mail address]"),
    (re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?\b"), "[account number]"),
)  # fmt: skip
_CARD: Final = re.compile(r"\b\d(?:[ -]?\d){12,18}\b")
_PHONE: Final = re.compile(r"(?<![\w.])\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){6,12}(?!\w)")


def redact(text: str) -> str:
    """``text`` with keys, tokens, passwords, e-mail addresses, card, account and telephone numbers named only.

    By their form: a name or an address in plain words is not found.
    """
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    text = _CARD.sub(lambda found: "[card number]" if _is_card(found.group()) else found.group(), text)
    return _PHONE.sub("[telephone number]", text)


def _is_card(text: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1)."""
    digits = [int(one) for one in text if one.isdigit()]
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
