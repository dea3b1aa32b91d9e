"""`python -m siteferry.pod PART`: what the containers of a clone's Pod run; and `dialect FILE`, for building images."""

import sys

from siteferry.pod import agent, database, dialect, web

PARTS = {"agent": agent.main, "database": database.main, "dialect": dialect.main, "web": web.main}


if __name__ == "__main__":
    PARTS[sys.argv[1]]()
