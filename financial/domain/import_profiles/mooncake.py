"""Mooncake: requests to a chat service, with the prefix blocks that a cache could have answered.

https://github.com/kvcache-ai/Mooncake (Apache-2.0; Qin et al., Mooncake, FAST 2025). Times are
milliseconds from the start. Each of ``hash_ids`` names a block of 512 prompt tokens together with
everything before it, so equal leading ids are a shared prefix. With a cache that never forgets,
the leading blocks seen in earlier rows are cache reads.
"""

from __future__ import annotations

from typing import Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row

BLOCK_TOKENS: Final = 512
HASH_IDS: Final = "hash_ids"
_PAGE_BITS: Final = 1024


class SeenBlocks:
    """The block ids met so far, as pages of bits: ids are handed out densely, 8 to a byte."""

    def __init__(self) -> None:
        self._pages: dict[int, int] = {}

    def leading(self, ids: list[int]) -> int:
        """How many of ``ids``, from the first on, have been seen before; all of them are seen now."""
        count, unbroken = 0, True
        pages = self._pages
        new: list[int] = []
        for block in ids:
            page, bit = divmod(block, _PAGE_BITS)
            if not pages.get(page, 0) >> bit & 1:
                unbroken = False
                new.append(block)
            elif unbroken:
                count += 1
        for block in new:
            page, bit = divmod(block, _PAGE_BITS)
            pages[page] = pages.get(page, 0) | 1 << bit
        return count


def _begin() -> Completion:
    seen = SeenBlocks()

    def complete(row: Row, draft: Draft) -> None:
        ids = row.get(HASH_IDS)
        if not isinstance(ids, list) or not all(type(block) is int and 0 <= block < 2**63 for block in ids):
            draft.errors.append(FieldError("", "not_block_ids", f"{HASH_IDS} is not a list of block ids."))
            return
        cached = seen.leading(ids) * BLOCK_TOKENS
        tokens_in = draft.usage.get("input_tokens")
        if tokens_in is not None:
            # The last block of a prompt is rarely full.
            draft.usage.setdefault("cache_read_tokens", min(cached, tokens_in))

    return complete


MOONCAKE: Final = Profile(
    name="mooncake",
    title="Mooncake request trace (JSON Lines)",
    columns={
        "occurred_at": Column("timestamp", required=True),
        "usage.input_tokens": Column("input_length", required=True),
        "usage.output_tokens": Column("output_length", required=True),
    },
    also_read=(HASH_IDS,),
    defaults={
        "cost_type": "llm",
        "entity_type": "agent",
        "entity_id": "mooncake",
        "provider": "moonshotai",
        "model": "kimi-k2-0905-preview",
    },
    assumed=("provider", "model"),
    formats=("jsonl",),
    time_unit="milliseconds",
    relative=True,
    stateful=True,
    begin=_begin,
)
