"""One HTTP call to the service: key, problem documents, bounded retries."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from tsugiki.client.problem import refusal

Json = dict[str, Any]  # a JSON object; Any because JSON is untyped

ATTEMPTS = 4  # of one call, the first included: enough for a restart of the service behind a proxy
FIRST_PAUSE_S = 0.25  # where the service names none; doubles
LONGEST_PAUSE_S = 30.0  # a longer Retry-After is the caller's to plan, so the problem is raised at once
PAGE = 100  # objects a page: the interface's limit
CURSORS = ("id", "name", "version")  # what a list goes on after: the first of them that its objects have
TRY_AGAIN = frozenset({429, 503})  # refused, or not known to be done: its Idempotency-Key tells
TOKEN = "X-Version-Token"
STILL_RUNNING = "idempotency_in_progress"
STILL_RUNNING_S = 0.5  # between two looks at whether it still does


@dataclass(frozen=True, slots=True)
class Call:
    """One request. `reads` marks a POST that changes nothing; any other POST gets an Idempotency-Key.

    `wait_s` is how long the service was asked to take, added to the time limit.
    """

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    body: Any = None
    reads: bool = False
    wait_s: float = 0.0

    @property
    def safe_to_resend(self) -> bool:
        """Whether a request whose fate is unknown may be sent again: a second DELETE would answer 404."""
        return self.method in ("GET", "POST")

    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json"} if self.body is not None else {}
        if self.method == "POST" and not self.reads:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        return headers


class Transport:
    """Sends calls over one pool of connections. Raises TsugikiProblem, or httpx.TransportError when out of reach."""

    def __init__(self, url: str, key: str, timeout_s: float, pause: Callable[[float], None] = time.sleep) -> None:
        self._http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=timeout_s)
        self._timeout_s = timeout_s
        self._pause = pause
        self._seen = 0  # how new the newest reply was: whichever process answers next is asked to know as much

    def close(self) -> None:
        self._http.close()

    def send(self, call: Call) -> Json:
        """The reply's JSON object, empty where the reply has no body."""
        response = self._answer(call)
        return response.json() if response.content else {}

    def get(self, path: str, **params: Any) -> Json:
        return self.send(Call("GET", path, params))

    def post(self, path: str, body: Json | None = None, *, wait_s: float = 0.0) -> Json:
        return self.send(Call("POST", path, body=body if body is not None else {}, wait_s=wait_s))

    def text(self, path: str) -> str:
        return self._answer(Call("GET", path)).text

    def content(self, path: str) -> bytes:
        return self._answer(Call("GET", path)).content

    def pages(self, path: str, **params: Any) -> Iterator[Json]:
        """Every object of a list, fetched a page at a time while it is read."""
        after: str | None = None
        while True:
            page = self.get(path, **{**params, "after": after, "limit": PAGE})
            yield from page["data"]
            if not page.get("has_more") or not page["data"]:
                return
            last = page["data"][-1]
            after = str(next(last[name] for name in CURSORS if name in last))

    @contextmanager
    def stream(self, path: str, accept: str = "*/*", last_event_id: str | None = None) -> Generator[httpx.Response]:
        """An open reply, to be read piece by piece; not retried."""
        headers = {"Accept": accept} | ({"Last-Event-ID": last_event_id} if last_event_id else {})
        with self._http.stream("GET", path, headers=headers) as response:
            if not response.is_success:
                response.read()
                raise refusal(response)
            yield response

    def _answer(self, call: Call) -> httpx.Response:
        # One encoding and one key for all attempts: the service compares both.
        content = None if call.body is None else json.dumps(call.body, ensure_ascii=False, allow_nan=False).encode()
        request = self._http.build_request(
            call.method,
            call.path,
            params={name: value for name, value in call.params.items() if value is not None},
            content=content,
            headers=call.headers() | ({TOKEN: str(self._seen)} if self._seen else {}),
            timeout=self._timeout_s + call.wait_s,
        )
        attempt, waited_s = 1, 0.0
        while True:
            backoff_s = FIRST_PAUSE_S * 2 ** (attempt - 1)
            try:
                response = self._http.send(request)
            except (httpx.NetworkError, httpx.RemoteProtocolError):
                if attempt == ATTEMPTS or not call.safe_to_resend:
                    raise
                self._pause(backoff_s)
                attempt += 1
                continue
            if response.is_success:
                self._seen = max(self._seen, int(response.headers.get(TOKEN, 0)))
                return response
            if _still_running(response) and waited_s < self._timeout_s + call.wait_s:
                # No attempt of its own: what an earlier one began takes as long as it takes, and its reply is kept.
                self._pause(STILL_RUNNING_S)
                waited_s += STILL_RUNNING_S
                continue
            pause_s = _healing_s(response, backoff_s)
            if attempt == ATTEMPTS or pause_s is None:
                raise refusal(response)
            self._pause(pause_s)
            attempt += 1


def segment(name: str | int) -> str:
    """A name as one path segment."""
    return quote(str(name), safe="")


def _healing_s(response: httpx.Response, otherwise_s: float) -> float | None:
    """Seconds after which the same call may be answered; None where time heals nothing, or not soon."""
    if response.status_code in TRY_AGAIN:
        named = response.headers.get("Retry-After", "")
        pause_s = float(named) if named.isdecimal() else otherwise_s
        return pause_s if pause_s <= LONGEST_PAUSE_S else None
    return None


def _still_running(response: httpx.Response) -> bool:
    """Keys are made anew for every call: the request that still runs is an earlier attempt of this one."""
    return response.status_code == 409 and refusal(response).code == STILL_RUNNING
