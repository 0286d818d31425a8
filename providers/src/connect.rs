//! Makes the provider that a store's spec describes.

use std::sync::Arc;

use serde_json::Value;
use waxwing_core::store::{
    Failure, Kind,
    endpoint::{self, Caller, Endpoint},
};
use waxwing_crds::StoreProvider;

use crate::{Provider, Referenced, References, net::Rules};

/// Where a store stands, which decides what it may do.
#[derive(Clone, Debug)]
pub struct Place {
    /// The namespace of a SecretStore; none for a ClusterSecretStore.
    pub namespace: Option<String>,
    /// The store's name, for messages and for names that the provider's audit log shows.
    pub store: String,
    /// Whether the process's own identity may be used where the store names none. Never for a SecretStore in the
    /// operator: whoever writes it would act as the operator.
    pub ambient: bool,
    /// Which hosts may be reached.
    pub rules: Arc<Rules>,
}

impl Place {
    /// Who names the URLs.
    #[must_use]
    pub fn caller(&self) -> Caller<'_> {
        self.namespace.as_deref().map_or(Caller::Cluster, Caller::Namespace)
    }

    /// The endpoint that a URL in the store means. The client is to be given what this returns, not the URL.
    ///
    /// # Errors
    /// `EndpointRefused`, without the URL, which may hold a password.
    pub fn endpoint(&self, url: &str) -> Result<Endpoint, Failure> {
        Ok(endpoint::check(url, self.caller(), &self.rules.allow)?)
    }

    /// # Errors
    /// `BadStore` when the process's own identity may not be used.
    pub fn ambient(&self) -> Result<(), Failure> {
        if self.ambient { Ok(()) } else { Err(NEEDS_CREDENTIALS) }
    }
}

const NEEDS_CREDENTIALS: Failure = Failure::new(
    Kind::BadStore,
    "it needs credentials of its own: the operator's own identity is for ClusterSecretStores",
);

/// Makes the provider that a store's spec describes. Nobody is asked for anything yet: the credentials are read and the
/// login is made when the provider is first used.
///
/// # Errors
/// When the spec makes no sense, names a host that may not be reached, or a provider that was not compiled in.
pub fn connect(
    provider: &StoreProvider,
    place: &Place,
    references: Arc<dyn References>,
) -> Result<Arc<dyn Provider>, Failure> {
    let StoreProvider { vault, aws, gcpsm, azurekv, kubernetes, file } = provider;
    let set = [
        vault.is_some(),
        aws.is_some(),
        gcpsm.is_some(),
        azurekv.is_some(),
        kubernetes.is_some(),
        file.is_some(),
    ];
    if set.into_iter().filter(|set| *set).count() != 1 {
        return Err(Failure::new(Kind::BadStore, "set exactly one provider").at("spec.provider"));
    }
    #[cfg(feature = "vault")]
    if let Some(vault) = vault {
        return crate::vault::connect(vault, place, references);
    }
    #[cfg(feature = "aws")]
    if let Some(aws) = aws {
        return crate::aws::connect(aws, place, references);
    }
    #[cfg(feature = "gcp")]
    if let Some(gcp) = gcpsm {
        return crate::gcp::connect(gcp, place, references);
    }
    #[cfg(feature = "azure")]
    if let Some(azure) = azurekv {
        return crate::azure::connect(azure, place, references);
    }
    #[cfg(feature = "kubernetes")]
    if let Some(kubernetes) = kubernetes {
        return crate::kubernetes::connect(kubernetes, place, references);
    }
    if let Some(file) = file {
        return crate::file::connect(file, place);
    }
    drop(references);
    Err(Failure::new(
        Kind::Unsupported,
        "this program was built without this provider; build it with the cargo feature of its name",
    ))
}

/// What a store refers to. A change of one of them means a new connection.
#[must_use]
pub fn references(provider: &StoreProvider) -> Referenced {
    let mut found = Referenced::default();
    // Read off the resource itself, so that no field is forgotten: every reference has one of a few forms.
    walk(&serde_json::to_value(provider).unwrap_or_default(), "", &mut found);
    found
}

