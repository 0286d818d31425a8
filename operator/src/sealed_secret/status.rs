//! Writes a whole status: one patch of the status subresource, meant for one uid.

use hyper::Method;
use serde_json::json;
use tracing::warn;
use waxwing_crds::{SealedSecretStatus, names};

use crate::{
    apply::{Ask, JSON, JSON_PATCH, Refusal, escaped, send},
    context::Context,
    records::{DecodedSealed, IncomingSealed, SealedRecord},
    store::ObjectKey,
};

/// Why a status was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotSaid {
    /// The object is gone, or is another one of the same name.
    Gone,
    /// The API server refused for now, or did not answer.
    Refused,
    /// The API server refuses this object as it is: it was stored before a rule existed. Only the event tells then.
    Rejected,
}

/// Replaces the status of this very object.
pub(super) async fn write(
    ctx: &Context,
    key: &ObjectKey,
    object: &DecodedSealed,
    status: &SealedSecretStatus,
) -> Result<(), NotSaid> {
    let (group, version) = (names::GROUP, names::VERSION);
    let (namespace, name, manager) = (escaped(key.namespace()), escaped(key.name()), names::MANAGER);
    let path = format!(
        "/apis/{group}/{version}/namespaces/{namespace}/sealedsecrets/{name}/status?fieldManager={manager}"
    );
    // `add` replaces what is there, so nothing that somebody else put into a status stays.
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": object.metadata.uid},
        {"op": "add", "path": "/status", "value": status},
    ]);
    let ask = Ask { verb: "patch", method: Method::PATCH, path: &path, content: JSON_PATCH };
    match send::<IncomingSealed>(&ctx.client, ask, JSON, patch.to_string().into()).await {
        Ok(object) => {
            let (key, record): (ObjectKey, SealedRecord) = object.into();
            // Where the watch was faster, what it has brought stays.
            let _newer = ctx.sealed_secrets.put(&key, record);
            Ok(())
        }
        Err(Refusal::Api { status, .. }) if status.code == 404 => Err(NotSaid::Gone),
        Err(refusal) => {
            warn!(object = %key, answer = refusal.describe(), "the status was not written");
            Err(if refusal.fields().is_empty() { NotSaid::Refused } else { NotSaid::Rejected })
        }
    }
}
