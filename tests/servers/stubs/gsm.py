"""Google Cloud as its Secret Manager's clients see it: Secret Manager v1, the Security Token Service, IAM credentials and
the metadata server, on one port. A test double: see `common.py`, and docs/providers/gcp.md for what follows from it.

`python gsm.py PORT [CERT KEY]`
"""

import base64
import re
import secrets
import time

from common import Answer, Refused, Stub, arguments, audiences, jwt, serve, verify

AUDIENCE = "https://secretmanager.googleapis.com/"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
SUBJECT_JWT = "urn:ietf:params:oauth:token-type:jwt"

# A role is a set of permissions, as in IAM's own.
ROLES = {
    "roles/secretmanager.secretAccessor": {"versions.access"},
    "roles/secretmanager.viewer": {"secrets.get", "secrets.list", "versions.get", "versions.list"},
    "roles/iam.workloadIdentityUser": {"getAccessToken"},
}


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def error(code, status, message, details=()):
    return Answer(code, {"error": {"code": code, "message": message, "status": status, "details": list(details)}})


class Gsm(Stub):
    def __init__(self):
        super().__init__()
        self.accounts = {}  # email -> public keys by their id
        self.pools = {}  # STS audience -> {issuer, key, audience}
        self.grants = {}  # (principal, project or account) -> permissions
        self.tokens = {}  # access token -> {principal, expires}
        self.secrets = {}  # full name -> {meta, versions}
        self.numbers = {}  # project -> number
        self.metadata = None  # the account of the machine, if there is a metadata server

    # --- for the tests ---

    def set_account(self, body):
        """One more key of an account."""
        self.accounts.setdefault(body["email"], {})[body["id"]] = body["key"]

    def set_keyless(self, body):
        """The account's keys are deleted."""
        self.accounts[body["email"]] = {}

    def set_pool(self, body):
        self.pools[body["name"]] = body

    def set_grant(self, body):
        permissions = self.grants.setdefault((body["principal"], body["on"]), set())
        permissions |= ROLES[body["role"]]

    def set_revoke(self, body):
        self.tokens.clear()
        if body.get("principal"):
            self.grants = {key: value for key, value in self.grants.items() if key[0] != body["principal"]}

    def set_machine(self, body):
        self.metadata = body["email"]

    def set_secret(self, body):
        """A new version; the secret too, if need be. Gives the version's number."""
        name = body["name"]
        secret = self.secrets.setdefault(name, {"meta": {"labels": {}, "annotations": {}}, "versions": []})
        secret["meta"]["labels"].update(body.get("labels", {}))
        secret["meta"]["annotations"].update(body.get("annotations", {}))
        secret["meta"].setdefault("aliases", {}).update(body.get("aliases", {}))
        if "data" in body:
            data = base64.b64decode(body["data"])
            secret["versions"].append({"data": data, "state": "ENABLED", "created": self.now()})
        return {"version": len(secret["versions"])}

    def set_state(self, body):
        version = self.secrets[body["name"]]["versions"][body["version"] - 1]
        version["state"] = body["state"]

    def set_damage(self, body):
        """From now on this version's data is not what its checksum says."""
        self.secrets[body["name"]]["versions"][body["version"] - 1]["damaged"] = True

    # --- the services ---

    def route(self, request):
        path = request.path
        if path == "/v1/token" and request.method == "POST":
            return self.exchange(request)
        if match := re.fullmatch(r"/v1/projects/-/serviceAccounts/([^/]+):generateAccessToken", path):
            return self.impersonate(request, match[1])
        if path.startswith("/computeMetadata/v1/"):
            return self.machine(request)
        if match := re.fullmatch(r"/v1/(projects/([^/]+)(?:/locations/([^/]+))?)/secrets(?:/(.+))?", path):
            return self.secret_manager(request, *match.groups())
        raise Answer(404, None, {"content-type": "text/html"})

    def who(self, request):
        """Whose credentials these are."""
        token = request.bearer()
        refused = error(401, "UNAUTHENTICATED", f"Request had invalid authentication credentials: {token}")
        if not token:
            raise refused
        if token in self.tokens:
            known = self.tokens[token]
            request.note(principal=known["principal"], token=known["number"])
            if known["expires"] <= self.now():
                raise refused
            return known["principal"]
        try:
            return self.self_signed(request, token)
        except Refused as why:
            request.note(refused=str(why))
            raise refused from why

    def self_signed(self, request, token):
        """A JWT by which an account speaks for itself (AIP-4111)."""
        header, claims, _, _ = jwt(token)
        account = claims.get("iss", "")
        key = self.accounts.get(account, {}).get(header.get("kid"))
        if not key:
            raise Refused("an account or a key that is not known")
        header, claims = verify(token, key)
        request.note(principal=account, header=header, claims=claims)
        if header["alg"] != "RS256":
            raise Refused("the algorithm")
        if claims.get("sub") != account:
            raise Refused("the subject")
        if audiences(claims) != [AUDIENCE] and claims.get("scope") != SCOPE:
            raise Refused("the audience")
        # An hour, and what Google's own library adds to it on both sides.
        if not claims["iat"] <= self.now() < claims["exp"] or claims["exp"] - claims["iat"] > 3620:
            raise Refused("the times")
        return account

    def exchange(self, request):
        form = request.form()
        subject = form.get("subject_token", "")
        request.note(form={**form, "subject_token": "..."})
        pool = self.pools.get(form.get("audience"))

        def refused(code, description):
            request.note(refused=description)
            return Answer(400, {"error": code, "error_description": f"{description}: {subject}"})

        if form.get("grant_type") != EXCHANGE or form.get("requested_token_type") != ACCESS_TOKEN:
            raise refused("invalid_request", "the request")
        if form.get("subject_token_type") != SUBJECT_JWT or form.get("scope") != SCOPE:
            raise refused("invalid_request", "the request")
        if not pool:
            raise refused("invalid_target", "the target service indicated by the audience is invalid")
        try:
            _, claims = verify(subject, pool["key"])
        except Refused as why:
            raise refused("invalid_grant", str(why)) from why
        request.note(claims=claims)
        if claims["iss"] != pool["issuer"] or pool["audience"] not in audiences(claims):
            raise refused("invalid_grant", "the audience in the ID token does not match")
        if claims["exp"] <= self.now():
            raise refused("invalid_grant", "the ID token has expired")
        token = self.issue(pool["principal"] + claims["sub"])
        return {
            "access_token": token,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "Bearer",
            "expires_in": pool.get("expires_in", 3600),
        }

    def impersonate(self, request, account):
        principal = self.who(request)
        if request.json().get("scope") != [SCOPE]:
            raise error(400, "INVALID_ARGUMENT", "scope")
        if "getAccessToken" not in self.grants.get((principal, account), ()):
            raise error(403, "PERMISSION_DENIED", "Permission 'iam.serviceAccounts.getAccessToken' denied")
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.now() + 3600))
        return {"accessToken": self.issue(account), "expireTime": expires}

    def machine(self, request):
        """The metadata server of a machine or a pod."""
        if not self.metadata or request.headers.get("metadata-flavor") != "Google":
            raise Answer(403, None, {"content-type": "text/html"})
        request.note(machine=True)
        if request.path.endswith("/token"):
            return {"access_token": self.issue(self.metadata), "expires_in": 3599, "token_type": "Bearer"}
        raise Answer(404, None, {"content-type": "text/html"})

    def issue(self, principal):
        token = "ya29." + secrets.token_urlsafe(24)
        self.tokens[token] = {"principal": principal, "expires": self.now() + 3600, "number": len(self.tokens)}
        return token

    def secret_manager(self, request, parent, project, location, rest):
        if request.query.get("$alt") != "json;enum-encoding=int":
            raise error(400, "INVALID_ARGUMENT", "alt")
        principal = self.who(request)
        permission, act = self.meant(request, rest)
        if project == "gone-project":
            reason = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_INVALID"}
            raise error(403, "PERMISSION_DENIED", f"Permission denied on resource project {project}", [reason])
        if permission not in self.grants.get((principal, project), ()):
            raise error(
                403,
                "PERMISSION_DENIED",
                f"Permission 'secretmanager.{permission}' denied for resource "
                f"'projects/{project}/secrets/{rest}' (or it may not exist).",
            )
        return act(request, parent, project)

    def meant(self, request, rest):
        """Which permission a request needs, and what does it."""
        if request.method != "GET":
            raise error(404, "NOT_FOUND", "not of this stub")
        if rest is None:
            return "secrets.list", self.list_secrets
        match = re.fullmatch(r"([A-Za-z0-9_-]{1,255})(?:/versions(?:/([A-Za-z0-9_-]+)(:access)?)?)?", rest)
        if not match:
            raise error(400, "INVALID_ARGUMENT", f"The provided Secret ID [{rest}] does not match the expected format")
        secret, version, access = match.groups()
        if version is None and "/versions" in rest:
            return "versions.list", lambda *where: self.list_versions(*where, secret)
        if version is None:
            return "secrets.get", lambda *where: self.get_secret(*where, secret)
        if access:
            return "versions.access", lambda *where: self.access(*where, secret, version)
        return "versions.get", lambda *where: self.get_version(*where, secret, version)

    def number(self, parent, project):
        """What the service calls a parent: by the project's number."""
        number = self.numbers.setdefault(project, str(415104041262 + len(self.numbers)))
        return parent.replace(f"projects/{project}", f"projects/{number}")

    def secret(self, parent, project, secret):
        found = self.secrets.get(f"{parent}/secrets/{secret}")
        if not found:
            name = f"{self.number(parent, project)}/secrets/{secret}"
            raise error(404, "NOT_FOUND", f"Secret [{name}] not found or has no versions.")
        return found

    def version(self, parent, project, secret, version):
        found = self.secret(parent, project, secret)
        name = f"{self.number(parent, project)}/secrets/{secret}"
        if version == "latest":
            at = len(found["versions"])
        else:
            at = int(version) if version.isdigit() else int(found["meta"]["aliases"].get(version, 0))
        if not 0 < at <= len(found["versions"]):
            raise error(404, "NOT_FOUND", f"Secret Version [{name}/versions/{version}] not found.")
        return f"{name}/versions/{at}", found["versions"][at - 1]

    def access(self, _, parent, project, secret, version):
        name, found = self.version(parent, project, secret, version)
        if found["state"] != "ENABLED":
            raise error(400, "FAILED_PRECONDITION", f"Secret Version [{name}] is in {found['state']} state.")
        data, checksum = found["data"], crc32c(found["data"])
        if found.get("damaged"):
            data = b"\x00" + data[1:]
        data = base64.b64encode(data).decode()
        # An int64 is text in JSON.
        return {"name": name, "payload": {"data": data, "dataCrc32c": str(checksum)}}

    def described(self, name, version):
        states = {"ENABLED": 1, "DISABLED": 2, "DESTROYED": 3}
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(version["created"]))
        return {"name": name, "createTime": created, "state": states[version["state"]], "etag": '"1"'}

    def get_version(self, _, parent, project, secret, version):
        return self.described(*self.version(parent, project, secret, version))

    def list_versions(self, request, parent, project, secret):
        name = f"{self.number(parent, project)}/secrets/{secret}"
        found = self.secret(parent, project, secret)["versions"]
        state = re.fullmatch(r"state:([A-Z]+)", request.query.get("filter") or "state:")
        described = [
            self.described(f"{name}/versions/{at + 1}", version)
            for at, version in reversed(list(enumerate(found)))
            if not state or version["state"] == state[1]
        ]
        return self.page(request, "versions", described)

    def get_secret(self, _, parent, project, secret):
        return self.shown(parent, project, secret, self.secret(parent, project, secret))

    def shown(self, parent, project, secret, found):
        meta = found["meta"]
        aliases = {alias: str(number) for alias, number in meta["aliases"].items()}
        return {
            "name": f"{self.number(parent, project)}/secrets/{secret}",
            "replication": {"automatic": {}},
            "createTime": "2026-01-01T00:00:00Z",
            "labels": meta["labels"],
            "annotations": meta["annotations"],
            "versionAliases": aliases,
            "etag": '"1"',
        }

    def list_secrets(self, request, parent, project):
        terms = [term for term in (request.query.get("filter") or "").split(" AND ") if term]
        before = f"{parent}/secrets/"
        shown = []
        for name, found in sorted(self.secrets.items()):
            secret = name.removeprefix(before)
            if name.startswith(before) and all(matches(term, secret, found["meta"]) for term in terms):
                shown.append(self.shown(parent, project, secret, found))
        return self.page(request, "secrets", shown)

    def page(self, request, field, items):
        size = min(int(request.query.get("pageSize") or 0) or 25000, 25000)
        begin = int(request.query.get("pageToken") or 0)
        more = {"nextPageToken": str(begin + size)} if begin + size < len(items) else {}
        return {field: items[begin : begin + size], **more, "totalSize": len(items)}


def matches(term, secret, meta):
    """One term of a filter: `name:part`, `labels.key=value`. Names match by any part of them."""
    if match := re.fullmatch(r'name:"?([A-Za-z0-9_-]+)"?', term):
        return match[1] in secret
    if match := re.fullmatch(r'labels\.([a-z0-9_-]+)="?([a-z0-9_-]*)"?', term):
        return meta["labels"].get(match[1]) == match[2]
    raise error(400, "INVALID_ARGUMENT", f"Invalid filter: {term}")


serve(Gsm(), *arguments())
