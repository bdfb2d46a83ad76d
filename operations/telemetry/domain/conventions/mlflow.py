"""MLflow: every attribute is a JSON text. Its total is the sum of what the provider called input and output."""

from __future__ import annotations

from typing import Final

from .convention import Convention

MLFLOW: Final = Convention(
    "mlflow",
    kind=("mlflow.spanType",),
    kinds={
        "llm": "inference",
        "chat_model": "inference",
        "embedding": "embedding",
        "tool": "tool",
        "agent": "agent",
        "chain": "workflow",
        "workflow": "workflow",
        "task": "workflow",
        "retriever": "retrieval",
        "reranker": "retrieval",
        "parser": "other",
        "memory": "other",
        "evaluator": "other",
        "guardrail": "other",
    },
    unlisted="other",
    names={
        "provider": ("mlflow.llm.provider",),
        "model": ("mlflow.llm.model",),
        "user": ("mlflow.trace.user",),
        "session": ("mlflow.trace.session",),
    },
    objects={"mlflow.llm.cost": {"total_cost": "cost"}},
    marks=("mlflow.spanType",),
    scopes=("mlflow",),
)

USAGE: Final = "mlflow.chat.tokenUsage"
