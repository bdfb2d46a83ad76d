"""One model, many spellings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.model_names import ModelName, normalise, normalise_provider, normalise_tier
from financial.services.price_catalogue import catalogue_names, find_in_catalogue

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("provider", "model", "expected"),
    [
        ("openai", "gpt-4o", ("openai", "gpt-4o")),
        (" OpenAI ", " GPT-4o\n", ("openai", "gpt-4o")),
        ("openai", "openai/gpt-4o", ("openai", "gpt-4o")),
        ("openai.chat", "gpt-4o", ("openai", "gpt-4o")),
        ("openai_responses", "gpt-4o", ("openai", "gpt-4o")),
        ("azure", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("azure_openai", "gpt-4o", ("azure", "gpt-4o")),
        ("az.ai.openai", "gpt-4o", ("azure", "gpt-4o")),
        ("azure.ai.inference", "gpt-4o", ("azure", "gpt-4o")),
        # The OpenAI client pointed at a gateway: the route says who is paid.
        ("openai", "azure/gpt-4o", ("azure", "gpt-4o")),
        ("openai", "anthropic/claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("openai", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("litellm", "vertex_ai/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("litellm_proxy", "gpt-4o", ("openai", "gpt-4o")),
        ("langchain", "claude-sonnet-4-5", ("anthropic", "claude-sonnet-4-5")),
        ("", "gemini/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("", "o3-mini", ("openai", "o3-mini")),
        ("", "ft:gpt-4o-2024-08-06:org::id", ("openai", "ft:gpt-4o-2024-08-06:org::id")),
        # Where it is part of the model's name it stays.
        ("openrouter", "openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("openrouter", "openrouter/openai/gpt-4o", ("openrouter", "openai/gpt-4o")),
        ("groq", "openai/gpt-oss-20b", ("groq", "openai/gpt-oss-20b")),
        ("together_ai", "meta-llama/Llama-3-70b-chat-hf", ("together", "meta-llama/llama-3-70b-chat-hf")),
        ("fireworks_ai", "accounts/fireworks/models/x", ("fireworks", "accounts/fireworks/models/x")),
        # A region of Azure costs otherwise: not to be dropped.
        ("azure", "azure/eu/gpt-4o", ("azure", "eu/gpt-4o")),
        ("gcp.vertex_ai", "gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("gcp.gemini", "models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        ("vertex_ai", "publishers/google/models/gemini-2.5-pro", ("google", "gemini-2.5-pro")),
        (
            "google",
            "projects/p/locations/us/publishers/anthropic/models/claude-sonnet-4-5@20250929",
            ("google", "claude-sonnet-4-5@20250929"),
        ),
        ("aws.bedrock", "us.anthropic.claude-x-v1:0", ("aws", "us.anthropic.claude-x-v1:0")),
        ("bedrock", "bedrock/converse/us.anthropic.claude-x-v1:0", ("aws", "us.anthropic.claude-x-v1:0")),
        ("bedrock", "bedrock/us-west-2/anthropic.claude-v2", ("aws", "anthropic.claude-v2")),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x-v1:0",
            ("aws", "us.anthropic.claude-x-v1:0"),
        ),
        (
            "aws",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            ("aws", "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc"),
        ),
        ("x_ai", "grok-4", ("x-ai", "grok-4")),
        ("xai", "xai/grok-4", ("x-ai", "grok-4")),
        ("mistral_ai", "mistral-large-latest", ("mistral", "mistral-large-latest")),
        ("github_copilot", "gpt-4o", ("github-copilot", "gpt-4o")),
        # Unknown providers are left alone, whatever their names contain.
        ("My-OpenAI-Proxy", "GPT-4o", ("my-openai-proxy", "gpt-4o")),
        ("vllm", "meta/llama", ("vllm", "meta/llama")),
        ("", "llama3", ("", "llama3")),
        ("openai", "openai/", ("openai", "openai/")),
    ],
)
def test_names_are_read(provider, model, expected):
    assert normalise(provider, model) == ModelName(*expected)


@pytest.mark.parametrize(
    ("value", "provider"),
    # The values of gen_ai.provider.name in OpenTelemetry's GenAI conventions, with the deprecated ones.
    [
        ("anthropic", "anthropic"),
        ("aws.bedrock", "aws"),
        ("azure.ai.inference", "azure"),
        ("azure.ai.openai", "azure"),
        ("az.ai.inference", "azure"),
        ("az.ai.openai", "azure"),
        ("cohere", "cohere"),
        ("deepseek", "deepseek"),
        ("gcp.gemini", "google"),
        ("gcp.gen_ai", "google"),
        ("gcp.vertex_ai", "google"),
        ("gemini", "google"),
        ("groq", "groq"),
        ("mistral_ai", "mistral"),
        ("moonshot_ai", "moonshotai"),
        ("openai", "openai"),
        ("perplexity", "perplexity"),
        ("vertex_ai", "google"),
        ("x_ai", "x-ai"),
        ("xai", "x-ai"),
        ("ibm.watsonx.ai", "ibm.watsonx.ai"),
    ],
)
def test_opentelemetry_provider_names_are_read(value, provider):
    assert normalise_provider(value) == provider


def test_every_provider_of_the_catalogue_keeps_its_name():
    providers = {name.provider for name in catalogue_names()}
    assert {name: normalise_provider(name) for name in providers} == {name: name for name in providers}


def test_every_model_of_the_catalogue_is_found_by_its_normalised_name_as_by_its_own():
    differing = []
    for name in catalogue_names():
        plain = ModelName(name.provider, name.model.lower())
        if find_in_catalogue(normalise(*name)) != find_in_catalogue(plain):
            differing.append(name)
    # Perplexity sells "sonar" over two APIs under names that differ by their prefix alone.
    assert differing == [("perplexity", "perplexity/sonar")]


@pytest.mark.parametrize(
    ("tier", "expected"),
    [
        ("", "standard"),
        ("default", "standard"),
        (" Batch ", "batch"),
        ("auto", "auto"),
        ("batched", "batched"),
    ],
)
def test_a_tier_is_standard_only_when_that_is_said_or_nothing_is(tier, expected):
    assert normalise_tier(tier) == expected


@given(st.text(max_size=40), st.text(max_size=80))
def test_normalised_names_stay_as_they_are(provider, model):
    once = normalise(provider, model)
    assert normalise(*once) == once


@given(st.text(max_size=300))
def test_any_text_is_read_without_failing(text):
    name = normalise(text, text)
    assert len(name.model) <= len(text.lower())


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", ("aws", "us.anthropic.claude-sonnet-4-20250514-v1:0")),
        ("amazon.nova-lite-v1:0", ("aws", "amazon.nova-lite-v1:0")),
        (
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/eu.anthropic.claude-3-haiku-20240307-v1:0",
            ("aws", "eu.anthropic.claude-3-haiku-20240307-v1:0"),
        ),
        ("models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("publishers/google/models/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("claude-sonnet-4-5[1m]", ("anthropic", "claude-sonnet-4-5")),
        ("claude-sonnet-4-5 [1m][1M] ", ("anthropic", "claude-sonnet-4-5")),
        ("my.own-model", ("", "my.own-model")),
    ],
)
def test_the_spelling_of_a_model_alone_tells_who_sells_it(model: str, found: tuple[str, str]) -> None:
    assert normalise("", model) == found


@pytest.mark.parametrize(
    ("spelling", "provider"),
    [
        ("az.ai.agents", "azure"), ("AzureOpenAI", "azure"), ("AzureChatOpenAI", "azure"),
        ("ChatOpenAI", "openai"), ("langchain_openai", "openai"), ("ChatAnthropic", "anthropic"),
        ("ChatBedrockConverse", "aws"), ("langchain_aws", "aws"), ("GoogleGenAI", "google"),
        ("google.vertex.anthropic.messages", "google"), ("ChatVertexAI", "google"),
    ],
)  # fmt: skip
def test_what_frameworks_call_providers(spelling: str, provider: str) -> None:
    assert normalise_provider(spelling) == provider
