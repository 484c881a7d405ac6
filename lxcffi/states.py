"""What a container can be doing."""

from __future__ import annotations

from typing import Literal, TypeAlias

State: TypeAlias = Literal["STOPPED", "STARTING", "RUNNING", "STOPPING", "ABORTING", "FREEZING", "FROZEN", "THAWED"]
