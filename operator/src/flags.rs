//! What the operator is told on its command line. There is no configuration file.
//!
//! A flag that makes no sense is refused at the start with a message that says what is expected; nothing is guessed.

use std::net::SocketAddr;

use clap::{ArgAction, Parser, ValueEnum};
use tracing::level_filters::LevelFilter;
use waxwing_core::{keys::Recipient, store::endpoint::Allowed};

/// Opens SealedSecrets into Secrets and keeps them right.
#[derive(Clone, Debug, Parser)]
#[command(name = "waxwing-operator", version)]
pub struct Flags {
    /// The KeyRing that this operator serves; others are ignored.
    #[arg(long, env = "WAXWING_KEYRING", value_name = "NAME", default_value = "default", value_parser = ring_name)]
    pub keyring: String,

    /// Serve only these namespaces (repeat it, or separate them by commas). Without it: all.
    #[arg(long, env = "WAXWING_NAMESPACES", value_name = "NAMESPACE", value_delimiter = ',', value_parser = namespace)]
    pub namespaces: Vec<String>,

    /// The operator's own namespace, where the identities and the lease are.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", value_parser = namespace)]
    pub operator_namespace: String,

    /// What this replica is called in the lease and in events. Without it: the host name and a random number.
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub pod_name: Option<String>,

    /// How many objects are worked on at once.
    #[arg(long, env = "WAXWING_CONCURRENCY", value_name = "NUMBER", default_value_t = 32,
        value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Where /metrics, /healthz and /readyz are served. Nothing else is.
    #[arg(long, env = "WAXWING_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// A recipient, besides the ring's own keys, to which existing data keys may be wrapped again (repeat it).
    #[arg(long = "rewrap-recipient", value_name = "age1...")]
    pub rewrap_recipients: Vec<Recipient>,

    /// A host that stores of any namespace may name: `host`, `host:port`, `*.suffix` or an IP address, with `http://`
    /// before it where plain HTTP is allowed (repeat it, or separate them by commas).
    #[arg(
        long = "allow-endpoint",
        env = "WAXWING_ALLOW_ENDPOINTS",
        value_name = "HOST",
        value_delimiter = ','
    )]
    pub allow_endpoints: Vec<Allowed>,

    /// Whether ClusterSecretStores are served. Of several operators in a cluster one does: each looks for what a store
    /// refers to in a namespace of its own, and says in the store's status what it has found.
    #[arg(long, env = "WAXWING_CLUSTER_STORES", value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    pub cluster_stores: bool,

    /// How log lines are written.
    #[arg(long, env = "WAXWING_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,

    /// The least important log lines that are written: error, warn, info, debug or trace.
    #[arg(long, env = "WAXWING_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = level)]
    pub log_level: LevelFilter,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Flags {
    /// Whether objects of this namespace are served.
    pub fn serves(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|served| served == namespace)
    }

    /// The namespaces to watch one by one; `None` stands for all of them at once.
    pub fn scopes(&self) -> Vec<Option<String>> {
        if self.namespaces.is_empty() {
            return vec![None];
        }
        let mut namespaces = self.namespaces.clone();
        namespaces.sort();
        namespaces.dedup();
        namespaces.into_iter().map(Some).collect()
    }
}

/// A namespace's name: a DNS label.
fn namespace(text: &str) -> Result<String, String> {
    if text.len() <= 63 && is_dns_label(text) {
        return Ok(text.to_owned());
    }
    Err("a namespace's name takes 1 to 63 lower-case letters, digits and inner dashes".to_owned())
}

/// A ring's name. It becomes a label of its identities, so it is shorter than the API would allow.
fn ring_name(text: &str) -> Result<String, String> {
    if text.len() <= 63 && text.split('.').all(is_dns_label) {
        return Ok(text.to_owned());
    }
    Err("a KeyRing's name takes 1 to 63 lower-case letters, digits, and inner dashes and dots".to_owned())
}

fn is_dns_label(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn level(text: &str) -> Result<LevelFilter, String> {
    match text {
        "error" => Ok(LevelFilter::ERROR),
        "warn" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => Err("expected error, warn, info, debug or trace".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;
    use waxwing_core::keys::Identity;

    use super::*;

    fn parse(args: &[&str]) -> Result<Flags, clap::Error> {
        let base = ["waxwing-operator", "--operator-namespace=waxwing-system"];
        Flags::try_parse_from(base.iter().chain(args))
    }

    #[test]
    fn defaults_serve_every_namespace_by_the_default_ring() {
        let flags = parse(&[]).unwrap();
        assert_eq!(flags.keyring, "default");
        assert_eq!(flags.scopes(), [None]);
        assert!(flags.serves("anything"));
        assert_eq!(flags.concurrency, 32);
        assert!(flags.cluster_stores && !parse(&["--cluster-stores=false"]).unwrap().cluster_stores);
        assert_eq!(flags.listen.to_string(), "0.0.0.0:8080");
    }

    #[test]
    fn namespaces_are_repeated_or_separated_by_commas() {
        let flags = parse(&["--namespaces=b,a", "--namespaces=a"]).unwrap();
        assert_eq!(flags.scopes(), [Some("a".to_owned()), Some("b".to_owned())]);
        assert!(flags.serves("a") && !flags.serves("c"));
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for bad in [
            "--namespaces=A",
            "--namespaces=a,,b",
            "--keyring=Prod",
            "--keyring=a..b",
            "--concurrency=0",
            "--listen=8080",
            "--log-level=loud",
            "--cluster-stores=no",
            "--rewrap-recipient=age1nope",
        ] {
            let error = parse(&[bad]).expect_err(bad);
            let kinds = [ErrorKind::InvalidValue, ErrorKind::ValueValidation];
            assert!(kinds.contains(&error.kind()), "{bad}");
            let flag = bad.split('=').next().unwrap_or_default();
            assert!(error.to_string().contains(flag), "{error}");
        }
    }

    #[test]
    fn recipients_to_rewrap_to_are_read() {
        let recipient = Identity::generate().recipient().clone();
        let flags = parse(&["--rewrap-recipient", recipient.as_str()]).unwrap();
        assert_eq!(flags.rewrap_recipients, [recipient]);
    }
}
