//! The Kubernetes provider against a real API server, under its RBAC.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Secret as Kept, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use waxwing_core::Secret;
use waxwing_core::store::endpoint::Allow;
use waxwing_core::store::{Entry, Failure, Find, Kind, Read};
use waxwing_providers::{
    Broker, Freshness, Health, OwnServer, Place, Provider, References, Rules, Token, kubernetes,
};
use waxwing_tests::block_on;
use waxwing_tests::control_plane::{self, ControlPlane};
use waxwing_tests::faults::{Call, Fault, Faults};

/// The namespace of a store, and the one whose Secrets it reads.
struct Sides {
    plane: &'static ControlPlane,
    here: String,
    there: String,
    references: Arc<Referenced>,
}

/// What a store refers to: ServiceAccounts and the values of one Secret, which a test may change.
struct Referenced {
    plane: &'static ControlPlane,
    namespace: String,
    values: Mutex<BTreeMap<String, String>>,
    own: OwnServer,
}

#[async_trait]
impl References for Referenced {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        let value = self.values.lock().unwrap().get(key).cloned();
        let value = value.ok_or_else(|| Failure::new(Kind::CredentialMissing, "it is not there").at(name))?;
        Ok(Secret::new(value.into_bytes()))
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        self.secret(name, key).await.map(|_| self.plane.certs.ca_pem.clone())
    }

    async fn token(&self, account: &str, audiences: &[String], seconds: u32) -> Result<Token, Failure> {
        let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
        let missing =
            |_| Failure::new(Kind::CredentialMissing, "there is no such ServiceAccount").at(account);
        let token = self.plane.token(&self.namespace, account, &audiences).await.map_err(missing)?;
        Ok(Token { token: Secret::new(token.into_bytes()), seconds: seconds.into() })
    }

    async fn own_server(&self) -> Result<OwnServer, Failure> {
        Ok(self.own.clone())
    }

    async fn own_token(&self, account: &str, seconds: u32) -> Result<Token, Failure> {
        self.token(account, &[], seconds).await
    }

    async fn service_account(&self, _: &str) -> Result<BTreeMap<String, String>, Failure> {
        Ok(BTreeMap::new())
    }
}

impl Sides {
    /// Two new namespaces; the ServiceAccount `reader` of the first may get and list Secrets of the second.
    async fn new(name: &str) -> Result<Self> {
        let plane = control_plane::tenants().await;
        let (here, there) = (format!("{name}-here"), format!("{name}-there"));
        plane.create_namespace(&here).await?;
        plane.create_namespace(&there).await?;
        plane.service_account(&here, "reader").await?;
        let kubeconfig = Kubeconfig::read_from(&plane.admin_kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let references = Arc::new(Referenced {
            plane,
            namespace: here.clone(),
            values: Mutex::default(),
            own: OwnServer::from(&config),
        });
        let sides = Self { plane, here, there, references };
        sides.allow(json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}])).await?;
        Ok(sides)
    }

    /// What `reader`, and the user of the same name, may do in the second namespace.
    async fn allow(&self, rules: Value) -> Result<()> {
        let role: Role = serde_json::from_value(json!({"metadata": {"name": "reader"}, "rules": rules}))?;
        let binding: RoleBinding = serde_json::from_value(json!({
            "metadata": {"name": "reader"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
            "subjects": [
                {"kind": "ServiceAccount", "name": "reader", "namespace": self.here},
                {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": self.there},
            ],
        }))?;
        let apply = PatchParams::apply("test").force();
        let (roles, bindings) = (
            Api::namespaced(self.plane.admin.clone(), &self.there),
            Api::namespaced(self.plane.admin.clone(), &self.there),
        );
        let mut role = serde_json::to_value(role)?;
        role["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        role["kind"] = json!("Role");
        let _: Role = roles.patch("reader", &apply, &Patch::Apply(role)).await?;
        let mut binding = serde_json::to_value(binding)?;
        binding["apiVersion"] = json!("rbac.authorization.k8s.io/v1");
        binding["kind"] = json!("RoleBinding");
        let _: RoleBinding = bindings.patch("reader", &apply, &Patch::Apply(binding)).await?;
        Ok(())
    }

    fn secrets(&self) -> Api<Kept> {
        Api::namespaced(self.plane.admin.clone(), &self.there)
    }

    async fn put(&self, name: &str, labels: Value, data: &[(&str, &[u8])]) -> Result<String> {
        let mut secret: Kept = serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}}))?;
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), ByteString(value.to_vec())));
        secret.data = Some(data.collect());
        let made = self.secrets().create(&PostParams::default(), &secret).await?;
        made.metadata.resource_version.context("it has a version")
    }

    /// A store in the first namespace, which may name hosts on loopback.
    fn store(&self, fields: Value) -> Arc<dyn Provider> {
        let mut spec = json!({"remoteNamespace": self.there});
        for (name, value) in fields.as_object().unwrap() {
            spec[name] = value.clone();
        }
        kubernetes::connect(&serde_json::from_value(spec).unwrap(), &self.place(), self.references.clone())
            .unwrap()
    }

    fn place(&self) -> Place {
        Place {
            namespace: Some(self.here.clone()),
            store: "kubernetes".to_owned(),
            ambient: false,
            rules: Rules::new(Allow::parse(["127.0.0.1"]).unwrap()),
        }
    }

    /// One that logs in as `reader`.
    fn by_account(&self) -> Arc<dyn Provider> {
        self.store(json!({"auth": {"serviceAccount": {"name": "reader"}}}))
    }

    /// One that logs in to another server by a token in the Secret.
    async fn by_token(&self, url: &str) -> Result<Arc<dyn Provider>> {
        let token = self.plane.token(&self.here, "reader", &[]).await?;
        self.set("token", &token);
        Ok(self.store(json!({
            "server": {"url": url, "caBundle": BASE64_STANDARD.encode(&self.plane.certs.ca_pem)},
            "auth": {"token": {"bearerToken": {"name": "credentials", "key": "token"}}},
        })))
    }

    /// Sets a value that the store refers to.
    fn set(&self, key: &str, value: &str) {
        self.references.values.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }
}

