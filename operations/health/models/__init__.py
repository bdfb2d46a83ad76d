from .health_check import HealthCheck, HealthCheckResult

__all__ = ["HealthCheck", "HealthCheckResult"]
