"""What all tests share."""

from __future__ import annotations

import os
import shutil

from hypothesis import settings

# A run that decides whether something lands tries the same examples each time; every other run
# looks for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

# Whatever account or tunnel this machine has: no test sees it, so none calls anybody.
for _name in [*os.environ]:
    if _name.startswith(("TWILIO_", "NGROK_", "TWISTREAM_PUBLIC_URL", "TWISTREAM_CALL_TO")):
        del os.environ[_name]
os.environ["TWISTREAM_ENV_FILE"] = ""
os.environ["PATH"] = os.pathsep.join(
    place
    for place in os.environ.get("PATH", "").split(os.pathsep)
    if not shutil.which("cloudflared", path=place)
)
