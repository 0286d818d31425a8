//! What prometheus-operator does to a configuration on its way to Alertmanager.
//!
//! An operator whose Alertmanager selects `AlertmanagerConfig` objects, even none, reads the configuration into structures
//! of its own and writes it anew. What those lack is refused, what they write differently is lost or damaged. An operator
//! that selects none hands the bytes on, and nothing here applies but [`expands`].
//!
//! The tables were read from prometheus-operator 0.93 and 0.85. What came in between is refused for anything before 0.93.

use std::{fmt, str::FromStr};

use super::{
    matcher,
    validate::{Finding, Severity, scalar},
    version::Version,
};
use crate::inject::{Node, Step, Steps};

/// A minor release of prometheus-operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorVersion(u32);

/// A text is no version of prometheus-operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a version of prometheus-operator, such as 0.93")]
pub struct OperatorVersionError;

impl OperatorVersion {
    /// The newest that was read.
    pub const NEWEST: Self = Self(93);

    /// Whether its structures were read, or are only taken for like others.
    #[must_use]
    pub const fn is_known(self) -> bool {
        matches!(self.0, 85 | 93)
    }
}

impl FromStr for OperatorVersion {
    type Err = OperatorVersionError;

    /// Reads `0.93`, `v0.93.1`.
    fn from_str(text: &str) -> Result<Self, OperatorVersionError> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split(['.', '-', '+']);
        let mut number = || numbers.next()?.parse::<u32>().ok();
        match (number(), number()) {
            (Some(0), Some(minor)) => Ok(Self(minor)),
            (Some(_), Some(_)) => Ok(Self::NEWEST),
            _ => Err(OperatorVersionError),
        }
    }
}

impl fmt::Display for OperatorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0.{}", self.0)
    }
}

/// Never, so far.
const NEVER: u32 = u32::MAX;

/// Fields that the structures lack: since when they have them, and the ends of their places. A place from the root on begins
/// with an empty name.
const LACKING: &[(u32, &[&[&str]])] = &[
    (
        NEVER,
        &[
            &["", "tracing"],
            &["", "event_recorder"],
            &["", "receivers", "labels"],
            &["", "route", "labels"],
            &["", "inhibit_rules", "name"],
            &["routes", "labels"],
            &["basic_auth", "username_file"],
            &["basic_auth", "username_ref"],
            &["basic_auth", "password_ref"],
            &["authorization", "credentials_ref"],
            &["tls_config", "ca"],
            &["tls_config", "cert"],
            &["tls_config", "key"],
            &["tls_config", "ca_ref"],
            &["tls_config", "cert_ref"],
            &["tls_config", "key_ref"],
            &["smtp_tls_config", "ca"],
            &["smtp_tls_config", "cert"],
            &["smtp_tls_config", "key"],
            &["oauth2", "client_secret_ref"],
            &["oauth2", "client_certificate_key_id"],
            &["oauth2", "client_certificate_key"],
            &["oauth2", "client_certificate_key_file"],
            &["oauth2", "client_certificate_key_ref"],
            &["oauth2", "grant_type"],
            &["oauth2", "signature_algorithm"],
            &["oauth2", "iss"],
            &["oauth2", "audience"],
            &["oauth2", "claims"],
            &["sigv4", "use_fips_sts_endpoint"],
            &["sigv4", "service_name"],
            &["discord_configs", "webhook_url_file"],
            &["msteams_configs", "webhook_url_file"],
            &["mattermost_configs", "type"],
            &["rocketchat_configs", "actions", "imageurl"],
            &["rocketchat_configs", "actions", "iswebview"],
            &["rocketchat_configs", "actions", "webviewheightratio"],
            &["rocketchat_configs", "actions", "msginchatwindow"],
            &["rocketchat_configs", "actions", "msgprocessingtype"],
        ],
    ),
    (
        93,
        &[
            &["", "global", "mattermost_webhook_url"],
            &["", "global", "mattermost_webhook_url_file"],
            &["", "global", "slack_app_token"],
            &["", "global", "slack_app_token_file"],
            &["", "global", "slack_app_url"],
            &["", "global", "smtp_auth_secret_file"],
            &["", "global", "smtp_force_implicit_tls"],
            &["", "global", "telegram_bot_token"],
            &["", "global", "telegram_bot_token_file"],
            &["", "global", "wechat_api_secret_file"],
            &["", "receivers", "incidentio_configs"],
            &["", "receivers", "mattermost_configs"],
            &["http_config", "http_headers"],
            &["sigv4", "external_id"],
            &["email_configs", "auth_secret_file"],
            &["email_configs", "force_implicit_tls"],
            &["email_configs", "threading"],
            &["jira_configs", "api_type"],
            &["pagerduty_configs", "timeout"],
            &["pushover_configs", "monospace"],
            &["slack_configs", "app_token"],
            &["slack_configs", "app_token_file"],
            &["slack_configs", "app_url"],
            &["slack_configs", "message_text"],
            &["slack_configs", "timeout"],
            &["slack_configs", "update_message"],
            &["sns_configs", "use_aws_http_client"],
            &["telegram_configs", "chat_id_file"],
            &["wechat_configs", "api_secret_file"],
            &["webhook_configs", "payload"],
        ],
    ),
];

