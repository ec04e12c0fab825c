"""A hub of models for the tests: Hugging Face's and ModelScope's protocols on one local port, and a
storage host on another one to which large files are redirected. It can be told to misbehave, and it
counts every byte that it serves.

Method: the answers have the form that the hubs' own Python clients take (tests/e2e/hub_peer.py
downloads from here with huggingface_hub).
"""

import hashlib
import http.server
import json
import os
import random
import re
import socket
import struct
import threading
import time
import urllib.parse
from dataclasses import dataclass, field

LFS_BYTES_MIN = 100_000  # what is larger is redirected to the storage host, as LFS files are
SEND_BYTES = 16 << 10  # what a killed client may be sent in vain
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_sha1(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def noise(size, seed=1):
    """`size` bytes that are the same for the same seed, and not the same anywhere within."""
    return random.Random(seed).randbytes(size)


@dataclass
class Faults:
    """How the storage host and the hub misbehave; all off by default, changed as tests go on."""

    cut_bytes: int = 0          # a connection is closed after so many bytes of bodies
    reset: bool = False         # ... by a reset instead of an orderly end
    bytes_per_second: int = 0   # of each connection
    stall_after: int = 0        # a body stops there, the connection stays
    ignore_ranges: bool = False
    wrong_range: str = ""       # sent as Content-Range
    wrong_length: int = 0       # added to the length of a range
    compressed: bool = False    # claims Content-Encoding: gzip
    wrong_bytes: int = 0        # so many answers carry other bytes
    statuses: list = field(default_factory=list)  # (status, fields) of the next files
    api_statuses: list = field(default_factory=list)  # ... of the next listings
    redirect_loop: bool = False
    header_bytes: int = 0       # of extra fields
    gated: str = ""             # the token that is needed
    other_host: bool = True     # large files lie on the storage host
    link_uses: int = 0          # a storage link is refused after so many requests


class Hub:
    """`with Hub() as hub:` serves hub.repos at hub.url until the block ends."""

    def __init__(self):
        self.repos = {}      # "owner/repo": {path: bytes}
        self.commits = {}    # "owner/repo": commit
        self.faults = Faults()
        self.served = []     # (path, begin, end) of bodies, as far as they were sent
        self.requests = []   # (port name, path with query, header fields)
        self.link_uses = {}
        self.lock = threading.Lock()
        self.hashes = {}

    def __enter__(self):
        self.servers = [Server(self, name) for name in ("hub", "storage")]
        self.url, self.storage_url = (f"http://127.0.0.1:{server.server_port}"
                                      for server in self.servers)
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def add(self, repo, files, commit=COMMIT):
        self.repos[repo] = files
        self.commits[repo] = commit

    def sha256(self, content):
        key = id(content)
        if key not in self.hashes:
            self.hashes[key] = (hashlib.sha256(content).hexdigest(), content)
        return self.hashes[key][0]

    def most_served(self, path):
        """How often the most often served byte of a file was served."""
        steps = {}
        for served, begin, end in self.served:
            if served == path and end > begin:
                steps[begin] = steps.get(begin, 0) + 1
                steps[end] = steps.get(end, 0) - 1
        most = now = 0
        for at in sorted(steps):
            now += steps[at]
            most = max(most, now)
        return most

    def bytes_served(self, path):
        return sum(end - begin for served, begin, end in self.served if served == path)

    def asked(self, server, part=""):
        return [request for request in self.requests
                if request[0] == server and part in request[1]]


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, hub, name):
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub, self.name = hub, name

    def handle_error(self, request, client_address):
        pass  # clients that are killed are part of the tests


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 0
    disable_nagle_algorithm = True

    def setup(self):
        super().setup()
        self.body_bytes = 0  # of this connection

    def log_message(self, *_):
        pass

    # ---- answers ---------------------------------------------------------------------------------

    def answer(self, status, body=b"", fields=()):
        self.send_response(status)
        for name, value in fields:
            self.send_header(name, value)
        if self.hub.faults.header_bytes:
            for i in range(self.hub.faults.header_bytes // 1000):
                self.send_header(f"X-Filler-{i}", "x" * 980)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, document, fields=()):
        self.answer(200, json.dumps(document).encode(),
                    [("Content-Type", "application/json"), *fields])

    def missing(self, code, message):
        self.answer(404, b"{}", [("X-Error-Code", code), ("X-Error-Message", message)])

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.hub = self.server.hub
        url = urllib.parse.urlsplit(self.path)
        with self.hub.lock:
            self.hub.requests.append((self.server.name, self.path, dict(self.headers.items())))
        path, query = urllib.parse.unquote(url.path), urllib.parse.parse_qs(url.query)
        if self.server.name == "storage":
            return self.storage(path)
        faults = self.hub.faults
        if path.startswith("/api/") and faults.api_statuses:
            status, fields = faults.api_statuses.pop(0)
            return self.answer(status, b"", fields)
        if faults.gated and self.headers.get("Authorization") != f"Bearer {faults.gated}":
            return self.answer(401, b"", [("X-Error-Code", "GatedRepo"),
                                          ("X-Error-Message", "Access to it is restricted")])
        for pattern, method in ROUTES:
            match = re.fullmatch(pattern, path)
            if match:
                return method(self, query, *match.groups())
        return self.missing("RepoNotFound", "Repository not found")

    # ---- Hugging Face ----------------------------------------------------------------------------

    def hf_info(self, query, repo, revision):
        if repo not in self.hub.repos:
            return self.missing("RepoNotFound", "Repository not found")
        if revision not in ("main", "v1", self.hub.commits[repo]):
            return self.missing("RevisionNotFound", "Invalid rev id: " + revision)
        files = self.hub.repos[repo]
        return self.answer_json({"id": repo, "sha": self.hub.commits[repo], "private": False,
                                 "gated": False, "tags": ["gguf", "license:apache-2.0"],
                                 "siblings": [{"rfilename": path} for path in files]})

    def hf_tree(self, query, repo, revision):
        rows = [{"type": "directory", "oid": "f" * 40, "size": 0, "path": "folder"}]
        for path, content in self.hub.repos[repo].items():
            row = {"type": "file", "size": len(content), "path": path, "oid": git_sha1(b"pointer")}
            if len(content) >= LFS_BYTES_MIN:
                row["lfs"] = {"oid": self.hub.sha256(content), "size": len(content),
                              "pointerSize": 134}
            else:
                row["oid"] = git_sha1(content)
            rows.append(row)
        # Three rows a page, so that following the Link field is part of every test.
        at = int(query.get("cursor", ["0"])[0])
        fields = []
        if at + 3 < len(rows):
            fields = [("Link", f'<{self.hub.url}/api/models/{repo}/tree/{revision}'
                               f'?recursive=true&cursor={at + 3}>; rel="next"')]
        return self.answer_json(rows[at:at + 3], fields)

    def hf_resolve(self, query, repo, revision, path):
        content = self.hub.repos.get(repo, {}).get(path)
        if content is None:
            return self.missing("EntryNotFound", "Entry not found")
        if self.hub.faults.redirect_loop:
            return self.answer(302, b"", [("Location", self.path)])
        if len(content) < LFS_BYTES_MIN or not self.hub.faults.other_host:
            return self.send_file(path, content, [("X-Repo-Commit", self.hub.commits[repo]),
                                                  ("ETag", f'"{git_sha1(content)}"')])
        with self.hub.lock:
            number = len(self.hub.link_uses)
            self.hub.link_uses[str(number)] = 0
        location = f"{self.hub.storage_url}/{number}/{repo}/{urllib.parse.quote(path)}"
        return self.answer(302, b"", [("Location", location),
                                      ("X-Repo-Commit", self.hub.commits[repo]),
                                      ("X-Linked-Size", str(len(content))),
                                      ("X-Linked-Etag", f'"{self.hub.sha256(content)}"')])

    # ---- ModelScope ------------------------------------------------------------------------------

    def ms_info(self, query, repo):
        if repo not in self.hub.repos:
            return self.answer(404, b'{"Code": 10010205001, "Message": "not found"}')
        return self.answer_json({"Code": 200, "Success": True, "Data": {"License": "MIT"}})

    def ms_files(self, query, repo):
        if repo not in self.hub.repos:
            return self.answer(404, b'{"Code": 10010205001, "Message": "not found"}')
        rows = [{"Name": "folder", "Path": "folder", "Size": 0, "Type": "tree", "Sha256": ""}]
        rows += [{"Name": path.split("/")[-1], "Path": path, "Size": len(content), "Type": "blob",
                  "IsLFS": len(content) >= LFS_BYTES_MIN, "Sha256": self.hub.sha256(content),
                  "Revision": self.hub.commits[repo], "Mode": "33188"}
                 for path, content in self.hub.repos[repo].items()]
        return self.answer_json({"Code": 200, "Success": True, "Message": "",
                                 "Data": {"Files": rows, "IsVisual": 0}})

    def ms_repo(self, query, repo):
        path = query.get("FilePath", [""])[0]
        content = self.hub.repos.get(repo, {}).get(path)
        if content is None:
            return self.answer(404, b'{"Code": 10010205001, "Message": "not found"}')
        return self.send_file(path, content, [])

    # ---- bytes of files --------------------------------------------------------------------------

    def plain(self, query, path):
        return self.send_plain("plain", path)

    def send_plain(self, repo, path):
        content = self.hub.repos.get(repo, {}).get(path)
        if content is None:
            return self.answer(404)
        return self.send_file(path, content, [("ETag", f'"{self.hub.sha256(content)[:32]}"')])

    def storage(self, path):
        number, owner, repo, *rest = path.strip("/").split("/")
        with self.hub.lock:
            self.hub.link_uses[number] += 1
            uses = self.hub.link_uses[number]
        if self.hub.faults.link_uses and uses > self.hub.faults.link_uses:
            return self.answer(403, b"<Error>expired</Error>")
        file = "/".join(rest)
        content = self.hub.repos[f"{owner}/{repo}"][file]
        return self.send_file(file, content, [("ETag", '"storage-tag"')])

    def send_file(self, path, content, fields):
        faults = self.hub.faults
        with self.hub.lock:
            status = faults.statuses.pop(0) if faults.statuses else None
            wrong = faults.wrong_bytes > 0
            faults.wrong_bytes -= wrong
        if status:
            return self.answer(status[0], b"", status[1])
        begin, end = 0, len(content)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        tag = dict(fields).get("ETag")
        unchanged = self.headers.get("If-Range") in (None, tag)
        if asked and not faults.ignore_ranges and unchanged:
            begin = int(asked.group(1))
            end = min(end, int(asked.group(2)) + 1) if asked.group(2) else end
            if begin >= len(content):
                return self.answer(416, b"", [("Content-Range", f"bytes */{len(content)}")])
            self.send_response(206)
            self.send_header("Content-Range", faults.wrong_range or
                             f"bytes {begin}-{end - 1}/{len(content)}")
        else:
            self.send_response(200)
        for name, value in fields:
            self.send_header(name, value)
        if faults.compressed:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(end - begin + faults.wrong_length))
        self.end_headers()
        if self.command == "HEAD":
            return None
        return self.send_body(path, content, begin, end, wrong)

    def send_body(self, path, content, begin, end, wrong):
        faults, at, started = self.hub.faults, begin, time.monotonic()
        try:
            while at < end:
                step = min(SEND_BYTES, end - at)
                if faults.cut_bytes:
                    step = min(step, faults.cut_bytes - self.body_bytes)
                    if step <= 0:
                        return self.cut()
                if faults.stall_after and at - begin >= faults.stall_after:
                    time.sleep(30)
                    return self.cut()
                data = bytes(step) if wrong else content[at:at + step]
                sent = self.connection.send(data)
                at += sent
                self.body_bytes += sent
                if faults.bytes_per_second:
                    ahead = (at - begin) / faults.bytes_per_second - (time.monotonic() - started)
                    time.sleep(max(0, ahead))
        finally:
            with self.hub.lock:
                self.hub.served.append((path, begin, at))
        if faults.wrong_length:
            self.cut()
        return None

    def cut(self):
        if self.hub.faults.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()


ROUTES = [
    (r"/api/models/([^/]+/[^/]+)/revision/(.+)", Handler.hf_info),
    (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", Handler.hf_tree),
    (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", Handler.hf_resolve),
    (r"/api/v1/models/([^/]+/[^/]+)/repo/files", Handler.ms_files),
    (r"/api/v1/models/([^/]+/[^/]+)/repo", Handler.ms_repo),
    (r"/api/v1/models/([^/]+/[^/]+)", Handler.ms_info),
    (r"/plain/(.+)", Handler.plain),
]
