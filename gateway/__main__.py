"""``python -m gateway``: the gateway as a process; see :mod:`gateway.process`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    # Here, because the processes that decode pictures load this file, too, and need none of it.
    from gateway.process import main

    sys.exit(main())
