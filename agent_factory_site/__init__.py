"""The front door and the shared kernel of Agent Factory."""