/// What happens to values that the structures have a field for.
const TREATED: &[(&[&str], Treatment)] = &[
    (&["http_headers", "*", "secrets"], Treatment::Masked),
    (&["", "global", "*"], Treatment::PasswordMasked),
    (&["webhook_configs", "timeout"], Treatment::Duration),
    (&["pagerduty_configs", "timeout"], Treatment::Duration),
    (&["slack_configs", "timeout"], Treatment::Duration),
    (&["incidentio_configs", "timeout"], Treatment::Duration),
    (&["pushover_configs", "retry"], Treatment::Duration),
    (&["pushover_configs", "expire"], Treatment::Duration),
    (&["webhook_configs", "max_alerts"], Treatment::Small),
    (&["incidentio_configs", "max_alerts"], Treatment::Small),
    (&["jira_configs", "summary"], Treatment::Text),
    (&["jira_configs", "description"], Treatment::Text),
    (&["sns_configs", "api_url"], Treatment::Url),
    (&["pushover_configs", "url"], Treatment::TemplateUrl),
    (&["telegram_configs", "parse_mode"], Treatment::EmptyLost),
    (&["matchers"], Treatment::Matchers),
    (&["source_matchers"], Treatment::Matchers),
    (&["target_matchers"], Treatment::Matchers),
    (&["group_by"], Treatment::GroupBy),
    (&["equal"], Treatment::Labels),
];

#[derive(Clone, Copy)]
enum Treatment {
    /// Written as `<secret>`.
    Masked,
    /// A URL's password is written as `xxxxx`.
    PasswordMasked,
    /// Only Prometheus' durations are read.
    Duration,
    /// Only 32 bits are read.
    Small,
    /// Only a text is read.
    Text,
    /// Only a URL is read.
    Url,
    /// Only a URL or a template is read.
    TemplateUrl,
    /// An empty text is left out, and Alertmanager's default comes back.
    EmptyLost,
    /// Only the classic syntax is read.
    Matchers,
    /// Only classic names are read, and an empty list is left out.
    GroupBy,
    /// Only classic names are read.
    Labels,
}

/// What this prometheus-operator would refuse, lose or damage, if it merges configurations.
#[must_use]
pub fn unsupported(config: &Node, operator: OperatorVersion, alertmanager: Version) -> Vec<Finding> {
    let mut search =
        Search { operator, alertmanager, at: Steps::default(), names: vec![""], findings: Vec::new() };
    search.node(config);
    search.findings
}

/// Whether prometheus-operator's config reloader would put an environment variable into a value: it has `$(NAME)` in it.
#[must_use]
pub fn expands(value: &str) -> bool {
    value.match_indices("$(").any(|(index, _)| {
        let rest = &value[index + 2..];
        let end =
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
        end > 0 && rest[end..].starts_with(')')
    })
}

struct Search<'a> {
    operator: OperatorVersion,
    alertmanager: Version,
    at: Steps,
    /// The names in `at`, with an empty one for the root.
    names: Vec<&'a str>,
    findings: Vec<Finding>,
}

