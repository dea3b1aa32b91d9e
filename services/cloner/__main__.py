from __future__ import annotations

from services.cloner.app import main

if __name__ == "__main__":
    main()
