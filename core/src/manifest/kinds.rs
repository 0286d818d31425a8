//! The two kinds of Secret that have a form of their own: registry credentials and TLS pairs.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use zeroize::Zeroizing;

use super::ManifestError;
use crate::{Secret, seal::DataKey};

/// Type of a Secret with registry credentials.
pub const DOCKER_CONFIG_TYPE: &str = "kubernetes.io/dockerconfigjson";
/// Its only key.
pub const DOCKER_CONFIG_KEY: &str = ".dockerconfigjson";
/// Type of a Secret with a certificate and its private key.
pub const TLS_TYPE: &str = "kubernetes.io/tls";
/// The key with the certificate chain.
pub const TLS_CERTIFICATE_KEY: &str = "tls.crt";
/// The key with the private key.
pub const TLS_PRIVATE_KEY_KEY: &str = "tls.key";

#[derive(Serialize)]
struct DockerConfig<'a> {
    auths: BTreeMap<&'a str, Auth<'a>>,
}

#[derive(Serialize)]
struct Auth<'a> {
    username: &'a str,
    password: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    auth: &'a str,
}

/// The `.dockerconfigjson` of one registry login.
pub fn docker_config(
    server: &str,
    username: &str,
    password: &Secret,
    email: Option<&str>,
) -> Result<Secret, ManifestError> {
    let wrong = |problem| Err(ManifestError::DockerConfig(problem));
    if server.is_empty() || username.is_empty() || password.is_empty() {
        return wrong("registry server, user name and password must not be empty");
    }
    if username.contains(':') {
        return wrong("a user name with a colon cannot log in to a registry");
    }
    let Ok(password) = std::str::from_utf8(password.expose()) else {
        return wrong("the password is not text (UTF-8)");
    };
    let login = Zeroizing::new(format!("{username}:{password}"));
    let auth = Zeroizing::new(BASE64_STANDARD.encode(login.as_bytes()));
    let entry = Auth { username, password, email, auth: &auth };
    // Room for every character escaped, so that the buffer never moves.
    let size =
        6 * (server.len() + username.len() + password.len() + email.map_or(0, str::len)) + auth.len() + 128;
    let mut json = Zeroizing::new(Vec::with_capacity(size));
    let config = DockerConfig { auths: BTreeMap::from([(server, entry)]) };
    match serde_json::to_writer(&mut *json, &config) {
        Ok(()) => Ok(Secret::from(json)),
        Err(_) => wrong("the credentials cannot be written as JSON"),
    }
}

/// The two values of a TLS Secret, each checked to be what it says: PEM with certificates, and PEM
/// with one private key that needs no password. Whether they belong together is not checked.
pub fn tls(certificate: Secret, private_key: Secret) -> Result<Vec<(DataKey, Secret)>, ManifestError> {
    let wrong = |what, problem| Err(ManifestError::Pem { what, problem });
    let certificates = match blocks(&certificate) {
        Ok(labels) => labels,
        Err(problem) => return wrong("certificate", problem),
    };
    let keys = match blocks(&private_key) {
        Ok(labels) => labels,
        Err(problem) => return wrong("private key", problem),
    };
    if certificates.iter().any(|label| label.ends_with("PRIVATE KEY")) {
        let swapped = keys.iter().all(|label| *label == "CERTIFICATE");
        let problem = if swapped {
            "certificate and private key are swapped"
        } else {
            "a private key stands among the certificates; it would be readable as public data"
        };
        return wrong("certificate", problem);
    }
    if certificates.iter().any(|label| *label != "CERTIFICATE") {
        return wrong("certificate", "only blocks of the kind CERTIFICATE belong here");
    }
    let keys: Vec<_> = keys.into_iter().filter(|label| *label != "EC PARAMETERS").collect();
    match keys[..] {
        ["PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY"] => {}
        ["ENCRYPTED PRIVATE KEY"] => {
            return wrong("private key", "it is encrypted; remove its password first");
        }
        [_] => {
            return wrong("private key", "expected a block of the kind PRIVATE KEY, RSA or EC PRIVATE KEY");
        }
        _ => return wrong("private key", "expected exactly one private key"),
    }
    let key = |name: &str| name.parse::<DataKey>().expect("the two names are valid keys");
    Ok(vec![(key(TLS_CERTIFICATE_KEY), certificate), (key(TLS_PRIVATE_KEY_KEY), private_key)])
}

/// The labels of all PEM blocks; text between blocks is allowed, as tools write it.
fn blocks(pem: &Secret) -> Result<Vec<&str>, &'static str> {
    let text = std::str::from_utf8(pem.expose()).map_err(|_| "not PEM: not text")?;
    let mut labels = Vec::new();
    let mut open: Option<(&str, Zeroizing<Vec<u8>>)> = None;
    for line in text.lines().map(str::trim) {
        let marker = |word: &str| line.strip_prefix(word)?.strip_suffix("-----");
        match (open.take(), marker("-----BEGIN "), marker("-----END ")) {
            (None, Some(label), _) => open = Some((label, Zeroizing::new(Vec::with_capacity(text.len())))),
            (None, None, None) => {}
            (Some((label, body)), None, Some(end)) if label == end => {
                check_body(&body)?;
                labels.push(label);
            }
            (Some(_), None, None) if line.starts_with("Proc-Type:") && line.contains("ENCRYPTED") => {
                return Err("it is encrypted; remove its password first");
            }
            (Some((label, mut body)), None, None) => {
                body.extend_from_slice(line.as_bytes());
                open = Some((label, body));
            }
            _ => return Err("not PEM: BEGIN and END do not match"),
        }
    }
    match (open, labels.is_empty()) {
        (Some(_), _) => Err("not PEM: a block is not closed"),
        (None, true) => Err("not PEM: no -----BEGIN block"),
        (None, false) => Ok(labels),
    }
}

fn check_body(base64: &[u8]) -> Result<(), &'static str> {
    let mut bytes = Zeroizing::new(vec![0; base64.len() / 4 * 3 + 3]);
    match BASE64_STANDARD.decode_slice(base64, &mut bytes) {
        Ok(length) if length > 0 => Ok(()),
        _ => Err("not PEM: a block does not hold base64"),
    }
}
