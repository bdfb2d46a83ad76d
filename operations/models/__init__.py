"""Every table of the app, gathered from its rooms: Django looks for models here."""
