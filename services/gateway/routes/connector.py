"""GET /connector.zip."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.responses import Response

router = APIRouter(tags=["clone"])


@router.get(
    "/connector.zip",
    operation_id="downloadConnector",
    summary="Download the connector plugin",
    response_class=Response,
    responses={200: {"description": "A plugin to upload in wp-admin", "content": {"application/zip": {}}}},
)
async def download_connector() -> Response:
    """The connector for sites where nobody can sign in for you (two-factor, captcha, single sign-on).

    Install it by hand; its page in wp-admin shows a pairing key to send as `pairing_key`.
    """
    from shared.wordpress.connector.package import build_connector_zip

    archive = await asyncio.to_thread(build_connector_zip, None, None, None)
    headers = {"Content-Disposition": 'attachment; filename="siteferry-connector.zip"'}
    return Response(archive, headers=headers, media_type="application/zip")
