from __future__ import annotations

from services.status.app import main

if __name__ == "__main__":
    main()
