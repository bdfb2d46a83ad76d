"""Which model a caller means: the many spellings of providers and models, brought to one.

Used for looking prices up only; the ledger keeps the names that were sent. A name that cannot be
read with certainty is left as it is: better without a price than with another model's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple


class ModelName(NamedTuple):
    """A provider and a model in the spelling of the price catalogue, in lower case."""

    provider: str
    model: str


_SYNONYMS: Final[Mapping[str, tuple[str, ...]]] = {
    "anthropic": ("claude", "chatanthropic", "langchain.anthropic"),
    "aws": ("aws.bedrock", "bedrock", "bedrock.converse", "amazon", "amazon.bedrock", "chatbedrock",
        "chatbedrockconverse", "langchain.aws"),
    "azure": (
        "azure.openai", "azure.ai", "azure.ai.openai", "azure.ai.inference", "azure.ai.foundry",
        "az.ai.openai", "az.ai.inference", "az.ai.agents", "azure.ai.agents", "microsoft.foundry",
        "azureopenai", "azurechatopenai",
    ),
    "cloudflare": ("workers.ai", "cloudflare.workers.ai"),
    "cohere": (),
    "deepseek": (),
    "fireworks": ("fireworks.ai",),
    "github-copilot": ("copilot",),
    "google": (
        "gemini", "gcp", "gcp.gemini", "gcp.gen.ai", "gcp.vertex.ai", "google.ai.studio", "google.genai",
        "google.generative.ai", "google.gla", "google.vertex", "google.vertex.ai", "google.vertexai",
        "vertex", "vertex.ai", "vertexai", "google.vertex.anthropic", "googlegenai", "googleai",
        "chatgooglegenerativeai",
        "chatvertexai", "langchain.google.genai", "langchain.google.vertexai",
    ),
    "groq": (),
    "mistral": ("mistral.ai", "mistralai"),
    "moonshotai": ("moonshot", "moonshot.ai"),
    "novita": ("novita.ai",),
    "openai": ("open.ai", "chatopenai", "langchain.openai"),
    "openrouter": ("openrouter.ai",),
    "perplexity": ("perplexity.ai",),
    "together": ("together.ai", "togetherai"),
    "voyageai": ("voyage", "voyage.ai"),
    "x-ai": ("xai",),
    "zai": ("z.ai",),
    "zhipuai": ("zhipu", "zhipu.ai"),
}  # fmt: skip
"""Spellings of a provider beside its own, with any of space, ``.``, ``_``, ``/`` and ``-`` as a dot."""

_OTHER_PROVIDERS: Final = (
    "arcee", "avian", "baseten", "cerebras", "cursor", "databricks", "elevenlabs", "meta", "minimax", "modal",
    "ovhcloud",
)  # fmt: skip

# Instrumentation names the API used as part of the provider: "openai.chat", "anthropic.messages".
_API_WORDS: Final = frozenset(
    {"api", "beta", "chat", "completion", "completions", "embedding", "embeddings", "messages", "responses"}
)

_GATEWAYS: Final = frozenset({"", "litellm", "litellm.proxy", "langchain", "strands.agents", "unknown"})
"""Names that say which software made the call, not who is paid for it."""

_FAMILIES: Final = (
    ("openai", re.compile(r"(ft:)?(gpt-|chatgpt-|o[134](-|$)|text-embedding-|davinci|babbage)")),
    ("anthropic", re.compile(r"claude-")),
    ("google", re.compile(r"gemini-")),
    ("x-ai", re.compile(r"grok-")),
    ("deepseek", re.compile(r"deepseek-(chat|reasoner|v\d)")),
    ("cohere", re.compile(r"command-")),
    ("mistral", re.compile(r"(mi|code|dev|magi|mini)stral-")),
    ("google", re.compile(r"((publishers/google|projects/[^/]+/.*)/)?models/gemini-")),
    (
        "aws",
        re.compile(
            r"((us|us-gov|eu|apac|jp|au|ca|global)\.)?"
            r"(ai21|amazon|anthropic|cohere|deepseek|meta|mistral|openai|qwen|writer)\.[a-z]"
            r"|arn:aws[a-z-]*:bedrock:"
        ),
    ),
)
"""Who sells a model under its bare name; asked only when the caller names no provider."""

_SEPARATORS: Final = re.compile(r"[\s._/-]+")
_AWS_REGION: Final = re.compile(r"[a-z]{2}(-[a-z]+)+-\d+$")
_ARN: Final = re.compile(r"arn:aws[a-z-]*:bedrock:[^:]*:[^:]*:(inference-profile|foundation-model)/(.+)$")


def _dotted(name: str) -> str:
    return _SEPARATORS.sub(".", name.strip().lower()).strip(".")


_PROVIDERS: Final[Mapping[str, str]] = {
    _dotted(spelling): provider
    for provider, spellings in (*_SYNONYMS.items(), *((name, ()) for name in _OTHER_PROVIDERS))
    for spelling in (provider, *spellings)
}


def _known_provider(name: str) -> str | None:
    dotted = _dotted(name)
    while dotted:
        if provider := _PROVIDERS.get(dotted):
            return provider
        head, _, last = dotted.rpartition(".")
        if last not in _API_WORDS:
            return None
        dotted = head
    return None


def normalise_provider(provider: str) -> str:
    """The catalogue's name of ``provider``; an unknown one in lower case, a gateway as an empty string."""
    if known := _known_provider(provider):
        return known
    return "" if _dotted(provider) in _GATEWAYS else provider.strip().lower()


def normalise(provider: str, model: str) -> ModelName:
    """The provider and model in the catalogue's spelling.

    - Case, outer white space and provider synonyms (among them OpenTelemetry's ``gen_ai.provider.name``
      values and their deprecated forms) are evened out.
    - A route in front of the model (``azure/gpt-4o``) is the provider when the caller names none, names
      a gateway, or names OpenAI, whose client is pointed at every gateway; it is dropped when it repeats
      the provider; elsewhere it belongs to the model's name (``openai/gpt-4o`` on OpenRouter).
    - Resource names of Google and AWS, regions of Bedrock routes included, are reduced to the model.
    - Region prefixes (``us.anthropic.…``), dates and ``ft:`` stay: they have prices of their own.
    """
    # What Claude Code adds for its longer context is the same model.
    model = model.strip().lower()
    while model.endswith("[1m]"):
        model = model.removesuffix("[1m]").rstrip()
    name = ModelName(normalise_provider(provider), model)
    # Each step shortens the model or finds the provider, so that this ends.
    while (next_name := _step(*name)) != name:
        name = next_name
    return name


def _step(provider: str, model: str) -> ModelName:
    route, _, inner = model.partition("/")
    if inner:
        routed = _known_provider(route)
        if routed is not None and (routed == provider or provider in ("", "openai")):
            return ModelName(routed, inner)
        if provider == "aws" and (route in ("converse", "invoke") or _AWS_REGION.match(route)):
            return ModelName(provider, inner)
    if provider == "google":
        return ModelName(provider, model.rpartition("models/")[2] or model)
    if provider == "aws" and (arn := _ARN.match(model)):
        return ModelName(provider, arn.group(2))
    if not provider:
        return ModelName(next((seller for seller, family in _FAMILIES if family.match(model)), ""), model)
    return ModelName(provider, model)


_TIERS: Final[Mapping[str, str]] = {"": "standard", "default": "standard", "on_demand": "standard"}


def normalise_tier(service_tier: str) -> str:
    """The service tier in lower case; an absent one and a provider's default are ``standard``."""
    tier = service_tier.strip().lower()
    return _TIERS.get(tier, tier)
