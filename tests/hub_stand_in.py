"""A stand-in for the Hub on loopback: repositories, commits, large files, and downloads, as its clients ask for them.

It keeps what it is sent, refuses what the Hub refuses, and can cut a connection in the middle.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN, OWNER = "hf_secretsecretsecret", "me"
LARGE = (".safetensors", ".onnx")


@dataclass
class Stored:
    """One repository: the files of the main branch and of the others, and all commits' messages."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)
    branches: dict[str, dict[str, bytes]] = field(default_factory=dict)

    def at(self, revision: str | None) -> dict[str, bytes]:
        """The files of a branch; a commit is the last one of the main branch here."""
        return self.branches.get(revision, self.files)


class Hub(ThreadingHTTPServer):
    """`with Hub() as hub:` serves at `hub.url`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.repositories: dict[str, Stored] = {}
        self.large: dict[str, bytes] = {}  # by SHA-256
        self.uploads = 0  # large files received
        self.cut: Callable[[str, str], bool] = lambda method, path: False  # which requests lose their connection

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        super().__exit__()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    MODEL, AT = r"/api/models/(?P<name>[^/]+/[^/]+)", r"/(?P<revision>[^/]+)"
    ROUTES = {
        "POST /api/repos/create": "create",
        "POST /api/validate-yaml": "validate",
        f"GET {MODEL}/auth-check/write": "may_write",
        f"GET {MODEL}(?:/revision{AT})?": "info",
        f"GET {MODEL}/tree{AT}": "tree",
        f"POST {MODEL}/branch{AT}": "branch",
        f"POST {MODEL}/preupload{AT}": "preupload",
        f"POST {MODEL}/commit{AT}": "commit",
        r"POST /(?P<name>[^/]+/[^/]+)\.git/info/lfs/objects/batch": "batch",
        "PUT /large/(?P<oid>[0-9a-f]{64})": "upload",
        f"(?:GET|HEAD) /(?P<name>[^/]+/[^/]+)/resolve{AT}/(?P<file>.+)": "resolve",
    }
    WRITES = ("may_write", "branch", "preupload", "commit", "batch")

    def answer(self) -> None:
        path, length = unquote(urlsplit(self.path).path), int(self.headers.get("Content-Length", 0))
        if self.server.cut(self.command, path):
            self.rfile.read(min(1000, length))
            self.close_connection = True
            return self.connection.close()
        self.body = self.rfile.read(length)
        for pattern, name in self.ROUTES.items():
            if found := re.fullmatch(pattern, f"{self.command} {path}"):
                if not (name in self.WRITES and self.refused(found["name"])):
                    getattr(self, name)(**found.groupdict())
                return
        self.send(404, {"error": f"no such address: {path}"})

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_) -> None:
        pass

    def send(self, status: int, content: dict | list | bytes, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status >= 400:
            self.send_header("X-Error-Message", content["error"])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refused(self, name: str | None = None) -> bool:
        """Whether the token, or the owner of the repository, is another; then it is answered."""
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.send(401, {"error": "Invalid username or password."})
        elif name is not None and name.split("/")[0] != OWNER:
            self.send(403, {"error": "You don't have the rights to write there."})
        else:
            return False
        return True

    def create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked.get('organization') or OWNER}/{asked['name']}"
        if self.refused(name):
            return
        there = name in self.server.repositories
        private = asked.get("visibility") == "private" or bool(asked.get("private"))  # clients of 2.x, and of 1.x
        self.server.repositories.setdefault(name, Stored(private))
        answer = {"url": f"{self.server.url}/{name}", "id": name, "error": "You already created this model repo"}
        self.send(409 if there else 200, answer)

    def validate(self, **_) -> None:
        self.send(200, {"errors": [], "warnings": []})

    may_write = validate

    def info(self, name: str, revision: str | None) -> None:
        stored = self.server.repositories.get(name)
        if stored is None or (stored.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"):
            return self.send(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        files, siblings = stored.at(revision), [{"rfilename": ".gitattributes"}]
        for file, content in files.items():
            large = {"lfs": {"sha256": _sha(content), "size": len(content), "pointerSize": 1}}
            siblings.append({"rfilename": file} | (large if file.endswith(LARGE) else {}))
        self.send(200, {"id": name, "private": stored.private, "sha": _commit(files), "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        files = self.server.repositories[name].at(revision)
        self.send(200, [{"type": "file", "path": file, "size": len(files[file]), "oid": "0"} for file in files])

    def branch(self, name: str, revision: str) -> None:
        stored = self.server.repositories[name]
        if revision in stored.branches:
            return self.send(409, {"error": "Reference already exists"})
        stored.branches[revision] = dict(stored.files)
        self.send(200, {})

    def preupload(self, name: str, revision: str) -> None:
        files = [{"path": file["path"], "shouldIgnore": False} for file in json.loads(self.body)["files"]]
        self.send(
            200,
            {"files": [one | {"uploadMode": "lfs" if one["path"].endswith(LARGE) else "regular"} for one in files]},
        )

    def batch(self, name: str) -> None:
        objects = json.loads(self.body)["objects"]
        for wanted in objects:
            if wanted["oid"] not in self.server.large:
                wanted["actions"] = {"upload": {"href": f"{self.server.url}/large/{wanted['oid']}"}}
        self.send(200, {"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        assert _sha(self.body) == oid
        self.server.large[oid] = self.body
        self.server.uploads += 1
        self.send(200, {})

    def commit(self, name: str, revision: str) -> None:
        stored = self.server.repositories[name]
        files = stored.at(revision)
        for line in map(json.loads, self.body.splitlines()):
            match line["key"], line["value"]:
                case "header", value:
                    stored.commits.append(value["summary"])
                case "file", value:
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile", value:
                    files[value["path"]] = self.server.large[value["oid"]]
                case "deletedFile", value:
                    del files[value["path"]]
        oid = _commit(files)
        url = f"{self.server.url}/{name}/commit/{oid}"
        self.send(200, {"success": True, "commitOid": oid, "commitUrl": url, "pullRequestUrl": None, "hookOutput": ""})

    def resolve(self, name: str, revision: str, file: str) -> None:
        stored = self.server.repositories.get(name, Stored())
        if file not in stored.at(revision):
            return self.send(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        content = stored.at(revision)[file]
        self.send(200, content, ETag=f'"{_sha(content)}"', X_Repo_Commit=_commit(stored.at(revision)))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit(files: dict[str, bytes]) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