impl<'a> Search<'a> {
    fn node(&mut self, node: &'a Node) {
        match node {
            Node::Map(map) => {
                for (name, value) in map {
                    self.at.0.push(Step::Name(name.clone()));
                    self.names.push(name);
                    self.named(value);
                    self.names.pop();
                    self.at.0.pop();
                }
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.at.0.push(Step::Item(index));
                    self.node(item);
                    self.at.0.pop();
                }
            }
            _ => {
                if node.text().is_some_and(expands) {
                    self.find(
                        Severity::Error,
                        "expanded",
                        "has $(NAME) in it, for which the config reloader may put an environment variable"
                            .to_owned(),
                    );
                }
            }
        }
    }

    fn named(&mut self, value: &'a Node) {
        let lacking = LACKING
            .iter()
            .find(|(since, places)| *since > self.operator.0 && places.iter().any(|place| self.is_at(place)));
        if let Some((since, _)) = lacking {
            let later = if *since == NEVER { String::new() } else { format!("; 0.{since} does") };
            let message = format!("prometheus-operator {} does not know this field{later}", self.operator);
            return self.find(Severity::Error, "operator-refuses", message);
        }
        if let Some((_, treatment)) = TREATED.iter().find(|(place, _)| self.is_at(place))
            && let Some((severity, rule, message)) = treatment.of(value, self.alertmanager)
        {
            self.find(severity, rule, message.to_owned());
        }
        self.node(value);
    }

    /// Whether the names end with those of a place.
    fn is_at(&self, place: &[&str]) -> bool {
        let Some(start) = self.names.len().checked_sub(place.len()) else { return false };
        let is_root = place.first() == Some(&"");
        (!is_root || start == 0)
            && place.iter().zip(&self.names[start..]).all(|(place, name)| *place == "*" || place == name)
    }

    fn find(&mut self, severity: Severity, rule: &'static str, message: String) {
        self.findings.push(Finding { at: self.at.clone(), rule, message, severity });
    }
}

type Verdict = Option<(Severity, &'static str, &'static str)>;

