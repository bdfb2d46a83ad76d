"""What a service may refuse, in words that an API, a command and a screen can all show.

Services raise these; the API renders them as RFC 9457 problem documents, commands as one sentence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field: an RFC 6901 JSON pointer, a stable code and a sentence."""

    pointer: str
    code: str
    detail: str

    def as_dict(self) -> dict[str, str]:
        return {"pointer": self.pointer, "code": self.code, "detail": self.detail}


@dataclass
class DomainError(Exception):
    """A refusal with a stable code, a sentence, bad fields and machine-readable extensions."""

    code: str
    detail: str
    errors: Sequence[FieldError] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)
    status = 400

    def __str__(self) -> str:
        return self.detail


class Invalid(DomainError):
    """The input is wrong (400)."""

    status = 400

    @classmethod
    def fields(cls, *errors: FieldError) -> Invalid:
        """A refusal that names each bad field."""
        return cls("invalid", "; ".join(f"{e.pointer or '/'}: {e.detail}" for e in errors), errors)

    @classmethod
    def field_error(cls, pointer: str, code: str, detail: str) -> Invalid:
        """A refusal of one field."""
        return cls.fields(FieldError(pointer, code, detail))


class PaymentRequired(DomainError):
    """There is no money left for it (402)."""

    status = 402


class Forbidden(DomainError):
    """The actor may not do this (403)."""

    status = 403


class NotFound(DomainError):
    """There is no such thing, or not for this actor (404)."""

    status = 404


class Conflict(DomainError):
    """The present state does not allow it (409)."""

    status = 409


class TooLarge(DomainError):
    """The input is larger than a stated limit (413)."""

    status = 413


class UnsupportedMedia(DomainError):
    """The content type or encoding is not one that is understood (415)."""

    status = 415


class PreconditionFailed(DomainError):
    """The thing was changed since the caller read it (412)."""

    status = 412


class PreconditionRequired(DomainError):
    """The caller has to say which version it means to change (428)."""

    status = 428


class KeyReused(DomainError):
    """The idempotency key came with another request before (422)."""

    status = 422


class Locked(DomainError):
    """Somebody has switched it off (423)."""

    status = 423
