"""Pull requests of GitHub (REST, version 2022-11-28) and merge requests of GitLab (REST, version 4), as clients of both see
them, on one port. A test double: see `common.py`, and docs/REWRAP.md for what follows from it. Errors repeat what was sent.

`python forge.py PORT [CERT KEY]`
"""

import re
from urllib.parse import unquote

from common import Answer, Stub, arguments, serve


class Forge(Stub):
    def __init__(self):
        super().__init__()
        self.token = None
        self.requests = []  # {number, source, target, title, body, open, fork}
        self.failing = None
        self.moved = None

    # --- for the tests ---

    def set_token(self, body):
        """Only this token is taken."""
        self.token = body["token"]

    def set_failing(self, body):
        """Every call is answered with this status, or as usual with none."""
        self.failing = body["status"]

    def set_moved(self, body):
        """Every call is led to this server."""
        self.moved = body["url"]

    def set_fork(self, body):
        """Somebody asks from a fork; both forges list such requests, and the one of the youngest first."""
        self.requests.append(
            {"number": len(self.requests) + 1, "title": "by a fork", "body": "", "open": True, "fork": True, **body}
        )

    def set_close(self, body):
        """Somebody closes a request."""
        self.find(body["number"])["open"] = False

    def set_requests(self, _):
        """All requests."""
        return self.requests

    # --- what clients see ---

    def route(self, request):
        sent = {name.lower(): value for name, value in request.headers.items()}
        shown = sent.get("private-token") or sent.get("authorization", "").removeprefix("Bearer ")
        if self.failing:
            raise Answer(self.failing, {"message": f"no: {shown} {request.body.decode()}"})
        path = request.path
        if self.moved:
            raise Answer(307, {"message": "moved"}, {"location": f"{self.moved}{path}"})
        if match := re.fullmatch(r"/repos/([^/]+/[^/]+)/pulls(?:/(\d+))?", path):
            self.check("authorization" in sent and "private-token" not in sent, shown)
            if sent.get("accept") != "application/vnd.github+json" or sent.get("x-github-api-version") != "2022-11-28":
                raise Answer(415, {"message": "Unsupported Media Type"})
            return self.pulls(request, match[1], match[2])
        if match := re.fullmatch(r"/projects/([^/]+)/merge_requests(?:/(\d+))?", path):
            self.check("private-token" in sent, shown)
            return self.merge_requests(request, unquote(match[1]), match[2])
        raise Answer(404, {"message": f"404 Not Found {shown}"})

    def check(self, right_header, shown):
        if not right_header or shown != self.token:
            raise Answer(401, {"message": f"Bad credentials {shown}"})

    def pulls(self, request, project, number):
        owner = project.split("/")[0]
        if request.method == "GET":
            head, base = request.query.get("head", ""), request.query.get("base")
            assert request.query.get("state") == "open"
            found = [r for r in self.requests if r["open"] and f"{owner}:{r['source']}" == head and r["target"] == base]
            return [self.as_pull(r, project) for r in forks_first(found)]
        body = request.json()
        if request.method == "POST" and not number:
            made = self.create(body["head"], body["base"], body["title"], body["body"], 422)
            raise Answer(201, self.as_pull(made, project))
        assert request.method == "PATCH"
        changed = self.find(int(number))
        changed.update(title=body["title"], body=body["body"])
        return self.as_pull(changed, project)

    def merge_requests(self, request, project, number):
        if request.method == "GET":
            wanted = request.query.get("source_branch"), request.query.get("target_branch")
            assert request.query.get("state") == "opened"
            found = [r for r in self.requests if r["open"] and (r["source"], r["target"]) == wanted]
            return [self.as_merge_request(r, project) for r in forks_first(found)]
        body = request.json()
        if request.method == "POST" and not number:
            made = self.create(body["source_branch"], body["target_branch"], body["title"], body["description"], 409)
            raise Answer(201, self.as_merge_request(made, project))
        assert request.method == "PUT"
        changed = self.find(int(number))
        changed.update(title=body["title"], body=body["description"])
        return self.as_merge_request(changed, project)

    def create(self, source, target, title, body, conflict):
        if any(r["open"] and not r["fork"] and (r["source"], r["target"]) == (source, target) for r in self.requests):
            raise Answer(conflict, {"message": "Validation Failed: another one is open"})
        made = {"number": len(self.requests) + 1, "source": source, "target": target, "title": title, "body": body, "open": True, "fork": False}
        self.requests.append(made)
        return made

    def find(self, number):
        for request in self.requests:
            if request["number"] == number:
                return request
        raise Answer(404, {"message": "Not Found"})

    def as_pull(self, request, project):
        url = f"https://github.test/{project}/pull/{request['number']}"
        # A fork of the same owner: `head` in the query does not tell it from the repository.
        head = {"ref": request["source"], "repo": {"full_name": f"{project}-fork" if request["fork"] else project}}
        base = {"ref": request["target"], "repo": {"full_name": project}}
        return {
            "number": request["number"], "html_url": url, "title": request["title"], "state": "open", "head": head, "base": base,
        }

    def as_merge_request(self, request, project):
        url = f"https://gitlab.test/{project}/-/merge_requests/{request['number']}"
        return {
            "id": 1000 + request["number"], "iid": request["number"], "web_url": url, "title": request["title"],
            "source_project_id": 8 if request["fork"] else 7, "target_project_id": 7,
            "source_branch": request["source"], "target_branch": request["target"],
        }


def forks_first(requests):
    return sorted(requests, key=lambda request: not request["fork"])


serve(Forge(), *arguments())
