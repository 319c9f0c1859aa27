"""Open files: as many as the connections need, and some that no client can take.

Service managers start a process with 1,024. Clients could hold them all, and then neither a watermark can be
written nor a vault be reached.
"""

import logging
import resource

logger = logging.getLogger("signatory")

LISTENERS = 2
BACKLOG = 256
"""Connections of one listener that the kernel keeps while we are busy, and that are accepted at one go."""
RESERVE = 256
"""For marks, vaults, logs and what else a daemon opens."""


def fitting(connections: int) -> int:
    """How many of so many connections each listener may hold, after the limit on open files was raised."""
    wanted = LISTENERS * (connections + BACKLOG) + RESERVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    room = max(1, (soft - RESERVE) // LISTENERS - BACKLOG)
    logger.warning(
        "Only %d open files are allowed: each listener holds %d connections, not %d", soft, room, connections
    )
    return room
