"""Who is paid for a call and for which model, in the names of the price book."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from financial.domain.model_names import ModelName, normalise

SOFTWARE: Final = frozenset(
    {
        "strands-agents", "langchain", "langgraph", "llama_index", "llamaindex", "crewai", "autogen", "ag2",
        "haystack", "dspy", "smolagents", "agno", "semantic_kernel", "microsoft.agent_framework",
        "agent_framework", "pydantic_ai", "pydantic-ai", "gcp.vertex.agent", "google_adk", "litellm",
        "litellm_proxy", "openai_agents", "openai-agents", "function", "genericfakechatmodel",
        "fakelistchatmodel", "fakemessageslistchatmodel", "vercel", "ai", "mcp", "custom",
        "gateway", "ai_gateway", "vercel_ai_gateway", "portkey", "helicone", "kong", "spring_ai", "mastra",
        "microsoft_agent_framework", "langchain4j", "haystack-ai", "browser_use", "openhands",
    }
)  # fmt: skip
"""Values of the provider that name the software that made the call: the model then tells who sells it."""


@lru_cache(maxsize=4096)
def seller(provider: str, model: str) -> ModelName:
    """Provider and model as the price book spells them; an empty provider when nobody can tell."""
    return normalise("" if provider.strip().lower() in SOFTWARE else provider, model)
