"""Import profiles: what real files of usage look like, one file here for each kind.

To add one: a module with a :class:`Profile`, its name in ``PROFILES``, a real sample in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .anthropic_usage import ANTHROPIC_USAGE
from .azure_llm_trace import AZURE_LLM_TRACE
from .burstgpt import BURSTGPT
from .focus import FOCUS
from .generic import GENERIC
from .litellm import LITELLM
from .mooncake import MOONCAKE
from .openai_usage import OPENAI_USAGE
from .profile import Profile

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile
    for profile in (
        *(LITELLM, OPENAI_USAGE, ANTHROPIC_USAGE, FOCUS),
        *(BURSTGPT, AZURE_LLM_TRACE, MOONCAKE, GENERIC),
    )
}
