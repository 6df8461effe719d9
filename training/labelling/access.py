"""Who may talk to the labelling page: this machine by default, else who has the token.

- Bound to a loopback address, the page answers only to loopback names in the Host header: a foreign page whose name is
  made to point here (DNS rebinding) is refused.
- Bound to any other address it asks for a token, once in the address, from then on in a cookie that no other site's
  request carries (SameSite=Strict) and no script can read.
- What changes something must carry a header that a foreign page cannot send without being asked first, and come from
  this origin (Cross-Site Request Forgery).
- Bodies are bounded; every answer says that nothing but this page's own files may be loaded, framed or kept.
"""

import hmac
import ipaddress
import json
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = "x-samx"
COOKIE = "samx_labelling"
MAX_BODY_BYTES = 1_000_000
PROBLEM = "application/problem+json"

_READING_METHODS = ("GET", "HEAD")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether an address or name to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def problem(status: int, code: str, detail: str, **more: object) -> Response:
    """An error as RFC 9457 asks for."""
    titles = {403: "Not allowed", 404: "Not found", 409: "Not as things are", 413: "Too large", 422: "Not understood"}
    content = {"status": status, "title": titles.get(status, "Failed"), "detail": detail, "code": code, **more}
    return Response(json.dumps(content), status, media_type=PROBLEM)


class Access:
    """Wraps the application.

    Args:
        app: the application.
        token: what visitors must know; None where only this machine can reach the page.
    """

    def __init__(self, app: ASGIApp, *, token: str | None) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI interface."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=list(message.get("headers", [])))
                for name, value in _SECURITY_HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                message = {**message, "headers": headers.raw}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = urlsplit(f"//{headers.get('host', '')}")
        if self._token is None:
            if host.hostname not in _LOOPBACK_NAMES:
                return problem(403, "forbidden", "This page answers to its own machine alone.")
        elif scope["path"] != "/livez":
            offered = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
            if scope["path"] == "/" and offered and self._knows(offered):
                welcome = RedirectResponse("/", status_code=303)
                welcome.set_cookie(COOKIE, offered, httponly=True, samesite="strict")
                return welcome
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
            if cookie is None or not self._knows(cookie.value):
                return problem(403, "forbidden", "Open the page by the address with the token that the server printed.")
        if scope["method"] not in _READING_METHODS:
            return _refusal_to_change(headers)
        return None

    def _knows(self, offered: str) -> bool:
        return self._token is not None and hmac.compare_digest(offered.encode(), self._token.encode())


def _refusal_to_change(headers: Headers) -> Response | None:
    origin = headers.get("origin")
    if HEADER not in headers or headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return problem(403, "forbidden", "Only the page itself may decide.")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return problem(403, "forbidden", "Only the page itself may decide.")
    if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return problem(422, "invalid_decision", "A decision is JSON.")
    length = headers.get("content-length", "")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        return problem(413, "too_large", f"A decision has a Content-Length of at most {MAX_BODY_BYTES} bytes.")
    return None
