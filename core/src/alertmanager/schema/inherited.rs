//! What integrations take from elsewhere: from `global` where they say nothing of their own, and from files.
//!
//! As Alertmanager 0.25 to 0.34 fill receivers in after they have read them (`config.Config.UnmarshalYAML`).

use super::expected;
use crate::inject::{Step, Steps};

/// The integrations of one field of receivers.
#[derive(Debug)]
pub(crate) struct Family {
    /// What the names under `global` begin with that are theirs.
    pub(crate) prefix: &'static str,
    /// The field of receivers.
    pub(crate) list: &'static str,
    /// The credentials that they take.
    pub(crate) credentials: &'static [Inherited],
    /// Their fields that decide where a credential goes, or how, beside [`HTTP_CONFIG`].
    pub(crate) destinations: &'static [&'static str],
}

/// A credential under `global`.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// Its names there: itself, or from a file.
    pub(crate) global: &'static [&'static str],
    /// An integration that has one of these does not take it.
    pub(crate) own: &'static [&'static str],
    /// The one of its names that Alertmanager takes even beside the integration's own.
    pub(crate) always: Option<&'static str>,
}

/// How all but e-mail connect. An integration takes that of `global` as a whole, or not at all.
pub(crate) const HTTP_CONFIG: &str = "http_config";

/// The parts of `http_config` that prove to a server who is calling. A proxy is none: what it is told stays with it.
pub(crate) const HTTP_CREDENTIALS: &[&str] =
    &["authorization", "basic_auth", "bearer_token", "bearer_token_file", "http_headers", "oauth2"];

/// The parts of a `tls_config` that do so.
pub(crate) const TLS_CREDENTIALS: &[&str] = &["cert", "cert_file", "cert_ref", "key", "key_file", "key_ref"];

/// The fields of integrations that are URLs which Alertmanager calls.
pub(crate) const URLS: &[&str] = &["api_url", "app_url", "url", "webhook_url"];

const fn inherited(global: &'static [&'static str], own: &'static [&'static str]) -> Inherited {
    Inherited { global, own, always: None }
}

const fn family(prefix: &'static str, list: &'static str) -> Family {
    Family { prefix, list, credentials: &[], destinations: &["api_url"] }
}

/// All of them.
pub(crate) const FAMILIES: &[Family] = &[
    family("jira_", "jira_configs"),
    Family {
        credentials: &[inherited(
            &["mattermost_webhook_url", "mattermost_webhook_url_file"],
            &["webhook_url"],
        )],
        destinations: &["webhook_url"],
        ..family("mattermost_", "mattermost_configs")
    },
    Family {
        credentials: &[inherited(&["opsgenie_api_key", "opsgenie_api_key_file"], &["api_key"])],
        ..family("opsgenie_", "opsgenie_configs")
    },
    Family { destinations: &["url"], ..family("pagerduty_", "pagerduty_configs") },
    Family {
        credentials: &[
            Inherited {
                always: Some("rocketchat_token_file"),
                ..inherited(&["rocketchat_token", "rocketchat_token_file"], &["token"])
            },
            Inherited {
                always: Some("rocketchat_token_id_file"),
                ..inherited(&["rocketchat_token_id", "rocketchat_token_id_file"], &["token_id"])
            },
        ],
        ..family("rocketchat_", "rocketchat_configs")
    },
    Family {
        credentials: &[
            inherited(&["slack_api_url", "slack_api_url_file"], &["api_url", "app_token"]),
            inherited(&["slack_app_token", "slack_app_token_file"], &["app_token", "api_url"]),
        ],
        destinations: &["api_url", "app_url"],
        ..family("slack_", "slack_configs")
    },
    Family {
        credentials: &[
            inherited(&["smtp_auth_password", "smtp_auth_password_file"], &["auth_password"]),
            Inherited {
                always: Some("smtp_auth_secret_file"),
                ..inherited(&["smtp_auth_secret", "smtp_auth_secret_file"], &["auth_secret"])
            },
        ],
        // Without TLS, or with certificates of their choice, whoever is in between reads the password.
        destinations: &["force_implicit_tls", "require_tls", "smarthost", "tls_config"],
        ..family("smtp_", "email_configs")
    },
    Family {
        credentials: &[inherited(&["telegram_bot_token", "telegram_bot_token_file"], &["bot_token"])],
        ..family("telegram_", "telegram_configs")
    },
    Family {
        credentials: &[inherited(&["victorops_api_key", "victorops_api_key_file"], &["api_key"])],
        ..family("victorops_", "victorops_configs")
    },
    family("webex_", "webex_configs"),
    Family {
        credentials: &[inherited(&["wechat_api_secret", "wechat_api_secret_file"], &["api_secret"])],
        ..family("wechat_", "wechat_configs")
    },
];

