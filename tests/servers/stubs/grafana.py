"""Grafana as Waxwing meets it: the reader of its provisioning files with the expansion of `$`, the call that makes it read
them again, the data source API, the alerting provisioning API, and the state of deliveries. A test double: see `common.py`,
and docs/GRAFANA.md for what it was written from and what follows from it.

Nothing is encrypted or sent. What is secure is kept apart, and only `POST /stub/effective` shows it.

`python grafana.py PORT [CERT KEY]`
"""

import base64
import json
import os
import re
from urllib.parse import unquote, urlsplit

import yaml

from common import Answer, Stub, arguments, serve

REDACTED = "[REDACTED]"
DEFAULT = "grafana-default-email"

# type -> (settings that must be there, settings that are kept secret), as each `receivers/*/v1` of Grafana's has them.
TYPES = {
    "prometheus-alertmanager": ("url", "basicAuthPassword"),
    "dingding": ("url", "url"),
    "discord": ("url", "url"),
    "email": ("addresses", ""),
    "googlechat": ("url", "url"),
    "jira": ("api_url project issue_type", "user password api_token"),
    "kafka": ("kafkaRestProxy kafkaTopic", "password"),
    "line": ("token", "token"),
    "mqtt": ("brokerUrl topic", "password tlsConfig.caCertificate tlsConfig.clientCertificate tlsConfig.clientKey"),
    "oncall": ("url", "password authorization_credentials"),
    "opsgenie": ("apiKey", "apiKey"),
    "pagerduty": ("integrationKey", "integrationKey"),
    "pushover": ("userKey apiToken", "userKey apiToken"),
    "sensugo": ("url apikey", "apikey"),
    "slack": ("", "url token"),
    "sns": ("", "sigv4.access_key sigv4.secret_key"),
    "teams": ("url", ""),
    "telegram": ("bottoken chatid", "bottoken"),
    "threema": ("gateway_id recipient_id api_secret", "api_secret"),
    "victorops": ("url", "url"),
    "webex": ("", "bot_token"),
    "webhook": (
        "url",
        "password authorization_credentials hmacConfig.secret tlsConfig.caCertificate tlsConfig.clientCertificate "
        "tlsConfig.clientKey http_config.oauth2.client_secret http_config.oauth2.tls_config.caCertificate "
        "http_config.oauth2.tls_config.clientCertificate http_config.oauth2.tls_config.clientKey",
    ),
    "wecom": ("", "url secret"),
}
# What Go decodes into something else than a text; anything else there fails.
TRUTHS = {"singleEmail", "autoClose", "overridePriority", "uploadImage", "retain", "use_discord_username"}
TRUTHS |= {"hide_open_button", "hide_version_info", "disable_web_page_preview", "protect_content", "disable_notifications"}
NUMBERS = {"maxAlerts", "priority", "okPriority", "retry", "expire", "qos"}
OTHERS = {"headers", "payload", "tlsConfig", "hmacConfig", "http_config", "sigv4", "attributes", "details", "fields"}
OTHERS |= {"labels", "responders"}


class Wrong(Exception):
    """What Grafana does not take. The text repeats what it was given, as Grafana's do."""


