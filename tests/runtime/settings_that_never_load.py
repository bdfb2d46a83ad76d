"""Settings of a server that is still loading when it is stopped."""

from __future__ import annotations

import threading

print("loading", flush=True)
threading.Event().wait()
