"""Azure as a Key Vault's clients see it: the secrets of one vault, Microsoft Entra ID's token endpoint and the managed
identity endpoint, on one TLS port. A test double: see `common.py`, and docs/providers/azure.md for what follows from it.

`python keyvault.py PORT CERT KEY`
"""

import re
import secrets
import uuid

from common import Answer, Refused, Stub, arguments, audiences, jwt, serve, verify

RESOURCE = "https://vault.azure.net"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VERSIONS = {"7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"}
PAGE = 25


def error(status, code, message, inner=None, headers=None):
    body = {"code": code, "message": message}
    if inner:
        body["innererror"] = {"code": inner}
    return Answer(status, {"error": body}, headers)


def entra(status, kind, number, message):
    """An error of Entra ID. Its description repeats what was sent, as the real one's does."""
    description = f"AADSTS{number}: {message} Trace ID: {uuid.uuid4()}"
    return Answer(status, {"error": kind, "error_description": description, "error_codes": [number]})


class KeyVault(Stub):
    def __init__(self):
        super().__init__()
        self.apps = {}  # (tenant, client) -> {secret, certificates, federated}
        self.permissions = {}  # client -> set of get, list
        self.tokens = {}  # access token -> {principal, expires, number}
        self.secrets = {}  # name -> versions, the newest last
        self.deleted = set()
        self.machine = None  # what the managed identity endpoint gives: {client, header}

    # --- for the tests ---

    def set_app(self, body):
        app = self.apps.setdefault(
            (body["tenant"], body["client"]), {"secrets": [], "certificates": {}, "federated": []}
        )
        if "secret" in body:
            app["secrets"] = [body["secret"]]
        if "thumbprint" in body:
            app["certificates"][body["thumbprint"]] = body["key"]
        if "issuer" in body:
            app["federated"].append(body)
        self.permissions.setdefault(body["client"], set()).update(body.get("permissions", []))

    def set_permissions(self, body):
        self.permissions[body["client"]] = set(body["permissions"])

    def set_machine(self, body):
        self.machine = body
        self.permissions.setdefault(body["client"], set()).update(body.get("permissions", []))

    def set_revoke(self, _):
        self.tokens.clear()

    def set_secret(self, body):
        """A new version. Gives its id."""
        version = uuid.uuid4().hex
        now = self.now()
        attributes = {"enabled": body.get("enabled", True), "created": now, "updated": now}
        attributes.update(recoveryLevel="Recoverable+Purgeable", recoverableDays=90)
        secret = {"value": body["value"], "version": version, "attributes": attributes}
        secret.update({name: body[name] for name in ("contentType", "tags", "managed") if name in body})
        self.secrets.setdefault(body["name"], []).append(secret)
        self.deleted.discard(body["name"])
        return {"version": version}

    def set_enabled(self, body):
        for secret in self.secrets[body["name"]]:
            if body.get("version") in (None, secret["version"]):
                secret["attributes"]["enabled"] = body["enabled"]

    def set_deleted(self, body):
        self.deleted.add(body["name"])

    # --- the services ---

    def route(self, request):
        if match := re.fullmatch(r"/([^/]+)/oauth2/v2\.0/token", request.path):
            if request.method == "POST":
                return self.log_in(request, match[1])
        if request.path == "/msi/token":
            return self.managed(request)
        if match := re.fullmatch(r"/secrets(?:/([^/]*))?(?:/([^/]*))?/?", request.path):
            return self.vault(request, match[1] or None, match[2] or None)
        raise error(404, "NotFound", request.path)

    def log_in(self, request, tenant):
        form = request.form()
        client = form.get("client_id", "")
        request.note(form={name: form[name] for name in ("client_id", "grant_type", "scope") if name in form})
        if not any(known == tenant for known, _ in self.apps):
            raise entra(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
        app = self.apps.get((tenant, client))
        if not app:
            raise entra(400, "unauthorized_client", 700016, f"Application '{client}' was not found in '{tenant}'.")
        if form.get("grant_type") != "client_credentials":
            raise entra(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
        if form.get("scope") != RESOURCE + "/.default":
            raise entra(400, "invalid_resource", 500011, f"The resource {form.get('scope')} was not found.")
        if "client_secret" in form:
            if form["client_secret"] not in app["secrets"]:
                sent = form["client_secret"]
                raise entra(401, "invalid_client", 7000215, f"Invalid client secret provided: {sent}.")
            request.note(way="secret")
        elif form.get("client_assertion_type") == ASSERTION:
            self.asserted(request, app, tenant, client, form.get("client_assertion", ""))
        else:
            raise entra(401, "invalid_client", 7000216, "'client_assertion' or 'client_secret' is required.")
        return {
            "token_type": "Bearer",
            "expires_in": 3599,
            "ext_expires_in": 3599,
            "access_token": self.issue(client),
        }

    def asserted(self, request, app, tenant, client, assertion):
        """An assertion: signed by the app's own certificate, or a token of an issuer that the app trusts."""
        try:
            header, claims, _, _ = jwt(assertion)
        except Refused as why:
            raise entra(401, "invalid_client", 50027, f"Invalid JWT token: {assertion}") from why
        request.note(header=header, claims=claims)
        thumbprint = header.get("x5t#S256")
        if thumbprint:
            request.note(way="certificate")
            key = app["certificates"].get(thumbprint)
            due = f"https://{request.headers['host']}/{tenant}/oauth2/v2.0/token"
            right = claims.get("iss") == claims.get("sub") == client and claims.get("jti") and audiences(claims) == [due]
        else:
            request.note(way="federated")
            trusted = [one for one in app["federated"] if one["issuer"] == claims.get("iss")]
            trusted = [one for one in trusted if one["subject"] == claims.get("sub")]
            if not trusted:
                raise entra(401, "invalid_client", 70021, "No matching federated identity record found.")
            key = trusted[0]["key"]
            right = trusted[0]["audience"] in audiences(claims)
        if not key:
            raise entra(401, "invalid_client", 700027, "The certificate is not registered on the application.")
        try:
            verify(assertion, key)
        except Refused as why:
            raise entra(401, "invalid_client", 700027, f"Client assertion failed signature validation: {why}") from why
        if not right:
            raise entra(401, "invalid_client", 700212, "No matching audience, issuer or subject.")
        if not claims.get("nbf", 0) <= self.now() < claims["exp"]:
            raise entra(401, "invalid_client", 700024, "Client assertion is not within its valid time range.")

    def managed(self, request):
        if not self.machine or request.headers.get("x-identity-header") != self.machine["header"]:
            raise Answer(401, {"statusCode": 401, "message": "no identity"})
        if request.query.get("resource") != RESOURCE:
            raise Answer(400, {"statusCode": 400, "message": "resource"})
        request.note(machine=True)
        expires = str(self.now() + 3599)
        token = self.issue(self.machine["client"])
        return {"access_token": token, "expires_on": expires, "resource": RESOURCE, "token_type": "Bearer"}

    def issue(self, principal):
        token = "eyJ0." + secrets.token_urlsafe(24)
        self.tokens[token] = {"principal": principal, "expires": self.now() + 3599, "number": len(self.tokens)}
        return token

    def vault(self, request, name, version):
        token = self.tokens.get(request.bearer() or "")
        if not token or token["expires"] <= self.now():
            given = request.bearer()
            request.note(challenged=True)
            why = "Request is missing a Bearer or PoP token." if not given else f"Error validating token: {given}"
            authority = f"https://login.microsoftonline.com/{uuid.UUID(int=0)}"
            challenge = f'Bearer authorization="{authority}", resource="{RESOURCE}"'
            raise error(401, "Unauthorized", f"AKV10000: {why}", headers={"WWW-Authenticate": challenge})
        request.note(principal=token["principal"], token=token["number"])
        if request.query.get("api-version") not in VERSIONS:
            raise error(400, "BadParameter", "The specified version is not recognized.")
        if request.method != "GET":
            raise error(405, "MethodNotAllowed", "not of this stub")
        needed = "list" if name is None or version == "versions" else "get"
        if needed not in self.permissions.get(token["principal"], ()):
            message = f"Caller is not authorized to perform action on resource. Action: {needed} of '{name}'"
            raise error(403, "Forbidden", message, "ForbiddenByRbac")
        if name is not None and not re.fullmatch(r"[0-9A-Za-z-]{1,127}", name):
            raise error(400, "BadParameter", f"The request URI contains an invalid name: {name}")
        base = f"https://{request.headers['host']}"
        if name is None:
            shown = [
                {**self.shown(base, known, versions[-1]), "id": f"{base}/secrets/{known}"}
                for known, versions in sorted(self.secrets.items())
                if known not in self.deleted
            ]
            return self.page(request, base, "/secrets", shown)
        versions = self.secrets.get(name, []) if name not in self.deleted else []
        if version == "versions":
            shown = [self.shown(base, name, secret) for secret in versions]
            return self.page(request, base, f"/secrets/{name}/versions", shown)
        found = [secret for secret in versions if version in (None, secret["version"])]
        if not found:
            what = f"{name}/{version}" if version else name
            message = f"A secret with (name/id) {what} was not found in this key vault."
            if name in self.deleted:
                message = f"Secret {what} is currently in a deleted but recoverable state."
            raise error(404, "SecretNotFound", message)
        if not found[-1]["attributes"]["enabled"]:
            raise error(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
        return {**self.shown(base, name, found[-1]), "value": found[-1]["value"]}

    def shown(self, base, name, secret):
        optional = {field: secret[field] for field in ("contentType", "tags", "managed") if field in secret}
        where = f"{base}/secrets/{name}/{secret['version']}"
        return {"id": where, "attributes": secret["attributes"], **optional}

    def page(self, request, base, path, items):
        size = int(request.query.get("maxresults") or PAGE)
        if not 1 <= size <= PAGE:
            raise error(400, "BadParameter", "maxresults")
        begin = int(request.query.get("$skiptoken") or 0)
        more = None
        if begin + size < len(items):
            version = request.query["api-version"]
            more = f"{base}{path}?api-version={version}&$skiptoken={begin + size}&maxresults={size}"
        return {"value": items[begin : begin + size], "nextLink": more}


serve(KeyVault(), *arguments())
