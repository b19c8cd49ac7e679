"""`python -m broker.gateway`."""

import sys

from broker.gateway.main import main

sys.exit(main())
