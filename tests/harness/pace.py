"""How slow this machine is now, which the runner measures as well."""

from workshop.core.pace import Watch as Watch
from workshop.core.pace import measure as measure
from workshop.core.pace import slowness as slowness
