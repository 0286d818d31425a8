//! What a store refers to, for tests that call a provider without an operator.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use waxwing_core::Secret;
use waxwing_core::store::{Failure, Kind};
use waxwing_providers::{References, Token};

use crate::control_plane::ControlPlane;

/// Values of one Secret and one ConfigMap, which both have this name, and ServiceAccounts of a namespace of a cluster.
#[derive(Default)]
pub struct Kept {
    name: &'static str,
    values: Mutex<BTreeMap<String, String>>,
    accounts: Option<(&'static ControlPlane, &'static str)>,
    annotations: Mutex<BTreeMap<String, String>>,
    audiences: Mutex<Vec<Vec<String>>>,
}

impl Kept {
    /// A Secret and a ConfigMap of this name, with these values.
    #[must_use]
    pub fn of<const N: usize>(name: &'static str, values: [(&str, &str); N]) -> Arc<Self> {
        let kept = Self { name, ..Self::default() };
        values.into_iter().for_each(|(key, value)| kept.put(key, value));
        Arc::new(kept)
    }

    /// The ServiceAccounts of a namespace. What they are annotated with is said here, not in the cluster.
    #[must_use]
    pub fn accounts(
        plane: &'static ControlPlane,
        namespace: &'static str,
        annotations: &[(&str, &str)],
    ) -> Arc<Self> {
        let kept = Self { accounts: Some((plane, namespace)), ..Self::default() };
        annotations.iter().for_each(|(name, value)| kept.annotate(name, value));
        Arc::new(kept)
    }

    /// Sets a value.
    ///
    /// # Panics
    /// When a test has panicked that shares this.
    pub fn put(&self, key: &str, value: &str) {
        self.values.lock().unwrap().insert(key.to_owned(), value.to_owned());
    }

    /// Sets an annotation of every ServiceAccount.
    ///
    /// # Panics
    /// When a test has panicked that shares this.
    pub fn annotate(&self, name: &str, value: &str) {
        self.annotations.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// The audiences of each token that was asked for.
    ///
    /// # Panics
    /// When a test has panicked that shares this.
    #[must_use]
    pub fn asked_audiences(&self) -> Vec<Vec<String>> {
        self.audiences.lock().unwrap().clone()
    }

    fn value(&self, name: &str, key: &str) -> Result<String, Failure> {
        let value = (name == self.name).then(|| self.values.lock().unwrap().get(key).cloned()).flatten();
        value.ok_or_else(|| {
            Failure::new(Kind::CredentialMissing, "it is not there").at(format!("{name}, key {key}"))
        })
    }
}

#[async_trait]
impl References for Kept {
    async fn secret(&self, name: &str, key: &str) -> Result<Secret, Failure> {
        Ok(Secret::new(self.value(name, key)?.into_bytes()))
    }

    async fn config_map(&self, name: &str, key: &str) -> Result<String, Failure> {
        self.value(name, key)
    }

    async fn token(&self, account: &str, audiences: &[String], seconds: u32) -> Result<Token, Failure> {
        let missing = || Failure::new(Kind::CredentialMissing, "there is no such ServiceAccount").at(account);
        let (plane, namespace) = self.accounts.ok_or_else(missing)?;
        self.audiences.lock().unwrap().push(audiences.to_vec());
        let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
        let token = plane.token(namespace, account, &audiences).await.map_err(|_| missing())?;
        Ok(Token { token: Secret::new(token.into_bytes()), seconds: seconds.into() })
    }

    async fn service_account(&self, _: &str) -> Result<BTreeMap<String, String>, Failure> {
        Ok(self.annotations.lock().unwrap().clone())
    }
}