class Provisioning:
    """The reader of files: `pkg/services/provisioning` of Grafana."""

    PATTERN = re.compile(r"\$(|__\w+)\{([^}]+)\}", re.ASCII)

    def __init__(self, environment, readable):
        self.environment, self.readable = environment, readable

    def expand(self, value):
        """`interpolateValue` of the package `values`."""
        return "$".join(self.expand_env(self.expand_var(piece)) for piece in value.split("$$"))

    def expand_var(self, text):
        """`ExpandVar` of the package `setting`: first the variables, then the files, on what the first gave."""
        for expander in ["env", "file"]:
            for match in self.PATTERN.finditer(text):
                if match[1] == "__" + expander or (match[1] == "" and expander == "env"):
                    if expander == "env":
                        value = self.environment.get(match[2], "")
                    elif match[2] not in self.readable:
                        raise Wrong(f"got error while expanding expander file: stat {match[2]}: no such file or directory")
                    else:
                        value = self.readable[match[2]].strip()
                    text = text.replace(match[0], value, 1)
        return text

    def expand_env(self, text):
        """`os.ExpandEnv` of Go."""
        out, start, at = "", 0, 0
        while at < len(text):
            if text[at] == "$" and at + 1 < len(text):
                out += text[start:at]
                name, width = self.shell_name(text[at + 1 :])
                if name:
                    out += self.environment.get(name, "")
                elif width == 0:
                    out += "$"
                at += width
                start = at + 1
            at += 1
        return out + text[start:]

    @staticmethod
    def shell_name(text):
        special = "*#$@!?-0123456789"
        if text[0] == "{":
            if len(text) > 2 and text[1] in special and text[2] == "}":
                return text[1], 3
            end = text.find("}")
            if end == 1:
                return "", 2
            return (text[1:end], end + 1) if end > 0 else ("", 1)
        if text[0] in special:
            return text[0], 1
        name = re.match(r"\w*", text, re.ASCII)[0]
        return name, len(name)

    def text(self, entry, name, fallback=""):
        """A `StringValue`: YAML's numbers and truth values are texts there."""
        value = entry.get(name)
        if value is None:
            return fallback
        if isinstance(value, (dict, list)):
            raise Wrong(f"yaml: unmarshal errors: cannot unmarshal !!map into string: {json.dumps(value)}")
        value = value if isinstance(value, str) else json.dumps(value)
        return self.expand(value)

    def number(self, entry, name, fallback):
        text = self.text(entry, name)
        try:
            return int(text) if text else fallback
        except ValueError as error:
            raise Wrong(f'cannot convert value int: strconv.Atoi: parsing "{text}": invalid syntax') from error

    def truth(self, entry, name):
        text = self.text(entry, name)
        if text not in ("", "true", "false", "1", "0"):
            raise Wrong(f'strconv.ParseBool: parsing "{text}": invalid syntax')
        return text in ("true", "1")

    def tree(self, value):
        """A `JSONValue`: texts are expanded wherever they stand, names are not."""
        if isinstance(value, str):
            return self.expand(value)
        if isinstance(value, list):
            return [self.tree(item) for item in value]
        if isinstance(value, dict):
            return {name: self.tree(item) for name, item in value.items() if isinstance(name, str)}
        return value

    def texts(self, entry, name):
        """A `StringMapValue`."""
        values = entry.get(name) or {}
        if not isinstance(values, dict):
            raise Wrong(f"cannot unmarshal into map[string]string: {json.dumps(values)}")
        return {key: self.text(values, key) for key in values}

    def load(self, folder, suffixes):
        """Every file, in the order of their names."""
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return
        for name in names:
            if not name.endswith(suffixes):
                if folder.endswith("alerting"):
                    raise Wrong(f"file has invalid suffix '{name}' (.yaml,.yml,.json accepted)")
                continue
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                try:
                    yield name, yaml.safe_load(file) or {}
                except yaml.YAMLError as error:
                    raise Wrong(f"failure to parse file {name}: {error}") from error

    def datasources(self, folder):
        files, defaults = [], {}
        for name, body in self.load(folder, (".yaml", ".yml")):
            if not body.get("apiVersion"):
                raise Wrong(f"{name}: the stub reads no files of version 0")
            upserts = []
            for entry in body.get("datasources") or []:
                found = {name: self.text(entry, name) for name in ["name", "type", "url", "user", "database", "uid"]}
                found |= {"access": self.text(entry, "access"), "basicAuthUser": self.text(entry, "basicAuthUser")}
                for flag in ["basicAuth", "withCredentials", "isDefault"]:
                    found[flag] = self.truth(entry, flag)
                found["jsonData"] = self.tree(entry.get("jsonData") or {})
                found["secure"] = self.texts(entry, "secureJsonData")
                found["readOnly"] = not self.truth(entry, "editable")
                found["org"] = self.number(entry, "orgId", 0) or 1
                if found["access"] not in ("proxy", "direct"):
                    found["access"] = "proxy"
                if found["isDefault"]:
                    defaults[found["org"]] = defaults.get(found["org"], 0) + 1
                    if defaults[found["org"]] > 1:
                        raise Wrong("datasource.yaml config is invalid. Only one datasource per organization can be marked as default")
                upserts.append(found)
            deletes = [
                (self.number(entry, "orgId", 0) or 1, self.text(entry, "name"))
                for entry in body.get("deleteDatasources") or []
            ]
            files.append((upserts, deletes))
        return files

    def alerting(self, folder):
        files = []
        for name, body in self.load(folder, (".yaml", ".yml", ".json")):
            try:
                points = [self.contact_point(entry) for entry in body.get("contactPoints") or []]
                deletes = [
                    (max(self.number(entry, "orgId", 1), 1), self.text(entry, "uid"))
                    for entry in body.get("deleteContactPoints") or []
                ]
                trees = []
                for entry in body.get("policies") or []:
                    tree = self.tree(entry)
                    trees.append((max(self.number(entry, "orgId", 1), 1), tree))
                resets = [int(org) for org in body.get("resetPolicies") or []]
            except Wrong as error:
                raise Wrong(f"failure to map file {name}: {error}") from error
            files.append((points, deletes, trees, resets))
        return files

    def contact_point(self, entry):
        name = self.text(entry, "name").strip()
        if not name:
            raise Wrong("failure parsing contact points: no name is set")
        receivers = []
        for receiver in entry.get("receivers") or []:
            found = {"uid": self.text(receiver, "uid").strip(), "type": self.text(receiver, "type").strip(), "name": name}
            for field in ["uid", "type"]:
                if not found[field]:
                    raise Wrong(f"failure parsing contact points: {name}: no {field} is set")
            found["settings"] = self.tree(receiver.get("settings") or {})
            if not found["settings"]:
                raise Wrong(f"failure parsing contact points: {name}: no settings are set")
            found["disableResolveMessage"] = self.truth(receiver, "disableResolveMessage")
            check_settings(found)
            receivers.append(found)
        return max(self.number(entry, "orgId", 1), 1), receivers


