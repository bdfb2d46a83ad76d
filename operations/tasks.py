"""Every task of the app, gathered from its rooms: Celery looks for tasks here."""