async fn ask(store: &Arc<dyn Provider>, read: Read) -> Result<Entry, Failure> {
    store.read(&[read]).await.remove(0)
}

async fn read(store: &Arc<dyn Provider>, key: &str) -> Result<Entry, Failure> {
    ask(store, Read { key: key.to_owned(), ..Read::default() }).await
}

async fn bytes(store: &Arc<dyn Provider>, key: &str) -> Result<Vec<u8>, Failure> {
    read(store, key).await.map(|entry| entry.value.expose().to_vec())
}

async fn object(store: &Arc<dyn Provider>, key: &str) -> Result<Value, Failure> {
    bytes(store, key).await.map(|bytes| serde_json::from_slice(&bytes).unwrap())
}

fn kind<T>(result: Result<T, Failure>) -> Option<Kind> {
    result.err().map(|failure| failure.kind)
}

#[test]
fn a_secret_is_an_object_of_its_data_and_each_key_its_bytes() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-values").await?;
        let jks = b"\xfe\xed\xfe\xed\x00\x00\x00\x02".as_slice();
        let version = sides
            .put("app", json!({}), &[("user", b"alice"), ("pass", b"p\"\n\xe2\x82\xac"), ("store.jks", jks)])
            .await?;
        let store = sides.by_account();
        let expected =
            json!({"user": "alice", "pass": "p\"\n\u{20ac}", "store.jks": BASE64_STANDARD.encode(jks)});
        assert_eq!(object(&store, "app").await, Ok(expected));
        assert_eq!(bytes(&store, "app/store.jks").await, Ok(jks.to_vec()));
        assert_eq!(bytes(&store, "app/user").await, Ok(b"alice".to_vec()));
        assert_eq!(read(&store, "app").await.unwrap().version, Some(version.clone()));
        let asked = Read { key: "app".to_owned(), ..Read::default() };
        assert_eq!(store.version(&asked).await, Some(Ok(version.clone())));

        let failure = read(&store, "other").await.unwrap_err();
        assert_eq!((failure.kind, failure.place.as_deref()), (Kind::EntryMissing, Some("other")));
        assert_eq!(kind(read(&store, "app/other").await), Some(Kind::EntryMissing));
        assert_eq!(kind(read(&store, "../app").await), Some(Kind::Rejected));
        let old = Read { version: Some(version.clone()), ..asked.clone() };
        assert_eq!(kind(ask(&store, old).await), Some(Kind::Unsupported));

        let change = json!({"stringData": {"user": "bob"}, "metadata": {"labels": {"team": "a"}, "annotations": {"n": "1"}}});
        sides.secrets().patch("app", &PatchParams::default(), &Patch::Merge(change)).await?;
        let changed = read(&store, "app/user").await.unwrap();
        assert_eq!(changed.value.expose(), b"bob");
        assert_ne!(changed.version, Some(version));
        let labels = ask(&store, Read { metadata: true, ..asked }).await.unwrap();
        let labels: Value = serde_json::from_slice(labels.value.expose())?;
        assert_eq!(labels, json!({"labels": {"team": "a"}, "annotations": {"n": "1"}}));
        Ok(())
    })
}

