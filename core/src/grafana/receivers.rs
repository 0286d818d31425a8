//! The kinds of contact points that Grafana knows, and the fields of each and of a data source.
//!
//! From the `Config` and `Schema` of `receivers/*/v1` in grafana/alerting, and `pkg/services/provisioning/datasources` in
//! grafana. Grafana decodes settings strictly by type: a number where it reads a text fails the file, and with it every
//! other file of its kind.

use crate::inject::Node;

use super::field::{
    Field,
    Keeps::{Clear, Secure},
    Kind,
};

/// One kind of contact point.
pub(super) struct Receiver {
    /// Its `type`; what follows the first are other spellings that Grafana takes.
    names: &'static [&'static str],
    /// Its settings.
    pub(super) fields: &'static [Field],
    /// What these settings must have together; what is amiss, if anything.
    pub(super) check: fn(&Node) -> Option<&'static str>,
}

impl Receiver {
    /// The kind of this name.
    pub(super) fn named(name: &str) -> Option<&'static Self> {
        RECEIVERS.iter().find(|receiver| receiver.names.contains(&name))
    }
}

const fn text(name: &'static str) -> Field {
    Field::new(name, Kind::Text)
}

const fn secret(name: &'static str) -> Field {
    text(name).keeps(Secure)
}

const fn bool(name: &'static str) -> Field {
    Field::new(name, Kind::Bool)
}

const fn number(name: &'static str) -> Field {
    Field::new(name, Kind::Number)
}

const fn url(name: &'static str) -> Field {
    Field::new(name, Kind::Url)
}

const fn texts(name: &'static str) -> Field {
    Field::new(name, Kind::Texts)
}

const fn one_of(name: &'static str, options: &'static [&'static str]) -> Field {
    Field::new(name, Kind::OneOf(options))
}

const fn fields(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Kind::Fields(fields))
}

/// What a data source has besides `jsonData` and `secureJsonData`, whose names belong to its plugin.
pub(super) const DATASOURCE: &[Field] = &[
    text("name").required(),
    text("type").required(),
    one_of("access", &["proxy", "direct"]),
    number("orgId"),
    text("orgName"),
    text("uid"),
    text("url"),
    text("user"),
    text("database"),
    bool("basicAuth"),
    text("basicAuthUser"),
    bool("withCredentials"),
    bool("isDefault"),
    Field::new("correlations", Kind::List),
    Field::new("jsonData", Kind::Anything),
    Field::new("secureJsonData", Kind::Texts).keeps(Secure),
    bool("editable"),
    number("version"),
    text("apiVersion"),
    Field::new("caching", Kind::Anything),
];

const TLS: &[Field] = &[
    bool("insecureSkipVerify"),
    Field::new("caCertificate", Kind::Certificates).keeps(Secure),
    Field::new("clientCertificate", Kind::Certificates).keeps(Secure),
    Field::new("clientKey", Kind::PrivateKey).keeps(Secure),
];

const PROXY: &[Field] =
    &[text("proxy_url"), bool("proxy_from_environment"), text("no_proxy"), texts("proxy_connect_header")];

const OAUTH2: &[Field] = &[
    url("token_url").required(),
    text("client_id").required(),
    secret("client_secret").required(),
    Field::new("scopes", Kind::Anything),
    texts("endpoint_params"),
    fields("tls_config", TLS),
    fields("proxy_config", PROXY),
];

const METHODS: &[&str] = &["POST", "PUT"];

