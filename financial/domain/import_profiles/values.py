"""Reading single values: numbers, times and texts as files hold them."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final, Literal

import msgspec

_WHOLE: Final = re.compile(r"(\d{1,18})(?:\.0*)?\Z", re.ASCII)
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,12})?\Z", re.ASCII)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)
_MICROSECONDS: Final = {"seconds": 1_000_000, "milliseconds": 1_000}
_MAX_DIGITS: Final = 60
_PLACES: Final = 9
# Numbers with a fraction are kept as they are written: money must not pass through a float.
_json: Final = msgspec.json.Decoder(float_hook=str)
UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BadValue(ValueError):
    """A value that cannot be read as what its column stands for; ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def is_blank(value: Any) -> bool:
    """Whether a cell holds nothing: absent, null, or white space."""
    return value is None or (isinstance(value, str) and not value.strip())


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f'"{text[:40]}…"' if len(text) > 40 else f'"{text}"'


def read_text(value: Any) -> str:
    """A text without the white space around it; numbers and booleans as JSON writes them."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise BadValue("not_a_text", f"{_shown(value)} is not a text.")


def read_count(value: Any) -> int:
    """A whole number of 0 or more; ``"12.0"`` is 12, as spreadsheets and data frames write it."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise BadValue("negative", f"{value} is negative.")
        return value
    if isinstance(value, str):
        if match := _WHOLE.match(value.strip()):
            return int(match.group(1))
        if value.strip().startswith("-"):
            raise BadValue("negative", f"{_shown(value)} is negative.")
    raise BadValue("not_a_count", f"{_shown(value)} is not a whole number.")


def read_amount(value: Any) -> str:
    """An amount as the API takes it: plain digits. ``1.5e-05`` is written out, nothing is rounded."""
    text = read_text(value)
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise BadValue("not_an_amount", f"{_shown(value)} is not an amount.") from None
    if not number.is_finite() or "_" in text:
        raise BadValue("not_an_amount", f"{_shown(value)} is not an amount.")
    if abs(number.adjusted()) > _MAX_DIGITS or len(number.as_tuple().digits) > _MAX_DIGITS:
        raise BadValue("too_large", f"{_shown(value)} has too many digits.")
    plain = format(number, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def round_amount(text: str) -> str:
    """A plain decimal rounded half-even to the 9 places that the ledger keeps."""
    number = Decimal(text)
    if int(number.as_tuple().exponent) >= -_PLACES:
        return text
    with localcontext(prec=2 * _MAX_DIGITS):
        rounded = round(number, _PLACES)
    return read_amount(format(rounded if rounded else abs(rounded), "f"))


def read_object(value: Any) -> dict[str, Any]:
    """A JSON object, or its text as it stands in a cell; a blank cell is an empty one."""
    if is_blank(value):
        return {}
    if isinstance(value, str):
        value = _decode(value)
    if not isinstance(value, dict):
        raise BadValue("not_an_object", f"{_shown(value)} is not a JSON object.")
    return value


def read_list(value: Any) -> list[Any]:
    """A JSON list, or its text as it stands in a cell; a blank cell is an empty one."""
    if is_blank(value):
        return []
    if isinstance(value, str):
        value = _decode(value)
    if not isinstance(value, list):
        raise BadValue("not_a_list", f"{_shown(value)} is not a JSON list.")
    return value


def _decode(text: str) -> Any:
    try:
        return _json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadValue("not_json", f"{_shown(text)} is not JSON.") from None


def read_time(
    value: Any,
    *,
    unit: Literal["seconds", "milliseconds"],
    origin: datetime | None,
    naive_utc: bool,
) -> datetime:
    """An aware time: ISO 8601, or a number of ``unit`` after ``origin``.

    Digits finer than a microsecond are cut off.
    """
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise BadValue("not_a_time", f"{_shown(value)} is not a time.")
    text = text.strip()
    if _NUMBER.match(text):
        if origin is None:
            raise BadValue("no_time_origin", f"{_shown(value)} is a number, and no time origin is given.")
        try:
            return origin + timedelta(microseconds=int(Decimal(text) * _MICROSECONDS[unit]))
        except OverflowError:
            raise BadValue("not_a_time", f"{_shown(value)} {unit} is too far away.") from None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadValue("not_a_time", f"{_shown(value)} is not a time such as 2026-11-02T10:11:12Z.") from None
    if moment.tzinfo is None:
        if not naive_utc:
            raise BadValue("no_time_zone", f"{_shown(value)} has no time zone: add Z or an offset.")
        return moment.replace(tzinfo=UTC)
    return moment


def parse_time_origin(text: str) -> datetime:
    """A time origin: a date (its midnight UTC) or an ISO 8601 time with a zone; :class:`BadValue` else."""
    if _DATE.match(text.strip()):
        try:
            return datetime.combine(date.fromisoformat(text.strip()), time(), UTC)
        except ValueError:
            raise BadValue("not_a_time", f"{_shown(text)} is not a date.") from None
    return read_time(text, unit="seconds", origin=None, naive_utc=False)
