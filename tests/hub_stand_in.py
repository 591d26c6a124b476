"""A stand-in for the Hub on loopback. It keeps what its clients send, refuses what the Hub refuses, and can cut a
connection in the middle."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
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
    sdk: str | None = None  # of a Space


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

    def reply(self, method: str, path: list[str], body: bytes, allowed: bool) -> tuple:
        """(status, content, headers) of a request; allowed: whether it has the token."""
        match method, path:
            case "POST", ["api", "validate-yaml"]:
                return 200, {"errors": [], "warnings": []}
            case "PUT", ["large", oid]:
                assert _sha(body) == oid
                self.large[oid] = body
                self.uploads += 1
                return 200, {}
            case "POST", ["api", "repos", "create"]:
                query = json.loads(body)
                name = f"{query.get('organization') or OWNER}/{query['name']}"
                private = query.get("visibility") == "private" or bool(query.get("private"))  # of 2.x, and of 1.x
                status = 409 if name in self.repositories else 200
                answer = {"url": f"{self.url}/{name}", "id": name, "error": "You already created this repo"}
                if not (refused := _refused(name, allowed)):
                    self.repositories.setdefault(name, Stored(private, sdk=query.get("sdk")))
                return refused or (status, answer)
            case _, ["api", "models" | "spaces", owner, name, *rest]:
                return self.model(method, f"{owner}/{name}", rest, body, allowed)
            case "POST", [*_, owner, git, "info", "lfs", "objects", "batch"]:
                objects = json.loads(body)["objects"]
                for wanted in objects:
                    if wanted["oid"] not in self.large:
                        wanted["actions"] = {"upload": {"href": f"{self.url}/large/{wanted['oid']}"}}
                return _refused(f"{owner}/{git}", allowed) or (200, {"transfer": "basic", "objects": objects})
            case _, [owner, name, "resolve", revision, *file]:
                stored = self.repositories.get(f"{owner}/{name}", Stored())
                files = stored.branches.get(revision, stored.files)  # a commit is the last one of the main branch
                if (content := files.get("/".join(file))) is None:
                    return 404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"}
                return 200, content, {"ETag": f'"{_sha(content)}"', "X-Repo-Commit": _commit(files)}
        return 404, {"error": f"no such address: {path}"}

    def model(self, method: str, name: str, rest: list[str], body: bytes, allowed: bool) -> tuple:
        """The same of one repository."""
        stored, reads = self.repositories.get(name), not rest or rest[0] in ("revision", "tree")
        if not reads and (refused := _refused(name, allowed)):
            return refused
        if stored is None or (stored.private and not allowed):
            return 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        files = stored.branches.get(rest[1], stored.files) if len(rest) > 1 else stored.files
        match method, rest:
            case "GET", ["auth-check", "write"]:
                return 200, {}
            case "GET", [] | ["revision", _]:
                siblings = [{"rfilename": ".gitattributes"}]
                for file, content in files.items():
                    large = {"sha256": _sha(content), "size": len(content), "pointerSize": 1}
                    siblings.append({"rfilename": file} | ({"lfs": large} if file.endswith(LARGE) else {}))
                facts = {"id": name, "private": stored.private, "sha": _commit(files)}
                return 200, facts | {"siblings": siblings}
            case "GET", ["tree", _]:
                return 200, [{"type": "file", "path": file, "size": len(files[file]), "oid": "0"} for file in files]
            case "POST", ["branch", branch]:
                stored.branches.setdefault(branch, dict(stored.files))
                return 200, {}
            case "POST", ["preupload", _]:
                paths = json.loads(body)["files"]
                for file in paths:
                    file |= {"shouldIgnore": False, "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular"}
                return 200, {"files": paths}
            case "POST", ["commit", _]:
                for line in map(json.loads, body.splitlines()):
                    value = line["value"]
                    match line["key"]:
                        case "header":
                            stored.commits.append(value["summary"])
                        case "file":
                            files[value["path"]] = base64.b64decode(value["content"])
                        case "lfsFile":
                            files[value["path"]] = self.large[value["oid"]]
                        case "deletedFile":
                            del files[value["path"]]
                return 200, {"commitOid": _commit(files), "commitUrl": f"{self.url}/{name}/commit/1"}
        return 404, {"error": f"no such address: {rest}"}


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        path, length = unquote(urlsplit(self.path).path), int(self.headers.get("Content-Length", 0))
        if self.server.cut(self.command, path):
            self.rfile.read(min(1000, length))
            self.close_connection = True
            return self.connection.close()
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        words = (self.command, path.strip("/").split("/"), self.rfile.read(length), allowed)
        status, content, headers = (*self.server.reply(*words), {})[:3]
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for header, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = answer

    def log_message(self, *_: Any) -> None:
        pass


def _refused(name: str, allowed: bool) -> tuple | None:
    """The answer where the token, or the owner of the repository, is another."""
    if not allowed:
        return 401, {"error": "Invalid username or password."}
    return None if name.split("/")[0] == OWNER else (403, {"error": "You don't have the rights to write there."})


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _commit(files: dict[str, bytes]) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