const RECEIVERS: &[Receiver] = &[
    Receiver {
        names: &["prometheus-alertmanager"],
        fields: &[text("url").required(), text("basicAuthUser"), secret("basicAuthPassword")],
        check: nothing,
    },
    Receiver {
        names: &["dingding"],
        fields: &[
            url("url").keeps(Secure).required(),
            one_of("msgType", &["link", "actionCard"]),
            text("title"),
            text("message"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["discord"],
        fields: &[
            url("url").keeps(Secure).required(),
            text("title"),
            text("message"),
            text("avatar_url"),
            bool("use_discord_username"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["email"],
        fields: &[text("addresses").required(), bool("singleEmail"), text("message"), text("subject")],
        check: nothing,
    },
    Receiver {
        names: &["googlechat"],
        fields: &[
            url("url").keeps(Secure).required(),
            text("title"),
            text("message"),
            bool("hide_open_button"),
            bool("hide_version_info"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["jira"],
        fields: &[
            url("api_url").required(),
            text("project").required(),
            text("issue_type").required(),
            text("summary"),
            text("description"),
            Field::new("labels", Kind::List),
            text("priority"),
            text("reopen_transition"),
            text("resolve_transition"),
            text("wont_fix_resolution"),
            text("reopen_duration"),
            text("dedup_key_field"),
            Field::new("fields", Kind::Anything),
            secret("user"),
            secret("password"),
            secret("api_token"),
        ],
        check: jira,
    },
    Receiver {
        names: &["kafka"],
        fields: &[
            url("kafkaRestProxy").required(),
            text("kafkaTopic").required(),
            text("username"),
            secret("password"),
            one_of("apiVersion", &["v2", "v3"]),
            text("kafkaClusterId"),
            text("description"),
            text("details"),
        ],
        check: kafka,
    },
    Receiver {
        names: &["line", "LINE"],
        fields: &[secret("token").required(), text("title"), text("description")],
        check: nothing,
    },
    Receiver {
        names: &["mqtt"],
        fields: &[
            text("brokerUrl").required(),
            text("topic").required(),
            text("clientId"),
            text("message"),
            one_of("messageFormat", &["json", "text"]),
            text("username"),
            secret("password"),
            number("qos"),
            bool("retain"),
            fields("tlsConfig", TLS),
        ],
        check: nothing,
    },
    Receiver {
        names: &["oncall"],
        fields: &[
            url("url").keeps(Clear).required(),
            one_of("httpMethod", METHODS),
            number("maxAlerts"),
            text("username"),
            secret("password"),
            text("authorization_scheme"),
            secret("authorization_credentials"),
            text("title"),
            text("message"),
        ],
        check: one_authorization,
    },
    Receiver {
        names: &["opsgenie"],
        fields: &[
            secret("apiKey").required(),
            url("apiUrl"),
            text("message"),
            text("description"),
            bool("autoClose"),
            bool("overridePriority"),
            one_of("sendTagsAs", &["tags", "details", "both"]),
            Field::new("responders", Kind::List),
        ],
        check: nothing,
    },
    Receiver {
        names: &["pagerduty"],
        fields: &[
            secret("integrationKey").required(),
            text("severity"),
            texts("details"),
            text("class"),
            text("component"),
            text("group"),
            text("summary"),
            text("source"),
            text("client"),
            text("client_url"),
            url("url"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["pushover"],
        fields: &[
            secret("userKey").required(),
            secret("apiToken").required(),
            number("priority"),
            number("okPriority"),
            number("retry"),
            number("expire"),
            text("device"),
            text("sound"),
            text("okSound"),
            bool("uploadImage"),
            text("title"),
            text("message"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["sensugo"],
        fields: &[
            url("url").required(),
            secret("apikey").required(),
            text("entity"),
            text("check"),
            text("namespace"),
            text("handler"),
            text("message"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["slack"],
        fields: &[
            url("url").keeps(Secure),
            secret("token"),
            text("recipient"),
            url("endpointUrl"),
            text("username"),
            text("icon_emoji"),
            text("icon_url"),
            one_of("mentionChannel", &["", "here", "channel"]),
            text("mentionUsers"),
            text("mentionGroups"),
            text("color"),
            text("title"),
            text("text"),
            text("footer"),
        ],
        check: slack,
    },
    Receiver {
        names: &["sns"],
        fields: &[
            url("api_url"),
            fields(
                "sigv4",
                &[
                    text("region"),
                    secret("access_key"),
                    secret("secret_key"),
                    text("profile"),
                    text("role_arn"),
                ],
            ),
            text("topic_arn"),
            text("phone_number"),
            text("target_arn"),
            text("subject"),
            text("message"),
            texts("attributes"),
        ],
        check: sns,
    },
    Receiver {
        names: &["teams"],
        // Grafana has no secure settings here, although the address is all that it takes to post.
        fields: &[url("url").keeps(Clear).required(), text("title"), text("sectiontitle"), text("message")],
        check: nothing,
    },
    Receiver {
        names: &["telegram"],
        fields: &[
            secret("bottoken").required(),
            text("chatid").required(),
            text("message_thread_id"),
            text("message"),
            one_of("parse_mode", &["None", "HTML", "Markdown", "MarkdownV2"]),
            bool("disable_web_page_preview"),
            bool("protect_content"),
            bool("disable_notifications"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["threema"],
        fields: &[
            text("gateway_id").required(),
            text("recipient_id").required(),
            secret("api_secret").required(),
            text("title"),
            text("description"),
        ],
        check: threema,
    },
    Receiver {
        names: &["victorops"],
        fields: &[
            url("url").keeps(Secure).required(),
            text("messageType"),
            text("title"),
            text("description"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["webex"],
        fields: &[
            secret("bot_token").required(),
            text("room_id").required(),
            url("api_url"),
            text("message"),
        ],
        check: nothing,
    },
    Receiver {
        names: &["webhook"],
        fields: &[
            url("url").required(),
            one_of("httpMethod", METHODS),
            text("username"),
            secret("password"),
            text("authorization_scheme"),
            secret("authorization_credentials"),
            texts("headers"),
            number("maxAlerts"),
            text("title"),
            text("message"),
            fields("payload", &[text("template"), texts("vars")]),
            fields("tlsConfig", TLS),
            fields("hmacConfig", &[secret("secret").required(), text("header"), text("timestampHeader")]),
            fields("http_config", &[fields("oauth2", OAUTH2)]),
        ],
        check: webhook,
    },
    Receiver {
        names: &["wecom"],
        fields: &[
            url("url").keeps(Secure),
            secret("secret"),
            url("endpointUrl"),
            text("agent_id"),
            text("corp_id"),
            text("msgtype"),
            text("message"),
            text("title"),
            text("touser"),
        ],
        check: wecom,
    },
];

/// Where Grafana sends what has a token and no address.
const SLACK_API: &str = "https://slack.com/api/chat.postMessage";

fn nothing(_: &Node) -> Option<&'static str> {
    None
}

/// Whether a setting has a value, or will have one.
fn has(settings: &Node, name: &str) -> bool {
    match settings.get(name) {
        None | Some(Node::Null) => false,
        Some(Node::Leaf(_)) => true,
        Some(node) => node.text() != Some(""),
    }
}

/// A text that stands in the document or came into it.
fn is(settings: &Node, name: &str, test: impl Fn(&str) -> bool) -> bool {
    settings.get(name).and_then(Node::text).is_some_and(test)
}

fn slack(settings: &Node) -> Option<&'static str> {
    let own_endpoint = has(settings, "endpointUrl") && !is(settings, "endpointUrl", |url| url == SLACK_API);
    if has(settings, "url") && !is(settings, "url", |url| url == SLACK_API) || own_endpoint {
        return None;
    }
    if !has(settings, "token") {
        return Some("it needs url, or token and recipient");
    }
    if has(settings, "recipient") { None } else { Some("with token it needs recipient") }
}

fn jira(settings: &Node) -> Option<&'static str> {
    let basic = (has(settings, "user"), has(settings, "password"));
    match (has(settings, "api_token"), basic) {
        (true, (false, false)) | (false, (true, true)) => None,
        (true, _) => Some("it takes api_token, or user and password, not both"),
        (false, _) => Some("it needs api_token, or user and password"),
    }
}

fn kafka(settings: &Node) -> Option<&'static str> {
    let lacks = is(settings, "apiVersion", |version| version == "v3") && !has(settings, "kafkaClusterId");
    lacks.then_some("with apiVersion v3 it needs kafkaClusterId")
}

fn sns(settings: &Node) -> Option<&'static str> {
    if !["topic_arn", "target_arn", "phone_number"].iter().any(|name| has(settings, name)) {
        return Some("it needs topic_arn, target_arn or phone_number");
    }
    let keys = settings.get("sigv4").map(|it| (has(it, "access_key"), has(it, "secret_key")));
    matches!(keys, Some((true, false) | (false, true)))
        .then_some("sigv4 takes access_key and secret_key together")
}

fn threema(settings: &Node) -> Option<&'static str> {
    let fits = |name, test: fn(&str) -> bool| !has(settings, name) || is(settings, name, test);
    if !fits("gateway_id", |id| id.len() == 8 && id.starts_with('*')) {
        return Some("gateway_id is a * and seven characters");
    }
    (!fits("recipient_id", |id| id.len() == 8)).then_some("recipient_id has eight characters")
}

fn wecom(settings: &Node) -> Option<&'static str> {
    if has(settings, "url") {
        return None;
    }
    if !has(settings, "secret") {
        return Some("it needs url, or secret, agent_id and corp_id");
    }
    let whole = has(settings, "agent_id") && has(settings, "corp_id");
    (!whole).then_some("with secret it needs agent_id and corp_id")
}

fn one_authorization(settings: &Node) -> Option<&'static str> {
    let basic = has(settings, "username") && has(settings, "password");
    (basic && has(settings, "authorization_credentials"))
        .then_some("it takes username and password, or authorization_credentials, not both")
}

fn webhook(settings: &Node) -> Option<&'static str> {
    let headers = settings.get("headers").and_then(Node::as_map);
    let refused = |name: &String| REFUSED_HEADERS.iter().any(|it| it.eq_ignore_ascii_case(name));
    if headers.is_some_and(|headers| headers.keys().any(refused)) {
        return Some("headers names one that Grafana refuses there, such as Authorization or Host");
    }
    one_authorization(settings)
}

const REFUSED_HEADERS: &[&str] = &[
    "Accept-Charset",
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Cookie",
    "Date",
    "Expect",
    "Forwarded",
    "Host",
    "Keep-Alive",
    "Max-Forwards",
    "Origin",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Referer",
    "Set-Cookie",
    "Te",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "User-Agent",
    "Via",
    "X-Forwarded-For",
    "X-Real-Ip",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The secure settings of each kind, as Grafana's schema of version v1 lists them.
    #[test]
    fn the_secure_settings_are_those_of_grafana() {
        fn secure(prefix: &str, fields: &[Field], found: &mut BTreeSet<String>) {
            for field in fields {
                match field.kind {
                    Kind::Fields(inner) => secure(&format!("{prefix}{}.", field.name), inner, found),
                    _ if field.keeps == Secure => {
                        found.insert(format!("{prefix}{}", field.name));
                    }
                    _ => {}
                }
            }
        }
        let tls = "tlsConfig.caCertificate tlsConfig.clientCertificate tlsConfig.clientKey";
        let oauth = "http_config.oauth2.client_secret http_config.oauth2.tls_config.caCertificate \
                     http_config.oauth2.tls_config.clientCertificate http_config.oauth2.tls_config.clientKey";
        let webhook = format!("password authorization_credentials hmacConfig.secret {tls} {oauth}");
        let mqtt = format!("password {tls}");
        let expected = [
            ("slack", "token url"),
            ("pagerduty", "integrationKey"),
            ("opsgenie", "apiKey"),
            ("webhook", webhook.as_str()),
            ("telegram", "bottoken"),
            ("discord", "url"),
            ("googlechat", "url"),
            ("dingding", "url"),
            ("victorops", "url"),
            ("pushover", "apiToken userKey"),
            ("line", "token"),
            ("threema", "api_secret"),
            ("sensugo", "apikey"),
            ("webex", "bot_token"),
            ("jira", "user password api_token"),
            ("kafka", "password"),
            ("mqtt", mqtt.as_str()),
            ("sns", "sigv4.access_key sigv4.secret_key"),
            ("oncall", "password authorization_credentials"),
            ("wecom", "url secret"),
            ("prometheus-alertmanager", "basicAuthPassword"),
            ("teams", ""),
            ("email", ""),
        ];
        for (name, list) in expected {
            let mut found = BTreeSet::new();
            secure("", Receiver::named(name).unwrap_or_else(|| panic!("{name} is known")).fields, &mut found);
            let list: BTreeSet<_> = list.split_whitespace().map(str::to_owned).collect();
            assert_eq!(found, list, "{name}");
        }
        assert_eq!(RECEIVERS.len(), expected.len(), "every kind is in this test");
    }
}
