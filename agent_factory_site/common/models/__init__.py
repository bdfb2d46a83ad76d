from .allowed_network import AllowedNetwork
from .api_key import ApiKey
from .audit_event import AuditEvent
from .audited import AuditedManager, AuditedModel, AuditedQuerySet
from .entity import Entity
from .idempotency import IdempotencyRecord
from .job import Job
from .lease import Lease
from .metric_sample import MetricSample, MetricSeries, MetricWatch
from .outbox import OutboxDelivery, OutboxMessage
from .task_outcome import TaskOutcome
from .team import Team
from .user import User

__all__ = [
    "AllowedNetwork",
    "ApiKey",
    "AuditEvent",
    "AuditedManager",
    "AuditedModel",
    "AuditedQuerySet",
    "Entity",
    "IdempotencyRecord",
    "Job",
    "Lease",
    "MetricSample",
    "MetricSeries",
    "MetricWatch",
    "OutboxDelivery",
    "OutboxMessage",
    "TaskOutcome",
    "Team",
    "User",
]
