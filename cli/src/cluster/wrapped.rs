//! Wrapped identities, opened with the administrator's own rights to the key that wraps them.
//!
//! The KeyRing says which key that is. It does not say where credentials are sent: whoever can write a KeyRing could have
//! them sent to a server of their own, and with them open every identity. Vault is the one of `VAULT_ADDR`, as for Vault's own
//! program, and AWS is AWS unless its environment says otherwise.

use std::{collections::BTreeMap, env, fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::{
    Secret,
    keys::{Identity, Recipient},
    store,
};
use waxwing_crds::{KeyRing, Protection, ProtectionKind, SecretKeyRef, VaultAuth, VaultTransit, WrappedBy};
use waxwing_providers::{Place, Protector, References, Rules, Token, protect};

use super::Cluster;
use crate::error::{Explain, Failure, Result};

/// A wrapped identity as its Secret has it.
pub(crate) struct Wrapped {
    /// Whose, as the Secret says.
    pub(crate) recipient: Recipient,
    /// By what.
    pub(crate) by: WrappedBy,
    /// What is wrapped.
    pub(crate) text: String,
}

/// The keys that wrap the identities of one ring.
pub(crate) struct Keys<'a> {
    cluster: &'a Cluster,
    ring: String,
    protection: Protection,
    made: BTreeMap<ProtectionKind, Arc<dyn Protector>>,
}

impl<'a> Keys<'a> {
    /// Those that the KeyRing names. Nobody is asked yet.
    pub(crate) fn of(cluster: &'a Cluster, ring: &KeyRing) -> Self {
        let protection = ring.spec.protection.clone().unwrap_or_default();
        let name = ring.metadata.name.clone().unwrap_or_default();
        Self { cluster, ring: name, protection, made: BTreeMap::new() }
    }

    /// Opens one.
    ///
    /// # Errors
    /// When its key can't be had, or it holds something else than it says.
    pub(crate) fn open(&mut self, wrapped: &Wrapped) -> Result<Identity> {
        let Wrapped { recipient, by, text } = wrapped;
        let protector = match self.made.get(&by.kind) {
            Some(protector) => protector.clone(),
            None => {
                let protector = connect(&self.protection, by.kind)?;
                self.made.insert(by.kind, protector.clone());
                protector
            }
        };
        let opened = protect::open(&*protector, by, text, recipient, &self.ring);
        let what = || format!("key {} is wrapped by {} key {}", recipient.id(), by.kind.as_str(), by.key);
        self.cluster
            .runtime
            .block_on(opened)
            .map_err(|failure| Failure::new(failure.to_string()).at(what()).hint(RIGHTS))?
            .ok_or_else(|| Failure::new("it holds something else than its Secret says").at(what()))
    }
}

/// Reaches a key as the administrator.
fn connect(protection: &Protection, kind: ProtectionKind) -> Result<Arc<dyn Protector>> {
    let mut own = protection.clone();
    let (mut references, mut url) = (Own(None), None);
    match kind {
        ProtectionKind::VaultTransit => {
            if let Some(block) = &mut own.vault_transit {
                references = Own(Some(in_vault(block)?));
                url = Some(block.server.clone());
            }
        }
        ProtectionKind::AwsKms => {
            if let Some(block) = &mut own.aws_kms {
                (block.auth, block.role, block.sts_endpoint) = (None, None, None);
                (block.ca_bundle, block.ca_provider) = (None, None);
                block.endpoint = text("AWS_ENDPOINT_URL_KMS").or_else(|| text("AWS_ENDPOINT_URL"));
                url = block.endpoint.clone();
            }
        }
        ProtectionKind::None => {}
    }
    // Named by whoever runs this.
    let allowed = url.and_then(|url| host(&url).parse().ok());
    let rules = Rules::new(allowed.into_iter().collect());
    let place = Place { namespace: None, store: "waxwing-cli".to_owned(), ambient: true, rules };
    protect::connect(&own, kind, &place, Arc::new(references))
        .map_err(|failure| Failure::new(failure.to_string()).hint(RIGHTS))
}

/// Vault, and who we are there, by the environment of Vault's own program.
fn in_vault(block: &mut VaultTransit) -> Result<Secret> {
    let unset = |name: &str| {
        Failure::new(format!("{name} is not set"))
            .hint(format!(
                "{} wraps this ring's identities: log in there with rights of your own",
                block.server
            ))
            .hint("then set VAULT_ADDR and VAULT_TOKEN, as for Vault's own program")
    };
    let server = text("VAULT_ADDR").ok_or_else(|| unset("VAULT_ADDR"))?;
    let token = match text("VAULT_TOKEN") {
        Some(token) => Some(token),
        None => text("HOME")
            .and_then(|home| fs::read_to_string(PathBuf::from(home).join(".vault-token")).ok())
            .map(|token| token.trim().to_owned()),
    };
    let token = token.ok_or_else(|| unset("VAULT_TOKEN"))?;
    let ca_bundle = match text("VAULT_CACERT") {
        Some(path) => Some(BASE64_STANDARD.encode(fs::read(&path).at(path)?)),
        None => None,
    };
    *block = VaultTransit {
        server,
        namespace: text("VAULT_NAMESPACE").or(block.namespace.take()),
        ca_bundle,
        ca_provider: None,
        auth: VaultAuth { token_secret_ref: Some(SecretKeyRef::default()), ..VaultAuth::default() },
        mount: block.mount.take(),
        key: std::mem::take(&mut block.key),
    };
    Ok(Secret::new(token.into_bytes()))
}

/// A variable that is set, and not to nothing.
fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The URL up to its path, as the list of allowed hosts takes it.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    &url[..end]
}

/// What the spec refers to: our own token, and nothing else.
struct Own(Option<Secret>);

#[async_trait]
impl References for Own {
    async fn secret(&self, _: &str, _: &str) -> std::result::Result<Secret, store::Failure> {
        self.0.clone().ok_or(NOT_HERE)
    }

    async fn config_map(&self, _: &str, _: &str) -> std::result::Result<String, store::Failure> {
        Err(NOT_HERE)
    }

    async fn token(&self, _: &str, _: &[String], _: u32) -> std::result::Result<Token, store::Failure> {
        Err(NOT_HERE)
    }

    async fn service_account(
        &self,
        _: &str,
    ) -> std::result::Result<BTreeMap<String, String>, store::Failure> {
        Err(NOT_HERE)
    }
}

const NOT_HERE: store::Failure =
    store::Failure::new(store::Kind::CredentialMissing, "only the credentials of whoever runs this are used");
const RIGHTS: &str = "it takes the right to decrypt with the key: in Vault by VAULT_ADDR and VAULT_TOKEN, in AWS by the usual \
                      environment or profile";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_the_url_up_to_its_path() {
        assert_eq!(host("https://vault.example.com:8200/v1/"), "https://vault.example.com:8200");
        assert_eq!(host("http://127.0.0.1:8200"), "http://127.0.0.1:8200");
        assert_eq!(host("vault"), "vault");
    }
}
