"""The floor of `submit-latency`: a FastAPI app that validates the same body and does nothing with it."""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI

from services.gateway.models import CloneRequest

app = FastAPI()


@app.post("/clone", status_code=202)
async def accept(wish: CloneRequest) -> dict[str, str]:
    return {"job_id": "clone-0000000000000000", "status": "pending", "status_url": "/jobs/clone-0000000000000000"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="error")