def dig(settings, path):
    for name in path.split("."):
        settings = settings.get(name) if isinstance(settings, dict) else None
    return settings


def check_settings(receiver):
    """What Grafana's `NewConfig` of this type refuses."""
    kind, settings = receiver["type"], receiver["settings"]
    known = TYPES.get(kind.lower())
    if known is None:
        raise Wrong(f"notifier {kind} is not supported")
    if not isinstance(settings, dict):
        raise Wrong(f"failed to unmarshal settings: {json.dumps(settings)}")
    for name, value in settings.items():
        if value is None or name in OTHERS:
            continue
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        fits = isinstance(value, bool) if name in TRUTHS else isinstance(value, str) or (number and name in NUMBERS)
        if not fits:
            raise Wrong(f"failed to unmarshal settings: cannot unmarshal {json.dumps(value)} into Go struct field .{name}")
    for path in known[0].split():
        if not dig(settings, path):
            raise Wrong(f"could not find {path} property in settings {json.dumps(settings)}")
    if kind == "slack" and not settings.get("url"):
        if not settings.get("recipient"):
            raise Wrong("recipient must be specified when using the Slack chat API")
        if not settings.get("token"):
            raise Wrong("token must be specified when using the Slack chat API")
    if kind == "slack" and re.search(r"[\s\x00-\x1f\x7f]", settings.get("url") or ""):
        raise Wrong(f'invalid URL "{settings["url"]}"')


def check_route(route, receivers, root=True):
    if root and not route.get("receiver"):
        raise Wrong("invalid object specification: root route must specify a default receiver")
    if root and (route.get("match") or route.get("match_re")):
        raise Wrong("invalid object specification: root route must not have any matchers")
    if route.get("receiver") and route["receiver"] not in receivers:
        raise Wrong(f"invalid object specification: receiver '{route['receiver']}' does not exist")
    for matcher in route.get("object_matchers") or []:
        if len(matcher) != 3 or matcher[1] not in ("=", "!=", "=~", "!~"):
            raise Wrong(f"unsupported match type in matcher {matcher}")
    for child in route.get("routes") or []:
        check_route(child, receivers, False)