/// Whether what stands at a place is the path of a file that Alertmanager reads.
pub(crate) fn is_file(at: &Steps) -> bool {
    let Some((Step::Name(name), parent)) = at.0.split_last() else { return false };
    let beside = |place: Steps| expected(&place).is_some_and(|expected| expected.file_twin);
    let parent = Steps(parent.to_vec());
    match name.as_str() {
        "files" => beside(parent.name("secrets").item(0)),
        name => name.strip_suffix("_file").is_some_and(|itself| beside(parent.name(itself))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{
        super::{Field, Format, GLOBAL, HTTP, Object, Type, receivers::INTEGRATIONS},
        *,
    };

    fn fields(object: &Object) -> impl Iterator<Item = &'static Field> + use<> {
        object.fields.iter().flat_map(|group| group.iter())
    }

    fn integration(list: &str) -> &'static Object {
        let field = INTEGRATIONS.iter().find(|field| field.name == list);
        match field.map(|field| field.kind) {
            Some(Type::List(Type::Object(object), _)) => object,
            _ => panic!("{list}"),
        }
    }

    /// Looks at every field below an object, as far as places differ.
    fn each(object: &'static Object, at: &Steps, look: &mut dyn FnMut(&Steps, &Field)) {
        fn inner(kind: &'static Type, at: &Steps, look: &mut dyn FnMut(&Steps, &Field)) {
            match kind {
                Type::Object(object) | Type::TextOr(object) => each(object, at, look),
                Type::List(item, _) => inner(item, &at.item(0), look),
                Type::Map(_, value) => inner(value, &at.name("any_file"), look),
                _ => {}
            }
        }
        for field in fields(object) {
            let at = at.name(field.name);
            look(&at, field);
            inner(&field.kind, &at, look);
        }
    }

    #[test]
    fn every_path_of_a_file_is_known_and_nothing_else_is_taken_for_one() {
        let mut count = 0;
        let receiver = Steps::default().name("receivers").item(0);
        for integration in INTEGRATIONS {
            let Type::List(Type::Object(object), _) = integration.kind else {
                panic!("{}", integration.name)
            };
            each(object, &receiver.name(integration.name).item(0), &mut |at, field| {
                let is_path = field.name.ends_with("_file") || field.name == "files";
                assert_eq!(is_file(at), is_path, "{at}");
                count += usize::from(is_path);
            });
        }
        assert!(count > 100, "{count}");
        for at in ["pagerduty_configs[0].details.x_file", "jira_configs[0].fields.files", "name_file"] {
            let at: Steps = format!("receivers[0].{at}").parse().expect("is a place");
            assert!(!is_file(&at), "{at}");
        }
    }

    /// A credential that a later version adds to `global` must not be one that nobody guards.
    #[test]
    fn every_credential_under_global_is_listed() {
        let listed: BTreeSet<&str> = FAMILIES
            .iter()
            .flat_map(|family| family.credentials)
            .flat_map(|credential| credential.global.iter().copied())
            .collect();
        let mut expected = BTreeSet::new();
        for field in fields(&GLOBAL) {
            let itself = field.name.trim_end_matches("_file");
            if fields(&GLOBAL).any(|other| other.name == itself && other.secret) {
                expected.insert(field.name);
            }
        }
        assert_eq!(listed, expected);
    }

    #[test]
    fn every_name_exists_where_it_is_said_to() {
        for family in FAMILIES {
            let object = integration(family.list);
            let has = |name: &str| object.named(name).next().is_some();
            for name in family.destinations {
                assert!(has(name), "{} {name}", family.list);
            }
            for credential in family.credentials {
                assert!(credential.own.iter().all(|own| has(own)), "{} {:?}", family.list, credential.own);
                for name in credential.global.iter().chain(&credential.always) {
                    assert!(GLOBAL.named(name).next().is_some(), "{name}");
                    assert!(name.starts_with(family.prefix), "{name}");
                }
            }
        }
        // And all of `global` is somebody's, but for what is everybody's.
        for field in fields(&GLOBAL) {
            let is_ones = FAMILIES.iter().any(|family| field.name.starts_with(family.prefix));
            assert_ne!(is_ones, ["resolve_timeout", HTTP_CONFIG].contains(&field.name), "{}", field.name);
        }
        for name in HTTP_CREDENTIALS {
            assert!(HTTP.named(name).next().is_some(), "{name}");
        }
    }

    /// Wherever a server can be named, it decides who gets a credential.
    #[test]
    fn every_url_and_every_connection_of_an_integration_is_a_destination() {
        for integration in INTEGRATIONS {
            let Type::List(Type::Object(object), _) = integration.kind else {
                panic!("{}", integration.name)
            };
            let own = FAMILIES.iter().find(|family| family.list == integration.name);
            for field in fields(object) {
                let is_url =
                    matches!(field.kind, Type::Text(Format::Url | Format::SecretUrl | Format::TemplateUrl));
                assert!(!is_url || URLS.contains(&field.name), "{} {}", integration.name, field.name);
                let connects = match field.kind {
                    Type::Text(Format::HostPort) => true,
                    Type::Object(object) => object.name == "tls_config",
                    _ => field.name.ends_with("_tls"),
                };
                if let Some(own) = own
                    && (is_url || connects)
                {
                    assert!(own.destinations.contains(&field.name), "{} {}", own.list, field.name);
                }
            }
        }
    }

    /// What is not a credential of `http_config` is a proxy, or says how to connect.
    #[test]
    fn the_rest_of_http_config_proves_nothing() {
        let rest = fields(&HTTP).map(|field| field.name).filter(|name| !HTTP_CREDENTIALS.contains(name));
        let harmless = [
            "tls_config",
            "follow_redirects",
            "enable_http2",
            "proxy_url",
            "no_proxy",
            "proxy_from_environment",
            "proxy_connect_header",
        ];
        assert_eq!(rest.collect::<Vec<_>>(), harmless);
    }
}
