from __future__ import annotations

from services.restorer.app import main

if __name__ == "__main__":
    main()