fn walk(value: &Value, field: &str, found: &mut Referenced) {
    let Some(map) = value.as_object() else {
        value.as_array().into_iter().flatten().for_each(|value| walk(value, field, found));
        return;
    };
    let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let names = match (field, text("name"), text("type")) {
        ("caProvider", Some(name), Some(kind)) if kind == "ConfigMap" => found.config_maps.insert(name),
        ("caProvider", Some(name), _) => found.secrets.insert(name),
        ("serviceAccountRef" | "serviceAccount", Some(name), _) => found.service_accounts.insert(name),
        (_, Some(name), None) if map.contains_key("key") => found.secrets.insert(name),
        _ => return map.iter().for_each(|(field, value)| walk(value, field, found)),
    };
    // Whether it was new does not matter.
    let _ = names;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::references::tests::Nothing;

    fn provider(spec: Value) -> StoreProvider {
        serde_json::from_value(spec).unwrap()
    }

    fn place() -> Place {
        Place {
            namespace: Some("team-a".to_owned()),
            store: "store".to_owned(),
            ambient: false,
            rules: Arc::default(),
        }
    }

    fn secret(name: &str) -> Value {
        json!({"name": name, "key": "k"})
    }

    #[test]
    fn every_reference_of_every_provider_is_found() {
        let vault = json!({"vault": {
            "server": "https://v",
            "caProvider": {"type": "ConfigMap", "name": "c1"},
            "tls": {"certSecretRef": secret("s1"), "keySecretRef": secret("s2")},
            "auth": {
                "tokenSecretRef": secret("s3"),
                "appRole": {"roleRef": secret("s4"), "secretRef": secret("s5")},
                "kubernetes": {"role": "r", "serviceAccountRef": {"name": "a1"}, "secretRef": secret("s6")},
                "jwt": {
                    "secretRef": secret("s7"),
                    "kubernetesServiceAccountToken": {"serviceAccountRef": {"name": "a2", "audiences": ["x"]}}
                },
                "userPass": {"username": "u", "secretRef": secret("s8")},
                "ldap": {"username": "u", "secretRef": secret("s9")},
                "cert": {"clientCert": secret("s10"), "secretRef": secret("s11")}
            }
        }});
        let aws = json!({"aws": {
            "service": "SecretsManager", "region": "r", "sessionTags": [{"key": "k", "value": "v"}],
            "caProvider": {"type": "Secret", "name": "s1", "key": "ca"},
            "auth": {
                "secretRef": {
                    "accessKeyIDSecretRef": secret("s2"),
                    "secretAccessKeySecretRef": secret("s3"),
                    "sessionTokenSecretRef": secret("s4")
                },
                "jwt": {"serviceAccountRef": {"name": "a1"}}
            }
        }});
        let gcp = json!({"gcpsm": {"auth": {
            "secretRef": {"secretAccessKeySecretRef": secret("s1")},
            "workloadIdentity": {"serviceAccountRef": {"name": "a1"}, "clusterName": "n"},
            "workloadIdentityFederation": {"audience": "x", "serviceAccountRef": {"name": "a2"}}
        }}});
        let azure = json!({"azurekv": {
            "vaultUrl": "https://v",
            "serviceAccountRef": {"name": "a1"},
            "authSecretRef": {
                "clientId": secret("s1"), "clientSecret": secret("s2"),
                "clientCertificate": secret("s3"), "tenantId": secret("s4")
            }
        }});
        let kubernetes = json!({"kubernetes": {
            "server": {"caProvider": {"type": "ConfigMap", "name": "c1"}},
            "auth": {
                "serviceAccount": {"name": "a1"},
                "token": {"bearerToken": secret("s1")},
                "cert": {"clientCert": secret("s2"), "clientKey": secret("s3")}
            },
            "authRef": secret("s4")
        }});
        let numbered = |letter: char, count: usize| -> BTreeSet<String> {
            (1..=count).map(|number| format!("{letter}{number}")).collect()
        };
        for (spec, secrets, config_maps, service_accounts) in
            [(vault, 11, 1, 2), (aws, 4, 0, 1), (gcp, 1, 0, 2), (azure, 4, 0, 1), (kubernetes, 4, 1, 1)]
        {
            let expected = Referenced {
                secrets: numbered('s', secrets),
                config_maps: numbered('c', config_maps),
                service_accounts: numbered('a', service_accounts),
            };
            assert_eq!(references(&provider(spec.clone())), expected, "{spec}");
        }
        assert_eq!(references(&provider(json!({"file": {"directory": "/x"}}))), Referenced::default());
    }

    #[test]
    fn exactly_one_provider_is_connected_to() {
        for spec in [json!({}), json!({"file": {"directory": "/x"}, "gcpsm": {}})] {
            let failure = connect(&provider(spec), &place(), Arc::new(Nothing)).err();
            assert_eq!(failure.map(|failure| failure.kind), Some(Kind::BadStore));
        }
    }

    /// K16: whoever writes a SecretStore does not act as the operator.
    /// Guard: `ambient` in [`Place::ambient`].
    #[test]
    fn only_a_place_that_allows_it_lends_its_own_identity() {
        assert_eq!(place().ambient().map_err(|failure| failure.kind), Err(Kind::BadStore));
        assert_eq!(Place { ambient: true, ..place() }.ambient(), Ok(()));
    }
}
