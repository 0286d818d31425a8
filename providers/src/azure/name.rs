//! The names of Key Vault: vaults, clouds, and what a key means.

use waxwing_core::store::{
    Failure, Kind,
    endpoint::{self, Caller, Endpoint, Host, is_label},
};
use waxwing_crds::AzureEnvironment;

use crate::connect::Place;

/// What differs between the clouds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cloud {
    /// What the host of every vault ends with.
    pub(super) suffix: &'static str,
    /// What tokens for vaults are asked for.
    pub(super) scope: &'static str,
    /// Whom a ServiceAccount's token is for, if the store does not say.
    pub(super) audience: &'static str,
    /// Where tokens are issued.
    pub(super) authority: &'static str,
}

impl From<AzureEnvironment> for Cloud {
    fn from(environment: AzureEnvironment) -> Self {
        match environment {
            AzureEnvironment::ChinaCloud => Self {
                suffix: ".vault.azure.cn",
                scope: "https://vault.azure.cn/.default",
                audience: "api://AzureADTokenExchangeChina",
                authority: "https://login.chinacloudapi.cn",
            },
            AzureEnvironment::PublicCloud => Self {
                suffix: ".vault.azure.net",
                scope: "https://vault.azure.net/.default",
                audience: "api://AzureADTokenExchange",
                authority: "https://login.microsoftonline.com",
            },
            AzureEnvironment::USGovernmentCloud => Self {
                suffix: ".vault.usgovcloudapi.net",
                scope: "https://vault.usgovcloudapi.net/.default",
                audience: "api://AzureADTokenExchangeUSGov",
                authority: "https://login.microsoftonline.us",
            },
        }
    }
}

/// Where a store's secrets lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vault {
    /// Its URL.
    pub(super) url: String,
    /// Whether the operator's list has it. Only then may it ask for a token that is not for its own domain.
    pub(super) is_listed: bool,
}

impl Vault {
    /// A vault of the cloud, whose host every store may name, or one that the rules about hosts allow.
    ///
    /// # Errors
    /// `EndpointRefused`, also for plain HTTP: the client sends no token over that.
    pub(super) fn new(url: &str, cloud: Cloud, place: &Place) -> Result<Self, Failure> {
        let refused = |failure: Failure| failure.at("vaultUrl");
        // Whoever the operator's list is for, nobody has Services in a namespace without a name.
        let is_listed = endpoint::check(url, Caller::Namespace(""), &place.rules.allow).is_ok();
        let known = endpoint::check(url, Caller::Cluster, &place.rules.allow)
            .ok()
            .filter(|endpoint| !endpoint.plain && is_of(endpoint, cloud));
        let endpoint = match known {
            Some(endpoint) => endpoint,
            None => place.endpoint(url).map_err(refused)?,
        };
        if endpoint.plain {
            return Err(refused(Failure::new(
                Kind::EndpointRefused,
                "Key Vault is not spoken to over plain HTTP",
            )));
        }
        Ok(Self { url: endpoint.to_string(), is_listed })
    }
}

fn is_of(endpoint: &Endpoint, cloud: Cloud) -> bool {
    let Host::Name(name) = &endpoint.host else { return false };
    endpoint.port == 443 && endpoint.path.is_empty() && name.strip_suffix(cloud.suffix).is_some_and(is_label)
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key<'a> {
    /// The name of the secret.
    pub(super) name: &'a str,
    /// Whether it has to be the one that Key Vault keeps beside a certificate.
    pub(super) is_certificate: bool,
}

impl<'a> Key<'a> {
    /// `NAME`, `secret/NAME` or `cert/NAME`.
    ///
    /// # Errors
    /// `Unsupported` for `key/NAME`, whose private half never leaves the vault; `Rejected` for what cannot be a name.
    pub(super) fn read(text: &'a str) -> Result<Self, Failure> {
        let (kind, name) = text.split_once('/').unwrap_or(("secret", text));
        let is_certificate = match kind {
            "cert" => true,
            "secret" => false,
            "key" => {
                return Err(
                    Failure::new(Kind::Unsupported, "keys stay in the vault; only secrets are read").at(text)
                );
            }
            _ => return Err(Failure::new(Kind::Rejected, "a key is NAME, secret/NAME or cert/NAME").at(text)),
        };
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if !(1..=127).contains(&name.len()) || !name.bytes().all(inner) {
            let what = "the name of a secret is 1 to 127 letters, digits and `-`";
            return Err(Failure::new(Kind::Rejected, what).at(text));
        }
        Ok(Self { name, is_certificate })
    }
}