def stored_route(route):
    """As Grafana gives it back: matchers sorted and without quotes around their values, and what is empty left out."""
    route = {name: value for name, value in route.items() if value not in (None, "", [], {}, False) and name != "orgId"}
    if "object_matchers" in route:
        stripped = [[name, kind, value.removeprefix('"').removesuffix('"')] for name, kind, value in route["object_matchers"]]
        route["object_matchers"] = sorted(stripped)
    if "routes" in route:
        route["routes"] = [stored_route(child) for child in route["routes"]]
    return route


def uses(route, name):
    return route.get("receiver") == name or any(uses(child, name) for child in route.get("routes") or [])


class Organisation:
    def __init__(self):
        email = {"uid": "default-email", "name": DEFAULT, "type": "email", "disableResolveMessage": False}
        email |= {"settings": {"addresses": "<example@email.com>"}, "provenance": ""}
        self.receivers = {"default-email": email}  # uid -> receiver with its credentials in settings
        self.tree, self.provenance = {"receiver": DEFAULT}, ""
        self.datasources = {}  # name -> data source with its credentials in secure
        self.attempts = {}  # (contact point, index) -> the state of its last delivery

    def names(self):
        return {receiver["name"] for receiver in self.receivers.values()}

    def put_receiver(self, receiver, provenance, is_update=None):
        old = self.receivers.get(receiver["uid"])
        if is_update is True and old is None:
            raise Wrong(f"contact point with uid '{receiver['uid']}' not found")
        if is_update is False and old is not None:
            raise Wrong(f"receiver configuration with UID '{receiver['uid']}' already exists. {json.dumps(receiver)}")
        if old:
            if old["provenance"] not in ("", provenance):
                raise Wrong(f"cannot change provenance from '{old['provenance']}' to '{provenance}'")
            for path in secure_paths(old["type"]):
                if dig(receiver["settings"], path) == REDACTED:
                    self.restore(receiver["settings"], path, dig(old["settings"], path))
        check_settings(receiver)
        self.receivers[receiver["uid"]] = {**receiver, "provenance": provenance}

    @staticmethod
    def restore(settings, path, value):
        *parents, last = path.split(".")
        for name in parents:
            settings = settings[name]
        settings[last] = value

    def delete_receiver(self, uid):
        old = self.receivers.get(uid)
        if old is None:
            return
        others = [it for it in self.receivers.values() if it["name"] == old["name"] and it["uid"] != uid]
        if not others and uses(self.tree, old["name"]):
            raise Wrong(f"contact point '{old['name']}' is currently used by a notification policy")
        del self.receivers[uid]

    def put_tree(self, tree, provenance):
        check_route(tree, self.names())
        self.tree, self.provenance = stored_route(tree), provenance

    def reset_tree(self):
        self.tree, self.provenance = {"receiver": DEFAULT}, ""


def secure_paths(kind):
    return TYPES.get(kind.lower(), ("", ""))[1].split()


def shown_receiver(receiver):
    """Without what is secure."""
    shown = json.loads(json.dumps(receiver))
    for path in secure_paths(receiver["type"]):
        if dig(shown["settings"], path):
            Organisation.restore(shown["settings"], path, REDACTED)
    return shown


