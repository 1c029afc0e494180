"""The search page: three files, served with digests in their addresses so that browsers keep them for ever."""

import hashlib
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from lookalike.errors import ObjectNotFound
from services.gateway.guarded_route import GuardedRoute
from services.gateway.headers import PAGE_POLICY

router = APIRouter(include_in_schema=False, route_class=GuardedRoute)
_TYPES = {"app.js": "text/javascript; charset=utf-8", "style.css": "text/css; charset=utf-8"}
_FOLDER = files("services.gateway").joinpath("web")
_FILES = {name: _FOLDER.joinpath(name).read_bytes() for name in _TYPES}
_DIGESTS = {name: hashlib.sha256(data).hexdigest()[:16] for name, data in _FILES.items()}

STYLE = f"/web/style.css?{_DIGESTS['style.css']}"


def _page() -> bytes:
    text = _FOLDER.joinpath("index.html").read_text(encoding="utf-8")
    for name, digest in _DIGESTS.items():
        text = text.replace(f'"web/{name}"', f'"web/{name}?{digest}"')
    return text.encode()


_PAGE = _page()
_PAGE_TAG = f'"{hashlib.sha256(_PAGE).hexdigest()[:32]}"'


@router.get("/")
async def page(request: Request) -> Response:
    """The page itself is asked for anew each time, which costs nothing while it stays the same."""
    headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-cache", "ETag": _PAGE_TAG}
    if request.headers.get("if-none-match") == _PAGE_TAG:
        return Response(status_code=304, headers=headers)
    return Response(_PAGE, media_type="text/html; charset=utf-8", headers=headers)


@router.get("/web/{name}")
async def asset(name: str) -> Response:
    """Script and style."""
    if name not in _FILES:
        raise ObjectNotFound(f"no file {name!r:.100}")
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(_FILES[name], media_type=_TYPES[name], headers=headers)


@router.get("/favicon.ico")
async def icon() -> Response:
    """None: the page carries its own."""
    return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})
