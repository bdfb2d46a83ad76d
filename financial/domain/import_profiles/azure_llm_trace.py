"""The LLM inference traces of Azure: when a request came and how many tokens went in and out.

https://github.com/Azure/AzurePublicDataset (CC-BY-4.0; Patel et al., Splitwise, ISCA 2024). Times
are UTC. The traces do not say which model answered.
"""

from __future__ import annotations

from typing import Final

from .profile import Column, Profile

AZURE_LLM_TRACE: Final = Profile(
    name="azure-llm-trace",
    title="Azure LLM inference trace (CSV)",
    columns={
        "occurred_at": Column("TIMESTAMP", required=True),
        "usage.input_tokens": Column("ContextTokens", required=True),
        "usage.output_tokens": Column("GeneratedTokens", required=True),
    },
    defaults={
        "cost_type": "llm",
        "entity_type": "agent",
        "entity_id": "azure-llm-trace",
        "provider": "openai",
        "model": "gpt-4",
    },
    assumed=("provider", "model"),
    formats=("csv",),
    naive_utc=True,
)