/// A version's id, which becomes a part of a URL.
///
/// # Errors
/// `Rejected` when it can be none.
pub(super) fn version(text: &str) -> Result<&str, Failure> {
    if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(text)
    } else {
        Err(Failure::new(Kind::Rejected, "a version is 32 hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use waxwing_core::store::endpoint::Allow;

    use super::*;
    use crate::net::Rules;

    const PUBLIC: AzureEnvironment = AzureEnvironment::PublicCloud;

    fn place(namespace: Option<&str>, allow: &[&str]) -> Place {
        let rules = Arc::new(Rules { allow: Allow::parse(allow).unwrap() });
        Place { namespace: namespace.map(str::to_owned), store: "vault".to_owned(), ambient: false, rules }
    }

    fn check(url: &str, allow: &[&str]) -> Result<(String, bool), Kind> {
        let vault = Vault::new(url, PUBLIC.into(), &place(Some("shop"), allow));
        vault.map(|vault| (vault.url, vault.is_listed)).map_err(|failure| {
            assert_eq!(failure.place.as_deref(), Some("vaultUrl"));
            failure.kind
        })
    }

    /// K16. A namespaced store names a vault of the cloud, or what the operator's list has.
    /// Guard: `is_of` in `Vault::new`.
    #[test]
    fn a_vault_is_one_of_the_cloud_or_of_the_list() {
        let known = "https://shop-prod.vault.azure.net";
        assert_eq!(check(known, &[]), Ok((known.to_owned(), false)));
        assert_eq!(check("https://Shop-Prod.vault.azure.net/", &[]), Ok((known.to_owned(), false)));
        let refused = [
            "https://vault.azure.net",
            "https://a.b.vault.azure.net",
            "https://shop.vault.azure.net.evil.example.com",
            "https://shopvault.azure.net",
            "https://shop.vault.azure.net:8443",
            "https://shop.vault.azure.net/path",
            "https://shop.vault.azure.cn",
            "https://shop.vault.azure.net@evil.example.com",
            "https://169.254.169.254",
            "http://shop.vault.azure.net",
            "shop",
        ];
        for url in refused {
            assert_eq!(check(url, &[]), Err(Kind::EndpointRefused), "{url}");
        }
        let listed = ["vault.example.com", "*.vault.azure.net"];
        assert_eq!(
            check("https://vault.example.com", &listed),
            Ok(("https://vault.example.com".to_owned(), true))
        );
        assert_eq!(check(known, &listed), Ok((known.to_owned(), true)));
        // A Service of the namespace may be named, and is held to ask for tokens of its own domain.
        assert_eq!(check("https://kv.shop.svc", &[]), Ok(("https://kv.shop.svc".to_owned(), false)));
        assert_eq!(check("https://kv.other.svc", &[]), Err(Kind::EndpointRefused));
    }

    #[test]
    fn a_vault_is_not_spoken_to_in_the_clear() {
        assert_eq!(check("http://127.0.0.1:8080", &["http://127.0.0.1"]), Err(Kind::EndpointRefused));
    }

    #[test]
    fn each_cloud_has_vaults_of_its_own() {
        let china =
            Vault::new("https://shop.vault.azure.cn", AzureEnvironment::ChinaCloud.into(), &place(None, &[]));
        assert!(china.is_ok());
        for cloud in
            [AzureEnvironment::ChinaCloud, PUBLIC, AzureEnvironment::USGovernmentCloud].map(Cloud::from)
        {
            // The client checks a challenge by this: the resource is what the suffix ends with.
            let resource = cloud.scope.strip_suffix("/.default").unwrap().strip_prefix("https://").unwrap();
            assert_eq!(cloud.suffix.strip_prefix('.'), Some(resource));
        }
    }

    #[test]
    fn a_key_is_a_name_with_its_kind_before_it() {
        let key = |name, is_certificate| Ok(Key { name, is_certificate });
        assert_eq!(Key::read("db"), key("db", false));
        assert_eq!(Key::read("secret/db"), key("db", false));
        assert_eq!(Key::read("cert/web"), key("web", true));
        let kind = |text| Key::read(text).map_err(|failure| failure.kind).map(drop);
        assert_eq!(kind("key/signing"), Err(Kind::Unsupported));
        let long = "a".repeat(128);
        for bad in
            ["", "secret/", "secret/db/versions", "other/db", "a_b", "a.b", "../db", "db?x", "db#x", &long]
        {
            assert_eq!(kind(bad), Err(Kind::Rejected), "{bad}");
        }
    }

    /// The word `versions` in its place would list them all.
    #[test]
    fn a_version_is_an_id() {
        assert!(version("0123456789abcdefABCDEF0123456789").is_ok());
        for bad in ["versions", "", "0123456789abcdef", "../0123456789abcdef0123456789abc"] {
            assert_eq!(version(bad).map_err(|failure| failure.kind), Err(Kind::Rejected), "{bad}");
        }
    }
}
