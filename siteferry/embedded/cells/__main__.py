"""`python -m siteferry.embedded.cells <settings file>`."""

import sys

from siteferry.embedded.cells.launcher import main

if __name__ == "__main__":
    main(sys.argv[1])
