"""What ``manage.py up`` does: keeps web, worker and beat running on one machine."""
