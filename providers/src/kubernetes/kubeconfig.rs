//! A kubeconfig that somebody else wrote.
//!
//! Only what is in the file itself is taken: nothing in it can run a program, read a file of this machine, turn off the
//! check of certificates, or act as somebody else. Whatever could is refused by its name, and an unknown field too.

use serde::Deserialize;
use serde::de::IgnoredAny;
use waxwing_core::{
    Secret,
    store::{Failure, Kind},
    yaml,
};
use zeroize::Zeroizing;

/// What its current context says.
pub(super) struct Kubeconfig {
    /// The API server.
    pub(super) server: String,
    /// The name in its certificate, where it is not the URL's host.
    pub(super) server_name: Option<String>,
    /// The certificate authorities, in PEM and then base64.
    pub(super) authorities: Option<Secret>,
    /// The user's token.
    pub(super) token: Option<Secret>,
    /// The user's certificate and key, each in PEM and then base64.
    pub(super) certificate: Option<(Secret, Secret)>,
}

impl Kubeconfig {
    /// # Errors
    /// `BadStore`, with a position or a field, and never a piece of the text.
    pub(super) fn read(text: &Secret) -> Result<Self, Failure> {
        // Why exposed: it is parsed here. Its errors have positions, and quote nothing.
        let text = std::str::from_utf8(text.expose()).map_err(|_| bad("it is not text"))?;
        let file: File = yaml::from_str(text).map_err(|error| {
            let failure = bad("it is not a kubeconfig of the fields that are taken");
            match error.position() {
                Some((line, column)) => failure.at(format!("line {line} column {column}")),
                None => failure,
            }
        })?;
        let current = file.current_context.ok_or_else(|| bad("it has no current-context"))?;
        let context = only(file.contexts, |named| named.name == current)
            .and_then(|named| named.context)
            .ok_or_else(|| bad("it has not exactly one context of the name in current-context"))?;
        let cluster = only(file.clusters, |named| named.name == context.cluster)
            .and_then(|named| named.cluster)
            .ok_or_else(|| bad("it has not exactly one cluster of the context's name"))?;
        let user = only(file.users, |named| named.name == context.user)
            .and_then(|named| named.user)
            .ok_or_else(|| bad("it has not exactly one user of the context's name"))?;
        cluster.refuse()?;
        user.refuse()?;
        let secret = |text: Zeroizing<String>| Secret::new(text.as_bytes().to_vec());
        Ok(Self {
            server: cluster.server,
            server_name: cluster.tls_server_name.filter(|name| !name.is_empty()),
            authorities: cluster.certificate_authority_data.map(secret),
            token: user.token.map(secret),
            certificate: user.client_certificate_data.map(secret).zip(user.client_key_data.map(secret)),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct File {
    #[serde(rename = "apiVersion")]
    _api_version: Option<IgnoredAny>,
    #[serde(rename = "kind")]
    _kind: Option<IgnoredAny>,
    #[serde(rename = "preferences")]
    _preferences: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
    current_context: Option<String>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedContext {
    name: String,
    context: Option<Context>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    cluster: String,
    user: String,
    // The store says which namespace.
    #[serde(rename = "namespace")]
    _namespace: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedCluster {
    name: String,
    cluster: Option<Cluster>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct Cluster {
    server: String,
    tls_server_name: Option<String>,
    certificate_authority_data: Option<Zeroizing<String>>,
    certificate_authority: Option<IgnoredAny>,
    insecure_skip_tls_verify: Option<bool>,
    proxy_url: Option<IgnoredAny>,
    #[serde(rename = "disable-compression")]
    _disable_compression: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedUser {
    name: String,
    user: Option<User>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct User {
    token: Option<Zeroizing<String>>,
    client_certificate_data: Option<Zeroizing<String>>,
    client_key_data: Option<Zeroizing<String>>,
    exec: Option<IgnoredAny>,
    auth_provider: Option<IgnoredAny>,
    #[serde(rename = "tokenFile")]
    token_file: Option<IgnoredAny>,
    client_certificate: Option<IgnoredAny>,
    client_key: Option<IgnoredAny>,
    username: Option<IgnoredAny>,
    password: Option<IgnoredAny>,
    #[serde(rename = "as")]
    impersonate: Option<IgnoredAny>,
    as_uid: Option<IgnoredAny>,
    as_groups: Option<IgnoredAny>,
    as_user_extra: Option<IgnoredAny>,
    #[serde(rename = "extensions")]
    _extensions: Option<IgnoredAny>,
}

impl Cluster {
    fn refuse(&self) -> Result<(), Failure> {
        if self.insecure_skip_tls_verify == Some(true) {
            return refused("insecure-skip-tls-verify");
        }
        refuse(&[("certificate-authority", &self.certificate_authority), ("proxy-url", &self.proxy_url)])
    }
}

impl User {
    fn refuse(&self) -> Result<(), Failure> {
        refuse(&[
            ("exec", &self.exec),
            ("auth-provider", &self.auth_provider),
            ("tokenFile", &self.token_file),
            ("client-certificate", &self.client_certificate),
            ("client-key", &self.client_key),
            ("username", &self.username),
            ("password", &self.password),
            ("as", &self.impersonate),
            ("as-uid", &self.as_uid),
            ("as-groups", &self.as_groups),
            ("as-user-extra", &self.as_user_extra),
        ])
    }
}

fn refuse(fields: &[(&'static str, &Option<IgnoredAny>)]) -> Result<(), Failure> {
    fields.iter().find(|(_, value)| value.is_some()).map_or(Ok(()), |(field, _)| refused(field))
}

fn refused(field: &'static str) -> Result<(), Failure> {
    let what = "it is refused in a kubeconfig: only a token, a certificate with its key, and certificate-authority-data are taken";
    Err(bad(what).at(field))
}

/// The only item of this kind: the first of several would be somebody's guess.
fn only<T>(items: Vec<T>, fits: impl Fn(&T) -> bool) -> Option<T> {
    let mut found = items.into_iter().filter(|item| fits(item));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

const fn bad(what: &'static str) -> Failure {
    Failure::new(Kind::BadStore, what)
}

#[cfg(test)]
mod tests;