/// K06: what may be read is decided by that side's RBAC, and nothing is ever asked of all namespaces.
/// Guard: the namespace in every path of `kubernetes::Kubernetes`.
#[test]
fn that_sides_rbac_decides_and_requests_stay_in_the_namespace() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-rbac").await?;
        let proxy = Faults::before(sides.plane).await?;
        sides.put("app", json!({}), &[("a", b"1")]).await?;
        sides.put("other", json!({}), &[("a", b"2")]).await?;
        let store = sides.by_token(&proxy.url).await?;
        assert_eq!(store.find(&Find::default()).await, Ok(vec!["app".to_owned(), "other".to_owned()]));

        let only = json!([{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["app"], "verbs": ["get"]}]);
        sides.allow(only).await?;
        assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()));
        let failure = read(&store, "other").await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            "other: that side's RBAC does not allow getting this Secret (HTTP 403)"
        );
        assert_eq!(failure.kind, Kind::Forbidden);
        // A Secret that is not there is not told from one that is forbidden: only a 404 says that it is missing.
        assert_eq!(kind(read(&store, "nothing").await), Some(Kind::Forbidden));
        assert_eq!(kind(store.find(&Find::default()).await), Some(Kind::Forbidden));
        // The credentials are good all the same.
        assert_eq!(store.check().await, Ok(()));

        // Its own namespace is not that side's.
        let own = json!({"remoteNamespace": sides.here, "auth": {"serviceAccount": {"name": "reader"}}});
        assert_eq!(kind(read(&sides.store(own), "app").await), Some(Kind::Forbidden));

        let prefix = format!("/api/v1/namespaces/{}/secrets", sides.there);
        for call in proxy.calls() {
            assert!(call.path.starts_with(&prefix) || call.path == "/version", "{}", call.path);
            assert_eq!(call.method, "GET");
        }
        Ok(())
    })
}

#[test]
fn a_search_goes_by_name_and_labels_over_all_pages_and_reads_no_value() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-find").await?;
        let proxy = Faults::before(sides.plane).await?;
        stream::iter(0..510)
            .map(|number| {
                let sides = &sides;
                async move {
                    let parity = if number % 2 == 0 { "even" } else { "odd" };
                    sides
                        .put(&format!("app-{number:03}"), json!({"parity": parity}), &[("a", b"hunter2")])
                        .await
                }
            })
            .buffer_unordered(16)
            .try_collect::<Vec<_>>()
            .await?;
        sides.put("other", json!({"parity": "even", "team": "b"}), &[]).await?;
        let store = sides.by_token(&proxy.url).await?;
        let find = async |name: Option<&str>, tags: &[(&str, &str)]| {
            let tags = tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            store.find(&Find { path: None, name: name.map(str::to_owned), tags }).await
        };
        let all = find(None, &[]).await.unwrap();
        assert_eq!((all.len(), all.is_sorted()), (511, true));
        assert_eq!(find(Some("^app-00[0-3]$"), &[("parity", "odd")]).await.unwrap(), ["app-001", "app-003"]);
        assert_eq!(find(None, &[("team", "b"), ("parity", "even")]).await.unwrap(), ["other"]);
        assert_eq!(find(None, &[("team", "a")]).await.unwrap(), [""; 0]);
        // What would be a selector for the API server is only a label that nobody has.
        assert_eq!(find(None, &[("team!=x,parity", "even")]).await.unwrap(), [""; 0]);
        assert_eq!(kind(find(Some("("), &[]).await), Some(Kind::Rejected));
        let path = Find { path: Some("app".to_owned()), ..Find::default() };
        assert_eq!(kind(store.find(&path).await), Some(Kind::Unsupported));

        let calls = proxy.calls();
        assert_eq!(calls.len(), 5 * 2);
        for call in calls {
            assert!(call.header("accept").contains("as=PartialObjectMetadataList"));
            assert!(!call.query.contains("Selector"), "{}", call.query);
        }
        Ok(())
    })
}

