from typing import Any


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    return {"version": 1, "disable_existing_loggers": False}
