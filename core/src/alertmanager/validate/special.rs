//! Rules that a table cannot state.

use std::{collections::BTreeSet, time::Duration};

use super::{Check, Map, rules::join, scalar, walk::text};
use crate::{
    alertmanager::{
        gotemplate::{self, Functions},
        schema::{GLOBAL, HTTP, More, Object},
    },
    inject::Node,
};

impl<'a> Check<'a> {
    /// Judges one such rule.
    pub(super) fn special(&mut self, map: &'a Map, object: &'static Object, more: More) {
        match more {
            More::Http => self.http(map),
            More::OAuth2 => self.oauth2(map, object),
            More::Proxy => self.proxy(map, object),
            More::ReservedHeaders => self.reserved_headers(map),
            More::Tls => self.tls(map, object),
            More::GlobalSlack => self.global_slack(map),
            More::Slack => self.slack(map, object),
            More::SlackUpdate => self.slack_update(map),
            More::Email => self.email(map),
            More::Incidentio => self.incidentio(map, object),
            More::VictorOps => self.victorops(map),
            More::OpsgenieResponder => self.responder(map),
            More::Sns => self.sns(map, object),
            More::Webex => {
                if !map.get("http_config").and_then(Node::as_map).is_some_and(|http| self.is_authorized(http))
                {
                    self.error("required", "Webex needs http_config.authorization");
                }
            }
            More::MsTeamsV2 => {
                let has_proxy =
                    map.get("http_config").and_then(|http| http.get("proxy_url")).is_some_and(is_there);
                if !has_proxy {
                    self.global_http();
                }
            }
            More::ReceiverLabels => self.receiver_labels(map),
            More::Route => self.route(map),
            More::TimeRange => self.time_range(map),
            More::Batches => self.batches(map, object),
            More::Brokers => {
                if items(map, "brokers")
                    .iter()
                    .any(|broker| text(broker).is_some_and(|broker| broker.is_empty()))
                {
                    self.error_at("brokers", "required", "a broker is empty");
                }
            }
            More::NoUrlFileAlone => {
                if !self.is_set(map, object, "webhook_url") {
                    self.error(
                        "required",
                        format!("before 0.28 this {} needs webhook_url, not a file", object.name),
                    );
                }
            }
        }
    }