#[test]
fn every_way_to_log_in_works() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-logins").await?;
        sides.put("app", json!({}), &[("a", b"1")]).await?;
        let token = sides.plane.token(&sides.here, "reader", &[]).await?;
        let client = sides.plane.certs.client(&sides.there)?;
        let (url, ca) = (&sides.plane.url, BASE64_STANDARD.encode(&sides.plane.certs.ca_pem));
        let by_token = json!({"token": token});
        let by_certificate = json!({
            "client-certificate-data": BASE64_STANDARD.encode(&client.cert_pem),
            "client-key-data": BASE64_STANDARD.encode(&client.key_pem),
        });
        let kubeconfig = |user: &Value| {
            json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority-data": ca}}],
                "users": [{"name": "c", "user": user}],
            })
        };
        sides.set("token", &format!("{token}\n"));
        sides.set("tls.crt", &client.cert_pem);
        sides.set("tls.key", &client.key_pem);
        sides.set("ca.crt", "");
        sides.set("by-token", &kubeconfig(&by_token).to_string());
        sides.set("by-certificate", &kubeconfig(&by_certificate).to_string());
        let at = |key: &str| json!({"name": "credentials", "key": key});
        let named = json!({"url": url, "caProvider": {"type": "ConfigMap", "name": "ca"}});
        let own = json!({"url": "https://kubernetes.default.svc"});
        let cert = json!({"cert": {"clientCert": at("tls.crt"), "clientKey": at("tls.key")}});
        for spec in [
            json!({"auth": {"serviceAccount": {"name": "reader"}}}),
            json!({"server": own, "auth": {"serviceAccount": {"name": "reader"}}}),
            json!({"server": own, "auth": {"token": {"bearerToken": at("token")}}}),
            json!({"server": own, "auth": cert}),
            json!({"server": named, "auth": {"token": {"bearerToken": at("token")}}}),
            json!({"server": named, "auth": cert}),
            // The audience of this API server, which another cluster's store would have to name.
            json!({"server": named, "auth": {"serviceAccount": {
                "name": "reader", "audiences": ["https://kubernetes.default.svc"],
            }}}),
            json!({"authRef": at("by-token")}),
            json!({"authRef": at("by-certificate")}),
        ] {
            let store = sides.store(spec.clone());
            assert_eq!(store.check().await, Ok(()), "{spec}");
            assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()), "{spec}");
        }
        // A token for somebody else is not taken.
        let stranger =
            json!({"server": named, "auth": {"serviceAccount": {"name": "reader", "audiences": ["vault"]}}});
        let store = sides.store(stranger);
        assert_eq!(kind(store.check().await), Some(Kind::Unauthenticated));
        assert_eq!(kind(read(&store, "app").await), Some(Kind::Unauthenticated));
        let nobody = sides.store(json!({"auth": {"serviceAccount": {"name": "nobody"}}}));
        assert_eq!(kind(read(&nobody, "app").await), Some(Kind::CredentialMissing));
        Ok(())
    })
}

#[test]
fn credentials_that_are_no_longer_taken_are_made_anew_once() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-renewal").await?;
        sides.put("app", json!({}), &[("a", b"1")]).await?;
        let store = sides.by_account();
        assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()));
        // With another ServiceAccount of the same name, the tokens of the first one are worth nothing.
        let accounts: Api<ServiceAccount> = Api::namespaced(sides.plane.admin.clone(), &sides.here);
        accounts.delete("reader", &DeleteParams::default()).await?;
        // The API server remembers for some seconds what it found out about a token.
        let refused = async {
            loop {
                match read(&store, "app/a").await {
                    Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                    Err(failure) => break failure.kind,
                }
            }
        };
        assert_eq!(tokio::time::timeout(Duration::from_secs(60), refused).await?, Kind::CredentialMissing);
        sides.plane.service_account(&sides.here, "reader").await?;
        assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()));

        let proxy = Faults::before(sides.plane).await?;
        let store = sides.by_token(&proxy.url).await?;
        let good = sides.references.values.lock().unwrap()["token"].clone();
        sides.set("token", "hunter2");
        let failure = read(&store, "app/a").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Unauthenticated);
        assert!(!failure.to_string().contains("hunter2"));
        // Two tries: with the first login, and with one more.
        assert_eq!(proxy.calls().len(), 2);
        sides.set("token", &good);
        assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()));
        Ok(())
    })
}

