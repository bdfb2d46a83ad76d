"""Rules of health checks, without a framework."""