    fn http(&mut self, map: &Map) {
        let [basic, oauth2, authorization] =
            ["basic_auth", "oauth2", "authorization"].map(|name| given(map, name));
        let is_set = |name| self.is_set(map, &HTTP, name);
        let bearer = is_set("bearer_token") || is_set("bearer_token_file");
        if [basic, oauth2, authorization, bearer].into_iter().filter(|given| *given).count() > 1 {
            self.error(
                "one-of",
                "at most one of basic_auth, oauth2, authorization and a bearer token may be set",
            );
        }
        let kind =
            map.get("authorization").and_then(|authorization| authorization.get("type")).and_then(text);
        if kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("basic")) {
            self.error_at("authorization", "choice", "basic authorization goes into basic_auth");
        }
    }

    /// Whether an `http_config` brings an `Authorization` header of its own.
    fn is_authorized(&self, http: &Map) -> bool {
        given(http, "authorization")
            || self.is_set(http, &HTTP, "bearer_token")
            || self.is_set(http, &HTTP, "bearer_token_file")
    }

    fn oauth2(&mut self, map: &Map, object: &'static Object) {
        let is_grant = |grant: &str| map.get("grant_type").and_then(text).is_some_and(|given| given == grant);
        let is_jwt = self.version.minor() >= 30 && is_grant("urn:ietf:params:oauth:grant-type:jwt-bearer");
        let names: &[&str] = if is_jwt {
            &["client_certificate_key", "client_certificate_key_file", "client_certificate_key_ref"]
        } else {
            &["client_secret", "client_secret_file", "client_secret_ref"]
        };
        if names.iter().filter(|name| self.is_set(map, object, name)).count() > 1 {
            self.error("one-of", format!("at most one of {} may be set", join(names, "and")));
        }
        let algorithm = map.get("signature_algorithm").and_then(text).unwrap_or_default();
        if is_jwt && !matches!(&*algorithm, "" | "RS256" | "RS384" | "RS512") {
            self.error_at("signature_algorithm", "choice", "is none of RS256, RS384 and RS512");
        }
    }

    fn proxy(&mut self, map: &Map, object: &'static Object) {
        let is_set = |name| self.is_set(map, object, name);
        let (url, environment) = (is_set("proxy_url"), is_set("proxy_from_environment"));
        let (header, exceptions) = (is_set("proxy_connect_header"), is_set("no_proxy"));
        if header && !url && !environment {
            self.error("required", "proxy_connect_header needs proxy_url or proxy_from_environment");
        }
        if environment && (url || exceptions) {
            self.error("one-of", "proxy_from_environment excludes proxy_url and no_proxy");
        }
        if exceptions && !given(map, "proxy_url") {
            self.error("required", "no_proxy needs proxy_url");
        }
    }

    fn reserved_headers(&mut self, map: &Map) {
        for name in map.get("http_headers").and_then(Node::as_map).into_iter().flat_map(Map::keys) {
            if RESERVED_HEADERS.contains(&canonical(name).as_str()) {
                self.error_at("http_headers", "header", "a header is set that Alertmanager sets itself");
            }
        }
    }

    fn tls(&mut self, map: &Map, object: &'static Object) {
        let any = |names: [&str; 3]| names.iter().any(|name| self.is_set(map, object, name));
        let (cert, key) = (any(["cert", "cert_file", "cert_ref"]), any(["key", "key_file", "key_ref"]));
        if cert != key {
            self.error("required", "a client's certificate and its key need each other");
        }
    }

    fn global_slack(&mut self, map: &Map) {
        let any = |names: [&str; 2]| names.iter().any(|name| self.is_set(map, &GLOBAL, name));
        if !any(["slack_app_token", "slack_app_token_file"]) || !any(["slack_api_url", "slack_api_url_file"])
        {
            return;
        }
        let app = map.get("slack_app_url").map_or(Some(SLACK_APP_URL.into()), text);
        let is_same =
            map.get("slack_api_url").filter(|url| is_there(url)).is_some_and(|url| text(url) == app);
        if !is_same {
            self.error(
                "one-of",
                "slack_app_token excludes slack_api_url, except as the same URL as slack_app_url",
            );
        }
    }

    /// Whether a Slack integration has a URL or a token, and whether the token may be sent.
    fn slack(&mut self, map: &Map, object: &'static Object) {
        let own = |name| self.is_set(map, object, name);
        let http = map.get("http_config").and_then(Node::as_map);
        let is_authorized = http.is_some_and(|http| self.is_authorized(http));
        let own_token = own("app_token") || own("app_token_file");
        let may_inherit = !own_token && !is_authorized && !own("api_url");
        let token = own_token
            || may_inherit && (self.is_global("slack_app_token") || self.is_global("slack_app_token_file"));
        let own_url = own("api_url") || own("api_url_file");
        let url = own_url || self.is_global("slack_api_url") || self.is_global("slack_api_url_file");
        if !own("app_url") && !self.is_global("slack_app_url") {
            self.error("required", "Slack needs app_url, which global sets to null");
        }
        if !token && !url {
            self.error("required", "Slack needs a URL or an app token, here or under global");
        }
        if http.is_none() {
            self.global_http();
        }
        let global = self.global.and_then(|global| global.get("http_config")).and_then(Node::as_map);
        if token && http.or(global).is_some_and(|http| self.is_authorized(http)) {
            self.error("one-of", "a Slack app token excludes http_config.authorization");
        }
    }

    /// Alertmanager dies where it copies what is not there.
    fn global_http(&mut self) {
        if matches!(self.global.and_then(|global| global.get("http_config")), Some(Node::Null)) {
            self.error("required", "global.http_config must not be null with this integration");
        }
    }

    fn slack_update(&mut self, map: &Map) {
        let is_update = matches!(map.get("update_message"), Some(Node::Bool(true)));
        let is_app = map.get("api_url").and_then(text).is_some_and(|url| url == SLACK_APP_URL);
        if is_update && !is_app {
            self.error_at("update_message", "required", format!("needs api_url to be {SLACK_APP_URL}"));
        }
    }

    fn email(&mut self, map: &Map) {
        let mut known = BTreeSet::new();
        for name in map.get("headers").and_then(Node::as_map).into_iter().flat_map(Map::keys) {
            if !known.insert(canonical(name)) {
                self.error_at(
                    "headers",
                    "duplicate-header",
                    "a header is there twice: upper and lower case are the same",
                );
            }
        }
        let Some(threading) = map.get("threading").and_then(Node::as_map) else { return };
        if self.version.minor() < 30 || !matches!(threading.get("enabled"), Some(Node::Bool(true))) {
            return;
        }
        if known.contains("References") || known.contains("In-Reply-To") {
            self.error_at("headers", "one-of", "threading excludes the headers References and In-Reply-To");
        }
        let by = threading.get("thread_by_date").and_then(text).unwrap_or_default();
        if self.version.minor() >= 31 && !matches!(&*by, "none" | "daily") {
            self.error_at("threading", "choice", "thread_by_date is none or daily");
        }
    }

    fn incidentio(&mut self, map: &Map, object: &'static Object) {
        let is_set = |name| self.is_set(map, object, name);
        let token = is_set("alert_source_token") || is_set("alert_source_token_file");
        let Some(http) = map.get("http_config").and_then(Node::as_map) else { return };
        match (token, self.is_authorized(http)) {
            (true, true) => self.error("one-of", "alert_source_token excludes http_config.authorization"),
            (false, false) => {
                self.error("required", "incident.io needs alert_source_token or http_config.authorization")
            }
            _ => {}
        }
    }

    fn victorops(&mut self, map: &Map) {
        const RESERVED: [&str; 7] = [
            "routing_key",
            "message_type",
            "state_message",
            "entity_display_name",
            "monitoring_tool",
            "entity_id",
            "entity_state",
        ];
        for name in map.get("custom_fields").and_then(Node::as_map).into_iter().flat_map(Map::keys) {
            if RESERVED.contains(&name.as_str()) {
                self.error_at(
                    "custom_fields",
                    "choice",
                    "a custom field has the name of one that VictorOps has",
                );
            }
        }
    }

    fn responder(&mut self, map: &Map) {
        let Some(kind) = map.get("type").map_or(Some("".into()), text) else { return };
        let is_known = if kind.contains(gotemplate::OPEN) {
            gotemplate::check(&kind, Functions::Go).is_ok()
        } else {
            ["team", "teams", "user", "escalation", "schedule"].contains(&kind.to_lowercase().as_str())
        };
        if !is_known {
            self.error_at("type", "choice", "is none of team, teams, user, escalation and schedule");
        }
    }

    /// As Alertmanager does: one of them or all three.
    fn sns(&mut self, map: &Map, object: &'static Object) {
        let names = ["target_arn", "topic_arn", "phone_number"];
        let set = names.iter().filter(|name| self.is_set(map, object, name)).count();
        match set {
            1 => {}
            3 => self.warn("one-of", "only one of target_arn, topic_arn and phone_number is used"),
            _ => self.error("one-of", "SNS needs one of target_arn, topic_arn and phone_number"),
        }
    }

    fn receiver_labels(&mut self, map: &Map) {
        let label = map.get("labels").and_then(|labels| labels.get("name")).and_then(text);
        let name = map.get("name").and_then(text);
        if label.is_some_and(|label| name.is_some_and(|name| label != name)) {
            self.error_at("labels", "choice", "the label name must be the receiver's name");
        }
    }

    fn route(&mut self, map: &Map) {
        let mut labels = BTreeSet::new();
        let mut is_all = false;
        for label in items(map, "group_by").iter().filter_map(text) {
            if label == "..." {
                is_all = true;
            } else if !labels.insert(label) {
                self.error_at("group_by", "duplicate-label", "a label is there twice");
            }
        }
        if is_all && !labels.is_empty() {
            self.error_at("group_by", "one-of", "... stands alone");
        }
        for name in ["group_interval", "repeat_interval"] {
            if map
                .get(name)
                .filter(|node| is_there(node))
                .and_then(text)
                .is_some_and(|text| scalar::duration(&text) == Ok(Duration::ZERO))
            {
                self.error_at(name, "duration", "is zero");
            }
        }
    }

    fn time_range(&mut self, map: &Map) {
        let time = |name| map.get(name).and_then(text).and_then(|text| scalar::clock(&text));
        match (time("start_time"), time("end_time")) {
            (Some(start), Some(end)) if start < end => {}
            (Some(_), Some(_)) => self.error("range", "ends before it begins"),
            _ => self.error("format", "start_time and end_time are times such as 09:00"),
        }
    }

    fn batches(&mut self, map: &Map, object: &'static Object) {
        let names = ["batch_max_events", "batch_max_bytes"];
        let is_negative = |name: &&str| matches!(map.get(*name), Some(Node::Number(number)) if number.as_f64().is_some_and(|number| number <= -1.0));
        if names.iter().any(is_negative) {
            self.error("range", "a batch can't be negative");
        }
        let interval = map.get("batch_flush_interval").filter(|node| is_there(node)).and_then(text);
        let has_interval =
            interval.is_some_and(|text| scalar::duration(&text).is_ok_and(|time| !time.is_zero()));
        let has_size = names.iter().any(|name| self.is_set(map, object, name));
        if !self.is_set(map, object, "batch") && (has_interval || has_size) {
            self.error("required", "what is said about batches needs batch: true");
        }
    }
}

pub(in crate::alertmanager) const SLACK_APP_URL: &str = "https://slack.com/api/chat.postMessage";

const RESERVED_HEADERS: [&str; 18] = [
    "Authorization",
    "Host",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "User-Agent",
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Www-Authenticate",
    "Accept-Encoding",
    "X-Prometheus-Remote-Write-Version",
    "X-Prometheus-Remote-Read-Version",
    "X-Prometheus-Scrape-Timeout-Seconds",
    "X-Amz-Date",
    "X-Amz-Security-Token",
    "X-Amz-Content-Sha256",
];

fn is_there(node: &Node) -> bool {
    !matches!(node, Node::Null)
}

fn given(map: &Map, name: &str) -> bool {
    map.get(name).is_some_and(is_there)
}

fn items<'a>(map: &'a Map, name: &str) -> &'a [Node] {
    map.get(name).and_then(Node::as_list).unwrap_or_default()
}

/// A header's name as Go writes it. What is no name stays as it is.
fn canonical(name: &str) -> String {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return name.to_owned();
    }
    let mut upper = true;
    let letter = |byte: u8| {
        let letter = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
        upper = byte == b'-';
        char::from(letter)
    };
    name.bytes().map(letter).collect()
}
