import sys

from dashboard.app import main

sys.exit(main(sys.argv[1:]))