/// L02, L03, K16. Guard: `providers: kubernetes` answers by status alone, and `net::client_builder` follows no redirect.
#[test]
fn an_api_server_in_trouble_is_told_apart_in_fixed_phrases() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-faults").await?;
        sides.put("app", json!({}), &[("a", b"1")]).await?;
        let proxy = Faults::before(sides.plane).await?;
        let elsewhere = Faults::before(sides.plane).await?;
        let store = sides.by_token(&proxy.url).await?;
        let is_read = |call: &Call| call.path.ends_with("/secrets/app");
        let text = || "hunter2".to_owned();
        let missing =
            json!({"kind": "Status", "reason": "NotFound", "details": {"kind": "secrets", "name": "x"}});
        let table = [
            (Fault::status(500), Kind::Unavailable, Some(500)),
            (Fault::Body(503, text()), Kind::Unavailable, Some(503)),
            (Fault::too_many(7), Kind::Throttled, Some(429)),
            (Fault::Body(401, text()), Kind::Unauthenticated, Some(401)),
            (Fault::Body(403, text()), Kind::Forbidden, Some(403)),
            (Fault::Body(404, "404 page not found".to_owned()), Kind::MountMissing, Some(404)),
            (Fault::Body(404, missing.to_string()), Kind::MountMissing, Some(404)),
            (Fault::Body(400, text()), Kind::Rejected, Some(400)),
            (
                Fault::redirect(&format!("{}/api/v1/namespaces/x/secrets/app", elsewhere.url)),
                Kind::Rejected,
                Some(307),
            ),
            (Fault::Body(200, text()), Kind::BadData, None),
            (Fault::Body(200, "x".repeat(5 << 20)), Kind::TooLarge, None),
            (Fault::Dropped, Kind::Unavailable, None),
            (Fault::Cut, Kind::Unavailable, None),
        ];
        for (fault, kind, code) in table {
            let what = format!("{fault:?}").chars().take(100).collect::<String>();
            let in_force = proxy.inject(fault, is_read);
            let failure = read(&store, "app").await.unwrap_err();
            assert_eq!((failure.kind, failure.code), (kind, code), "{what}");
            assert!(!failure.to_string().contains("hunter2"), "{what}");
            assert_eq!(failure.retry_after, (code == Some(429)).then_some(Duration::from_secs(7)), "{what}");
            drop(in_force);
            assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()), "{what}");
        }
        // Nobody followed the redirect, and no token went there.
        assert_eq!(elsewhere.calls().len(), 0);

        proxy.shut();
        assert_eq!(kind(read(&store, "app").await), Some(Kind::Unavailable));
        proxy.open();
        assert_eq!(bytes(&store, "app/a").await, Ok(b"1".to_vec()));

        let token = json!({"token": {"bearerToken": {"name": "credentials", "key": "token"}}});
        let untrusting = sides.store(json!({"server": {"url": sides.plane.url}, "auth": token}));
        let failure = read(&untrusting, "app").await.unwrap_err();
        assert_eq!(failure.kind, Kind::Untrusted);
        assert_eq!(failure.what, "the server's certificate is from an authority that is not trusted");
        Ok(())
    })
}

#[test]
fn a_broker_wakes_whoever_waits_when_the_api_server_is_back() -> Result<()> {
    block_on(async {
        let sides = Sides::new("kubernetes-broker").await?;
        sides.put("app", json!({}), &[("a", b"1")]).await?;
        let proxy = Faults::before(sides.plane).await?;
        let broker = Broker::new(sides.by_token(&proxy.url).await?, Arc::new(()));
        let asked = Read { key: "app/a".to_owned(), ..Read::default() };
        proxy.shut();
        for _ in 0..3 {
            assert_eq!(kind(broker.read(&asked, Freshness::Forced).await), Some(Kind::Unavailable));
        }
        let mut health = broker.health();
        assert!(matches!(&*health.borrow_and_update(), Health::Sick(_)));
        let before = proxy.calls().len();
        assert_eq!(kind(broker.read(&asked, Freshness::Forced).await), Some(Kind::Unavailable));
        assert_eq!(proxy.calls().len(), before);
        proxy.open();
        health.wait_for(|health| *health == Health::Well).await?;
        assert_eq!(broker.read(&asked, Freshness::Shared).await.unwrap().value.expose(), b"1");
        Ok(())
    })
}
