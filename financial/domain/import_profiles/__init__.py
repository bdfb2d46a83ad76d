"""Import profiles: what real files of usage look like, one file here for each kind.

To add one: a module with a :class:`Profile`, its name in ``PROFILES``, a real sample in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .azure_llm_trace import AZURE_LLM_TRACE
from .burstgpt import BURSTGPT
from .generic import GENERIC
from .mooncake import MOONCAKE
from .profile import Profile

PROFILES: Final[Mapping[str, Profile]] = {
    profile.name: profile for profile in (BURSTGPT, AZURE_LLM_TRACE, MOONCAKE, GENERIC)
}
