//! The API server's audit log: who asked what. What a test wants to know about requests it reads here, and not from
//! the one who made them.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// What the API server writes down: each finished request of a service account, without bodies. Those of the
/// controller manager are left out.
pub(crate) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy",
  "omitStages": ["RequestReceived", "ResponseStarted"],
  "rules": [
    {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]},
    {"level": "Metadata", "userGroups": ["system:serviceaccounts"]}
  ]
}"#;

/// How long nothing of a user is finished before nothing is thought to be under way. Requests take milliseconds.
const IDLE: Duration = Duration::from_millis(500);

/// The audit log of one API server.
pub struct Audit {
    file: PathBuf,
}

/// A moment in the log.
#[derive(Clone, Copy, Debug)]
pub struct Mark(u64);

/// One finished request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Call {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`.
    pub verb: String,
    user: User,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
}

#[derive(Clone, Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ObjectRef {
    resource: String,
    namespace: String,
    name: String,
    subresource: String,
}

#[derive(Clone, Debug, Deserialize)]
struct ResponseStatus {
    #[serde(default)]
    code: u16,
}

impl Call {
    /// Who asked, such as `system:serviceaccount:NAMESPACE:NAME`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user.username
    }

    /// `resource`, or `resource/subresource`.
    #[must_use]
    pub fn resource(&self) -> String {
        let ObjectRef { resource, subresource, .. } = &self.object_ref;
        if subresource.is_empty() { resource.clone() } else { format!("{resource}/{subresource}") }
    }

    /// The object's namespace, or nothing.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.object_ref.namespace
    }

    /// The object's name, or nothing.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object_ref.name
    }

    /// The answer's status code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.response_status.as_ref().map_or(0, |status| status.code)
    }

    /// Whether it asked for a change.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// `verb resource namespace/name -> code`, for messages.
    #[must_use]
    pub fn line(&self) -> String {
        let (verb, resource, code) = (&self.verb, self.resource(), self.code());
        format!("{verb} {resource} {}/{} -> {code}", self.namespace(), self.name())
    }
}

impl Audit {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file }
    }

    /// Now.
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark(std::fs::metadata(&self.file).map_or(0, |metadata| metadata.len()))
    }

    /// The moment from which on a user who was stopped has no request under way any more.
    pub async fn once_idle(&self, user: &str) -> Mark {
        loop {
            let mark = self.mark();
            tokio::time::sleep(IDLE).await;
            if self.since(mark, user).is_empty() {
                return mark;
            }
        }
    }

    /// Every request of one user that was finished since.
    ///
    /// # Panics
    /// When the log can't be read.
    #[must_use]
    pub fn since(&self, mark: Mark, user: &str) -> Vec<Call> {
        let mut text = String::new();
        let mut file = File::open(&self.file).expect("the API server writes an audit log");
        file.seek(SeekFrom::Start(mark.0)).expect("the audit log only grows");
        file.read_to_string(&mut text).expect("the audit log is UTF-8");
        // The last line may be half written.
        text.lines()
            .filter_map(|line| serde_json::from_str::<Call>(line).ok())
            .filter(|call| call.user() == user)
            .collect()
    }

    /// Its changes since, but for the Lease that two replicas share.
    #[must_use]
    pub fn writes_since(&self, mark: Mark, user: &str) -> Vec<Call> {
        self.since(mark, user)
            .into_iter()
            .filter(|call| call.is_write() && call.resource() != "leases")
            .collect()
    }
}
