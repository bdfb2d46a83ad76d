"""A stop while the web server is still loading the application.

granian forks its workers with the signal handlers of its main process, and gives them their own only when the
application is loaded: a SIGTERM that comes before is taken for one to the main process, and forgotten.
"""

import multiprocessing
import signal


def stop_while_loading() -> None:
    """In a worker of granian: let SIGTERM end it until the server sets its own handler."""
    if multiprocessing.current_process().name == "granian-worker":
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
