"""Opens pages in Chromium: serves their files, and runs scripts of the driver that package.json pins."""

import contextlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError

DRIVER = Path(__file__).parent / "node_modules" / "playwright-core"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 600  # of a script


def browser() -> str | None:
    """The program of a browser that the driver can run."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def absent() -> list[str]:
    """What is not installed of the things that a browser needs here."""
    wanted = {"Chromium": browser(), "node": shutil.which("node"), "benchmarks/page/node_modules": DRIVER.is_dir()}
    return [name for name, there in wanted.items() if not there]


def check_browser(key: str) -> None:
    """Raise UserError where no browser can be run."""
    if names := absent():
        raise UserError(
            f"`{key}` needs {' and '.join(names)}: install Chromium and Node.js (`apt-get install chromium nodejs "
            "npm`), and run `npm ci` in benchmarks/page"
        )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address where a local server gives the files of a folder."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def run_script(script: Path, request: Any) -> Any:
    """What a script of the driver writes as JSON for a request. Raises UserError if it fails."""
    query = json.dumps({"browser": browser(), **request})
    ended = subprocess.run(["node", str(script)], input=query, capture_output=True, text=True, timeout=SECONDS)
    if ended.returncode:
        raise UserError(f"{script.name} failed: {ended.stderr}")
    return json.loads(ended.stdout)
