"""What other apps call: ``operations.notify(operations.Notice(…))``."""

from .notices import Notice, notify

__all__ = ["Notice", "notify"]