impl Treatment {
    fn of(self, value: &Node, alertmanager: Version) -> Verdict {
        let refused =
            |is_refused: bool, message| is_refused.then_some((Severity::Error, "operator-refuses", message));
        let text = value.text();
        let items = value.as_list().unwrap_or_default();
        match self {
            Self::Masked => {
                let message =
                    "prometheus-operator writes <secret> in the place of this header; use values or files";
                (!items.is_empty()).then_some((Severity::Error, "operator-damages", message))
            }
            Self::PasswordMasked => {
                let message = "prometheus-operator writes xxxxx in the place of the password in this URL";
                text.is_some_and(scalar::has_password).then_some((
                    Severity::Error,
                    "operator-damages",
                    message,
                ))
            }
            Self::Duration => {
                let is_read = text.is_none_or(|text| scalar::duration(text).is_ok());
                let is_number = matches!(value, Node::Number(number) if number.as_u64() != Some(0));
                refused(
                    !is_read || is_number,
                    "prometheus-operator reads only durations such as 5m or 1d12h here",
                )
            }
            Self::Small => {
                let is_large = matches!(value, Node::Number(number) if number.as_f64().is_some_and(|number| number > f64::from(i32::MAX)));
                refused(is_large, "prometheus-operator reads no number above 2147483647 here")
            }
            Self::Text => {
                refused(matches!(value, Node::Map(_)), "prometheus-operator reads only a text here")
            }
            Self::Url => refused(
                text.is_some_and(|text| !text.is_empty() && scalar::url(text).is_err()),
                "prometheus-operator reads only a URL here",
            ),
            Self::TemplateUrl => refused(
                text.is_some_and(|text| {
                    !text.is_empty() && !text.contains("{{") && scalar::url(text).is_err()
                }),
                "prometheus-operator reads only a URL or a template here",
            ),
            Self::EmptyLost => (text == Some("")).then_some((
                Severity::Warning,
                "operator-loses",
                "prometheus-operator leaves an empty text out, and Alertmanager takes its default",
            )),
            Self::Matchers => {
                let is_classic = |item: &Node| item.text().is_none_or(matcher::is_classic);
                refused(
                    !items.iter().all(is_classic),
                    "prometheus-operator reads only the classic syntax of matchers",
                )
            }
            Self::GroupBy
                if items.is_empty() && matches!(value, Node::List(_)) && alertmanager.minor() >= 31 =>
            {
                Some((
                    Severity::Warning,
                    "operator-loses",
                    "prometheus-operator leaves an empty list out, and the labels of the route above count",
                ))
            }
            Self::GroupBy | Self::Labels => {
                let is_classic = |item: &Node| {
                    item.text().is_none_or(|text| text == "..." || scalar::is_label(text, false))
                };
                refused(
                    !items.iter().all(is_classic),
                    "prometheus-operator reads only classic names of labels",
                )
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(config: &Value, operator: &str) -> Vec<(String, &'static str)> {
        let node = Node::read(config).unwrap_or_else(|error| panic!("{error}"));
        let findings = unsupported(&node, operator.parse().unwrap(), Version::NEWEST);
        findings.into_iter().map(|finding| (finding.at.to_string(), finding.rule)).collect()
    }

    fn with(integration: &str, config: Value) -> Value {
        json!({"receivers": [{"name": "a", integration: [config]}]})
    }

    #[test]
    fn fields_that_the_operator_lacks_are_refused() {
        for (config, at) in [
            (json!({"tracing": {"endpoint": "x"}}), "tracing"),
            (json!({"route": {"labels": {}}}), "route.labels"),
            (
                json!({"route": {"routes": [{"routes": [{"labels": {}}]}]}}),
                "route.routes[0].routes[0].labels",
            ),
            (json!({"receivers": [{"labels": {}}]}), "receivers[0].labels"),
            (
                with("discord_configs", json!({"webhook_url_file": "/f"})),
                "receivers[0].discord_configs[0].webhook_url_file",
            ),
            (
                with("webhook_configs", json!({"http_config": {"tls_config": {"ca": "x"}}})),
                "receivers[0].webhook_configs[0].http_config.tls_config.ca",
            ),
        ] {
            assert_eq!(found(&config, "0.93"), [(at.to_owned(), "operator-refuses")]);
        }
        let fine = json!({"route": {"routes": [{"matchers": ["a=\"b\""], "group_by": ["labels"]}]}, "receivers": [{
            "msteamsv2_configs": [{"webhook_url_file": "/f"}], "jira_configs": [{"labels": ["x"], "summary": "s"}]}]});
        assert_eq!(found(&fine, "v0.93.1"), []);
    }

    #[test]
    fn older_operators_lack_more() {
        let config = with("slack_configs", json!({"app_token": "t"}));
        assert_eq!(found(&config, "0.93.0"), []);
        assert_eq!(
            found(&config, "0.90.1"),
            [("receivers[0].slack_configs[0].app_token".to_owned(), "operator-refuses")]
        );
        assert!(!"0.90".parse::<OperatorVersion>().unwrap().is_known());
    }

    #[test]
    fn values_that_the_operator_damages_loses_or_cannot_read() {
        let secrets = json!({"http_config": {"http_headers": {"X": {"values": ["a"], "secrets": ["b"]}}}});
        for (config, rule) in [
            (with("webhook_configs", secrets), "operator-damages"),
            (json!({"global": {"slack_api_url": "https://u:p@example.com/"}}), "operator-damages"),
            (json!({"route": {"group_by": []}}), "operator-loses"),
            (json!({"route": {"routes": [{"matchers": ["\"ü\"=b"]}]}}), "operator-refuses"),
            (json!({"inhibit_rules": [{"equal": ["ü"]}]}), "operator-refuses"),
            (with("telegram_configs", json!({"parse_mode": ""})), "operator-loses"),
            (with("webhook_configs", json!({"timeout": "1.5s"})), "operator-refuses"),
            (with("webhook_configs", json!({"timeout": 5})), "operator-refuses"),
            (with("webhook_configs", json!({"max_alerts": 3_000_000_000_u64})), "operator-refuses"),
            (with("jira_configs", json!({"summary": {"template": "x"}})), "operator-refuses"),
            (with("pushover_configs", json!({"url": "here"})), "operator-refuses"),
            (with("email_configs", json!({"auth_password": "a$(HOME)b"})), "expanded"),
        ] {
            assert_eq!(
                found(&config, "0.93").iter().map(|(_, rule)| *rule).collect::<Vec<_>>(),
                [rule],
                "{config}"
            );
        }
    }

    #[test]
    fn what_the_config_reloader_expands() {
        assert!(["$(HOME)", "a$(b_1)c", "$(($(X)"].into_iter().all(expands));
        assert!(!["$HOME", "${HOME}", "$()", "$(a-b)", "$(a", "$ (a)", "(a)"].into_iter().any(expands));
    }
}
