"""What all tests share."""

from __future__ import annotations

import os

from hypothesis import settings

# A run that decides whether something lands tries the same examples each time; every other run
# looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
