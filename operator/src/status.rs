//! Writes a whole status: one patch of the status subresource, meant for one uid.

use hyper::Method;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use tracing::warn;
use waxwing_crds::names;

use crate::{
    apply::{Ask, JSON, JSON_PATCH, Refusal, escaped, send},
    context::Context,
    store::ObjectKey,
};

/// Why a status was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotSaid {
    /// The object is gone, or is another one of the same name.
    Gone,
    /// The API server refused for now, or did not answer.
    Refused,
    /// The API server refuses this object as it is: it was stored before a rule existed. Only the event tells then.
    Rejected,
}

/// Replaces the status of this very object, and gives the object as it is then. `plural` is the resource's name; a
/// cluster-scoped object has no namespace in its key.
pub(crate) async fn write<T: DeserializeOwned>(
    ctx: &Context,
    plural: &str,
    key: &ObjectKey,
    uid: Option<&str>,
    status: &impl Serialize,
) -> Result<T, NotSaid> {
    let (group, version) = (names::GROUP, names::VERSION);
    let (name, manager) = (escaped(key.name()), names::MANAGER);
    let namespace = match key.namespace() {
        "" => String::new(),
        namespace => format!("namespaces/{}/", escaped(namespace)),
    };
    let path = format!("/apis/{group}/{version}/{namespace}{plural}/{name}/status?fieldManager={manager}");
    // `add` replaces what is there, so nothing that somebody else put into a status stays.
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let ask = Ask { verb: "patch", method: Method::PATCH, path: &path, content: JSON_PATCH };
    match send(&ctx.client, ask, JSON, patch.to_string().into()).await {
        Ok(object) => Ok(object),
        Err(Refusal::Api { status, .. }) if status.code == 404 => Err(NotSaid::Gone),
        Err(refusal) => {
            warn!(object = %key, plural, answer = refusal.describe(), "the status was not written");
            Err(if refusal.fields().is_empty() { NotSaid::Refused } else { NotSaid::Rejected })
        }
    }
}
