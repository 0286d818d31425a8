//! Wrapped identities, opened with the administrator's own rights to the key that wraps them.
//!
//! The KeyRing says which key that is. It does not say where credentials are sent: whoever can write a KeyRing could have
//! them sent to a server of their own, and with them open every identity. Vault is the one of `VAULT_ADDR`, as for Vault's own
//! program, and AWS is AWS unless its environment says otherwise.

use std::{collections::BTreeMap, env, fs, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use waxwing_core::{Secret, identity_secret::WrappedIdentity, keys::Identity, store};
use waxwing_crds::{AwsKms, KeyRing, Protection, ProtectionKind, SecretKeyRef, VaultAuth, VaultTransit};
use waxwing_providers::{Place, Protector, References, Rules, Token, protect};

use super::Cluster;
use crate::error::{Explain, Failure, Result};

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
    pub(crate) fn open(&mut self, wrapped: &WrappedIdentity) -> Result<Identity> {
        let WrappedIdentity { recipient, by, text } = wrapped;
        let protector = match self.made.get(&by.kind) {
            Some(protector) => protector.clone(),
            None => {
                let protector = connect(&self.protection, by.kind, &variable)?;
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
fn connect(protection: &Protection, kind: ProtectionKind, env: Env<'_>) -> Result<Arc<dyn Protector>> {
    let (own, token) = own(protection, kind, env)?;
    let vault = own.vault_transit.as_ref().map(|block| &*block.server);
    let url = vault.or(own.aws_kms.as_ref().and_then(|block| block.endpoint.as_deref()));
    // Named by whoever runs this.
    let allowed = url.and_then(|url| host(url).parse().ok());
    let rules = Rules::new(allowed.into_iter().collect());
    let place = Place { namespace: None, store: "waxwing-cli".to_owned(), ambient: true, rules };
    protect::connect(&own, kind, &place, Arc::new(Own(token)))
        .map_err(|failure| Failure::new(failure.to_string()).hint(RIGHTS))
}

/// A protection of the administrator's own, and their token for Vault. Which key it is comes from the KeyRing, and nothing
/// else: a field that is added there is not taken over here by itself.
fn own(protection: &Protection, kind: ProtectionKind, env: Env<'_>) -> Result<(Protection, Option<Secret>)> {
    let (mut own, mut token) = (Protection { kind, ..Protection::default() }, None);
    match kind {
        ProtectionKind::VaultTransit => {
            if let Some(block) = &protection.vault_transit {
                let (block, ours) = in_vault(block, env)?;
                (own.vault_transit, token) = (Some(block), Some(ours));
            }
        }
        ProtectionKind::AwsKms => {
            own.aws_kms = protection.aws_kms.as_ref().map(|block| AwsKms {
                region: block.region.clone(),
                key_id: block.key_id.clone(),
                endpoint: env("AWS_ENDPOINT_URL_KMS").or_else(|| env("AWS_ENDPOINT_URL")),
                ..AwsKms::default()
            });
        }
        ProtectionKind::None => {}
    }
    Ok((own, token))
}

/// Vault, and who we are there, by the environment of Vault's own program.
fn in_vault(block: &VaultTransit, env: Env<'_>) -> Result<(VaultTransit, Secret)> {
    let unset = |name: &str| {
        Failure::new(format!("{name} is not set"))
            .hint(format!(
                "{} wraps this ring's identities: log in there with rights of your own",
                block.server
            ))
            .hint("then set VAULT_ADDR and VAULT_TOKEN, as for Vault's own program")
    };
    let server = env("VAULT_ADDR").ok_or_else(|| unset("VAULT_ADDR"))?;
    let token = match env("VAULT_TOKEN") {
        Some(token) => Some(token),
        None => env("HOME")
            .and_then(|home| fs::read_to_string(PathBuf::from(home).join(".vault-token")).ok())
            .map(|token| token.trim().to_owned()),
    };
    let token = token.ok_or_else(|| unset("VAULT_TOKEN"))?;
    let ca_bundle = match env("VAULT_CACERT") {
        Some(path) => Some(BASE64_STANDARD.encode(fs::read(&path).at(path)?)),
        None => None,
    };
    let own = VaultTransit {
        server,
        namespace: env("VAULT_NAMESPACE").or_else(|| block.namespace.clone()),
        ca_bundle,
        ca_provider: None,
        auth: VaultAuth { token_secret_ref: Some(SecretKeyRef::default()), ..VaultAuth::default() },
        mount: block.mount.clone(),
        key: block.key.clone(),
    };
    Ok((own, Secret::new(token.into_bytes())))
}

/// Reads a variable of the environment.
type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A variable that is set, and not to nothing.
fn variable(name: &str) -> Option<String> {
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
    use serde_json::json;

    use super::*;

    /// A KeyRing's protection in which all is a stranger's that says where to go and as whom.
    fn strange(server: &str) -> Protection {
        let reference = json!({"name": "stranger", "key": "stranger"});
        let keys = json!({"accessKeyIDSecretRef": reference, "secretAccessKeySecretRef": reference});
        let provider = json!({"type": "Secret", "name": "stranger", "key": "stranger"});
        serde_json::from_value(json!({
            "kind": "VaultTransit",
            "vaultTransit": {
                "server": server, "mount": "engine", "key": "wraps", "caBundle": "stranger", "caProvider": provider,
                "auth": {"appRole": {"roleId": "stranger", "secretRef": reference}},
            },
            "awsKms": {
                "region": "eu-central-1", "keyId": "alias/wraps", "role": "stranger", "auth": {"secretRef": keys},
                "endpoint": server, "stsEndpoint": server, "caBundle": "stranger", "caProvider": provider,
            },
        }))
        .unwrap()
    }

    /// K38. Guard: `own` takes from a KeyRing which key it is, and from the environment everything else.
    #[test]
    fn no_server_login_or_authority_of_a_key_ring_is_taken() {
        let ring = strange("https://stranger.example.com");
        let mine = |name: &str| match name {
            "VAULT_ADDR" | "AWS_ENDPOINT_URL" => Some("https://mine.example.com".to_owned()),
            "VAULT_TOKEN" => Some("token".to_owned()),
            _ => None,
        };
        for kind in [ProtectionKind::VaultTransit, ProtectionKind::AwsKms] {
            let (own, token) = own(&ring, kind, &mine).unwrap();
            let text = serde_json::to_string(&own).unwrap();
            assert!(!text.contains("stranger"), "{text}");
            assert!(text.contains("https://mine.example.com") && text.contains("wraps"), "{text}");
            assert_eq!(token.is_some(), kind == ProtectionKind::VaultTransit);
        }
        // Where the environment says nothing, Vault is nowhere and AWS is AWS.
        let refused = own(&ring, ProtectionKind::VaultTransit, &|_| None).err().unwrap();
        assert!(refused.to_string().contains("VAULT_ADDR is not set"), "{refused}");
        let (own, _) = own(&ring, ProtectionKind::AwsKms, &|_| None).unwrap();
        assert_eq!(own.aws_kms.unwrap().endpoint, None);
    }

    /// Answers one request after the other as Vault would that may not be asked, and gives each to whoever wants it.
    #[cfg(feature = "vault")]
    fn vault() -> (String, std::sync::mpsc::Receiver<String>) {
        use std::io::{Read as _, Write as _};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut head) = (stream.unwrap(), Vec::new());
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                let body = r#"{"errors":["permission denied"]}"#;
                let length = body.len();
                let answer = format!(
                    "HTTP/1.1 403 Forbidden\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
                stream.write_all(answer.as_bytes()).unwrap();
                sender.send(String::from_utf8(head).unwrap()).unwrap();
            }
        });
        (url, asked)
    }

    /// K38. Guard: as above, up to the connections that are made.
    #[cfg(feature = "vault")]
    #[test]
    fn a_token_goes_to_the_server_of_the_environment_and_to_no_other() {
        let ((mine, asked), (theirs, asked_in_vain)) = (vault(), vault());
        let env = |name: &str| match name {
            "VAULT_ADDR" => Some(mine.clone()),
            "VAULT_TOKEN" => Some("administrators".to_owned()),
            _ => None,
        };
        let protector = connect(&strange(&theirs), ProtectionKind::VaultTransit, &env).unwrap();
        let by = waxwing_crds::WrappedBy {
            kind: ProtectionKind::VaultTransit,
            key: "wraps".to_owned(),
            ring: "ring".to_owned(),
        };
        let recipient = Identity::generate().recipient().clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let opened = runtime.block_on(protect::open(&*protector, &by, "vault:v1:x", &recipient, "ring"));
        assert!(opened.is_err());
        let heads: Vec<_> = asked.try_iter().collect();
        assert!(heads.iter().any(|head| head.contains("/v1/engine/decrypt/wraps")), "{heads:?}");
        assert!(heads.iter().all(|head| head.to_lowercase().contains("x-vault-token: administrators")));
        assert_eq!(asked_in_vain.try_iter().count(), 0, "the KeyRing's server hears nothing");
    }

    #[test]
    fn a_host_is_the_url_up_to_its_path() {
        assert_eq!(host("https://vault.example.com:8200/v1/"), "https://vault.example.com:8200");
        assert_eq!(host("http://127.0.0.1:8200"), "http://127.0.0.1:8200");
        assert_eq!(host("vault"), "vault");
    }
}