class Grafana(Stub):
    def __init__(self):
        super().__init__()
        self.orgs = {}
        self.users = {"admin": {"password": "admin", "admin": True, "role": "Admin"}}
        self.tokens = {}  # token -> {org, role}
        self.folder, self.environment, self.readable = None, {"HOME": "/usr/share/grafana"}, {}
        self.failures = []  # [{path, status, times}]
        self.ids = 0

    def org(self, number):
        return self.orgs.setdefault(number, Organisation())

    # --- for the tests ---

    def set_user(self, body):
        self.users[body["name"]] = {"role": "Admin", "admin": False, **body}

    def set_token(self, body):
        self.tokens[body["token"]] = {"org": 1, "role": "Admin", **body}

    def set_folder(self, body):
        """Where the folders `datasources` and `alerting` are."""
        self.folder = body["path"]

    def set_environment(self, body):
        self.environment |= body

    def set_readable(self, body):
        """Files of Grafana's own disk, for `$__file{}`."""
        self.readable |= body

    def set_failure(self, body):
        """The next calls of paths that begin so fail, and the answer repeats what was sent."""
        self.failures.append({"times": 1, **body})

    def set_attempt(self, body):
        """The last delivery of an integration failed with this text; none: it arrived."""
        point = body["contactPoint"], body.get("integration", 0)
        self.org(body.get("org", 1)).attempts[point] = body.get("error", "")

    def set_edit(self, body):
        """What somebody does in Grafana's own pages to a receiver's or a data source's settings."""
        org = self.org(body.get("org", 1))
        if "uid" in body:
            org.receivers[body["uid"]]["settings"] |= body["settings"]
        else:
            org.datasources[body["name"]] |= body["settings"]

    def set_restart(self, body):
        """A new process reads all files. Where its database is its own it has forgotten everything."""
        if body.get("ephemeral"):
            self.orgs = {}
        try:
            self.provision_datasources()
            self.provision_alerting()
        except Wrong as error:
            return {"started": False, "error": str(error)}
        return {"started": True}

    def set_effective(self, _):
        """What there is, credentials included."""
        return {
            str(number): {
                "datasources": list(org.datasources.values()),
                "contactPoints": list(org.receivers.values()),
                "policies": org.tree,
            }
            for number, org in self.orgs.items()
        }

    # --- provisioning ---

    def provision_datasources(self):
        files = Provisioning(self.environment, self.readable).datasources(os.path.join(self.folder, "datasources"))
        for upserts, deletes in files:
            for org, name in deletes:
                self.org(org).datasources.pop(name, None)
            for entry in upserts:
                entry = dict(entry)
                org = self.org(entry.pop("org"))
                old = org.datasources.get(entry["name"], {})
                others = [it["uid"] for it in org.datasources.values() if it["name"] != entry["name"]]
                if entry["uid"] and entry["uid"] in others:
                    raise Wrong(f"data source with the same uid already exists: {json.dumps(entry)}")
                # A file says all that is secret: nothing of before stays.
                entry["uid"] = entry["uid"] or old.get("uid") or "P" + entry["name"].encode().hex()[:15].upper()
                org.datasources[entry["name"]] = {**entry, "id": old.get("id") or self.next_id()}

    def provision_alerting(self):
        files = Provisioning(self.environment, self.readable).alerting(os.path.join(self.folder, "alerting"))
        for points, _, _, _ in files:
            for org, receivers in points:
                for receiver in receivers:
                    self.org(org).put_receiver(receiver, "file")
        for _, _, trees, _ in files:
            for org, tree in trees:
                self.org(org).put_tree(tree, "file")
        for _, _, _, resets in files:
            for org in resets:
                self.org(org).reset_tree()
        for _, deletes, _, _ in files:
            for org, uid in deletes:
                self.org(org).delete_receiver(uid)

    def next_id(self):
        self.ids += 1
        return self.ids

    # --- the server ---

    def route(self, request):
        who = self.who(request)
        for failure in self.failures:
            if request.path.startswith(failure["path"]) and failure["times"] > 0:
                failure["times"] -= 1
                raise Answer(failure["status"], {"message": f"failed: {request.body.decode()}", "traceID": ""})
        org = self.org(who["org"])
        request.note(user=who["name"], org=who["org"], disable=request.headers.get("x-disable-provenance", ""))
        path, method = unquote(request.path), request.method
        if match := re.fullmatch(r"/api/admin/provisioning/(datasources|alerting)/reload", path):
            return self.reload(who, match[1], method)
        if path == "/api/alertmanager/grafana/config/api/v1/receivers" and method == "GET":
            return self.deliveries(org)
        if who["role"] == "Viewer":
            raise self.denied("alert.provisioning:write")
        if match := re.fullmatch(r"/api/datasources(?:/(uid|name)/(.+))?", path):
            return self.datasource(request, org, match[1], match[2])
        if match := re.fullmatch(r"/api/v1/provisioning/contact-points(?:/([^/]+))?", path):
            return self.contact_point(request, org, match[1])
        if path == "/api/v1/provisioning/policies":
            return self.policies(request, org)
        raise Answer(404, {"message": "Not found", "traceID": ""})

    def who(self, request):
        kind, _, value = (request.headers.get("authorization") or "").partition(" ")
        org = int(request.headers.get("x-grafana-org-id") or 1)
        if kind == "Bearer" and value in self.tokens:
            token = self.tokens[value]
            if token["org"] != org:
                raise Answer(401, {"message": "Unauthorized", "messageId": "auth.unauthorized", "statusCode": 401})
            return {"name": "a service account", "admin": False, **token}
        if kind == "Basic":
            name, _, password = base64.b64decode(value).decode().partition(":")
            user = self.users.get(name)
            if user and user["password"] == password:
                return {"org": org, **user, "name": name}
            message = "Invalid username or password"
            raise Answer(401, {"message": message, "messageId": "password-auth.failed", "statusCode": 401, "traceID": ""})
        # Grafana's own says no more; what was sent is here so that a test sees where such text ends up.
        message = {"message": f"Unauthorized {value}", "messageId": "auth.unauthorized", "statusCode": 401, "traceID": ""}
        raise Answer(401, message)

    @staticmethod
    def denied(permission):
        text = f"You'll need additional permissions to perform this action. Permissions needed: {permission}"
        return Answer(403, {"accessErrorId": "ACE0000000000", "message": text, "title": "Access denied"})

    def reload(self, who, kind, method):
        if method != "POST":
            raise Answer(404, {"message": "Not found", "traceID": ""})
        if not who["admin"]:
            raise self.denied("provisioning:reload")
        try:
            {"datasources": self.provision_datasources, "alerting": self.provision_alerting}[kind]()
        except Wrong as error:
            raise Answer(500, {"error": str(error), "message": "Internal Server Error", "traceID": ""}) from error
        return {"message": f"{kind.capitalize()} config reloaded"}

    # --- data sources ---

    @staticmethod
    def shown_datasource(source):
        shown = {name: value for name, value in source.items() if name != "secure"}
        shown["secureJsonFields"] = {name: True for name, value in source["secure"].items() if value}
        return {"orgId": 1, "version": 1, "typeLogoUrl": "", **shown}

    def datasource(self, request, org, by, key):
        method = request.method
        if by is None and method == "GET":
            return [self.shown_datasource(source) for source in org.datasources.values()]
        if by is None and method == "POST":
            return self.write_datasource(org, request.json(), None)
        source = next((it for it in org.datasources.values() if it[by] == key), None) if by else None
        if source is None:
            raise Answer(404, {"message": "Data source not found", "traceID": ""})
        if method == "GET":
            return self.shown_datasource(source)
        if source["readOnly"]:
            verb = "delete" if method == "DELETE" else "update"
            raise Answer(403, {"message": f"Cannot {verb} read-only data source", "traceID": ""})
        if method == "DELETE":
            del org.datasources[source["name"]]
            return {"message": "Data source deleted", "id": source["id"]}
        if method == "PUT" and by == "uid":
            return self.write_datasource(org, request.json(), source)
        raise Answer(404, {"message": "Not found", "traceID": ""})

    def write_datasource(self, org, body, old):
        for name in ["name", "type", "access"]:
            if not body.get(name):
                raise Answer(400, {"message": "bad request data", "error": json.dumps(body), "traceID": ""})
        if body.get("url") and not self.is_address(body["url"]):
            raise Answer(400, {"message": "Validation error, invalid URL", "error": f'invalid url {body["url"]}'})
        taken = [it for it in org.datasources.values() if it is not old]
        if any(it["name"] == body["name"] or (body.get("uid") and it["uid"] == body["uid"]) for it in taken):
            raise Answer(409, {"message": "data source with the same name already exists", "traceID": ""})
        secure = {**(old["secure"] if old else {}), **(body.get("secureJsonData") or {})}
        fields = {"url": "", "user": "", "database": "", "basicAuth": False, "basicAuthUser": "", "isDefault": False}
        fields |= {"withCredentials": False, "uid": old["uid"] if old else f"made{self.ids}", "jsonData": {}}
        fields |= {name: value for name, value in body.items() if name in fields}
        source = {**fields, "name": body["name"], "type": body["type"], "access": body["access"]}
        source |= {"secure": secure, "readOnly": False, "id": old["id"] if old else self.next_id()}
        if old:
            del org.datasources[old["name"]]
        org.datasources[source["name"]] = source
        message = "Datasource updated" if old else "Datasource added"
        shown = self.shown_datasource(source)
        return {"message": message, "id": source["id"], "name": source["name"], "datasource": shown}

    @staticmethod
    def is_address(text):
        try:
            return bool(urlsplit(text).netloc or re.fullmatch(r"[^\s/]+:\d+", text))
        except ValueError:
            return False

    # --- alerting ---

    @staticmethod
    def provenance(request):
        return "" if request.headers.get("x-disable-provenance") is not None else "api"

    def contact_point(self, request, org, uid):
        method = request.method
        if method == "GET" and uid is None:
            return [shown_receiver(it) for it in sorted(org.receivers.values(), key=lambda it: it["name"])]
        try:
            if method == "DELETE" and uid:
                org.delete_receiver(uid)
                raise Answer(202, {"message": "contactpoint deleted"})
            body = {"disableResolveMessage": False, **request.json()}
            body = {name: body.get(name) for name in ["uid", "name", "type", "settings", "disableResolveMessage"]}
            if method == "POST" and uid is None:
                body["uid"] = body["uid"] or f"made{self.next_id()}"
                org.put_receiver(body, self.provenance(request), is_update=False)
                raise Answer(202, shown_receiver(org.receivers[body["uid"]]))
            if method == "PUT" and uid:
                if uid not in org.receivers:
                    raise Answer(404, {"message": f"contact point with uid '{uid}' not found"})
                org.put_receiver({**body, "uid": uid}, self.provenance(request), is_update=True)
                raise Answer(202, {"message": "contactpoint updated"})
        except Wrong as error:
            raise Answer(self.code(str(error)), {"message": str(error), "traceID": ""}) from error
        raise Answer(404, {"message": "Not found", "traceID": ""})

    @staticmethod
    def code(text):
        if "currently used" in text:
            return 409
        return 403 if "provenance" in text else 400

    def policies(self, request, org):
        if request.method == "GET":
            return {**org.tree, **({"provenance": org.provenance} if org.provenance else {})}
        if request.method == "PUT":
            try:
                if org.provenance not in ("", self.provenance(request)):
                    raise Wrong(f"cannot change provenance from '{org.provenance}'")
                org.put_tree(request.json(), self.provenance(request))
            except Wrong as error:
                raise Answer(self.code(str(error)), {"message": str(error), "traceID": ""}) from error
            raise Answer(202, {"message": "policies updated"})
        if request.method == "DELETE":
            org.reset_tree()
            raise Answer(202, org.tree)
        raise Answer(404, {"message": "Not found", "traceID": ""})

    @staticmethod
    def deliveries(org):
        found = {}
        for receiver in org.receivers.values():
            integrations = found.setdefault(receiver["name"], [])
            state = {"name": f"{receiver['type']}", "sendResolved": not receiver["disableResolveMessage"]}
            attempt = org.attempts.get((receiver["name"], len(integrations)))
            if attempt is None:
                state |= {"lastNotifyAttempt": "0001-01-01T00:00:00.000Z", "lastNotifyAttemptDuration": "0s"}
            else:
                state |= {"lastNotifyAttempt": "2026-11-21T10:00:00.000Z", "lastNotifyAttemptDuration": "80ms"}
                state |= {"lastNotifyAttemptError": attempt} if attempt else {}
            integrations.append(state)
        return [{"name": name, "active": uses(org.tree, name), "integrations": it} for name, it in found.items()]


if __name__ == "__main__":
    serve(Grafana(), *arguments())
