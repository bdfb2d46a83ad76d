"""BurstGPT: ChatGPT and GPT-4 requests of a university, with their failures.

https://github.com/HPMLL/BurstGPT (CC-BY-4.0; Wang et al., BurstGPT, KDD 2025). Times are seconds
from midnight of the first day. A request with 0 response tokens failed.
"""

from __future__ import annotations

from typing import Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row
from .values import BadValue, is_blank, read_count

TOTAL: Final = "Total tokens"


def _begin() -> Completion:
    def complete(row: Row, draft: Draft) -> None:
        tokens_in, tokens_out = draft.usage.get("input_tokens"), draft.usage.get("output_tokens")
        if tokens_in is None or tokens_out is None:
            return
        if tokens_out == 0:
            draft.tags.setdefault("outcome", "failed")
        total = row.get(TOTAL)
        if is_blank(total):
            return
        try:
            differs = read_count(total) != tokens_in + tokens_out
        except BadValue as error:
            draft.errors.append(FieldError("", error.code, f"{TOTAL}: {error.detail}"))
            return
        if differs:
            draft.errors.append(
                FieldError(
                    "", "total_differs", f"{TOTAL} is {total}, but its parts are {tokens_in} + {tokens_out}."
                )
            )

    return complete


BURSTGPT: Final = Profile(
    name="burstgpt",
    title="BurstGPT request trace (CSV)",
    columns={
        "occurred_at": Column("Timestamp", required=True),
        "model": Column("Model", required=True, spellings={"ChatGPT": "gpt-3.5-turbo", "GPT-4": "gpt-4"}),
        "usage.input_tokens": Column("Request tokens", required=True),
        "usage.output_tokens": Column("Response tokens", required=True),
        "tags.log_type": Column("Log Type"),
    },
    also_read=(TOTAL,),
    defaults={"cost_type": "llm", "entity_type": "agent", "entity_id": "burstgpt", "provider": "openai"},
    assumed=("provider",),
    formats=("csv",),
    time_unit="seconds",
    relative=True,
    begin=_begin,
)
