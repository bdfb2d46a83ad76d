"""Every screen of the app, gathered from its rooms: Django looks for screens here."""
