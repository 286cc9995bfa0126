"""The demo as a client of the HTTP interface: with the URL and an API key, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from custody_app.demo_programs import DemoFailed
from custody_app.story import Story

_ANSWERS_WITHIN_S = 15.0


class Client:
    """Calls `/v1` of one service. `url` has no path."""

    def __init__(self, story: Story, url: str, api_key: str) -> None:
        self.url = url
        self._story = story
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {api_key}"

    def post(self, path: str, body: Mapping[str, str], *, idempotency_key: str) -> Any:
        """What was made. The request is shown. Raises `DemoFailed` when it is refused."""
        self._story.request("POST", path, body)
        return self._answer("POST", f"/v1{path}", json=body, headers={"Idempotency-Key": idempotency_key})

    def get(self, path: str, **query: str) -> Any:
        """What is there, without showing that it was looked at. Raises `DemoFailed` when it is refused."""
        return self._answer("GET", f"/v1{path}", params=query)

    def is_ready(self) -> bool:
        """What `/readyz` says."""
        return self._send("GET", "/readyz").ok

    def close(self) -> None:
        """Lets go of connections."""
        self._session.close()

    def _answer(self, method: str, path: str, **options: Any) -> Any:
        response = self._send(method, path, **options)
        if not response.ok:
            raise DemoFailed(f"{method} {path} was refused: {_detail(response)}")
        return response.json()

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        try:
            return self._session.request(method, f"{self.url}{path}", timeout=_ANSWERS_WITHIN_S, **options)
        except requests.RequestException as problem:
            raise DemoFailed(f"`custody serve` does not answer {method} {path} ({type(problem).__name__})") from None


def _detail(response: requests.Response) -> str:
    try:
        problem = response.json()
        return f"{problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
