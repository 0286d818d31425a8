//! Writes one produced Secret, and has no opinion about it.
//!
//! Create is a POST, so that a Secret that exists is never touched by it. Everything later is a forced server-side
//! apply whose body names the uid: a Secret that was made anew meanwhile is refused, one that vanished too. Each object
//! has a field manager of its own, so that two objects never delete each other's keys.
//!
//! A POST leaves a managed-fields entry of kind `Update`, and keys in it would outlive their removal from the spec.
//! Most Secrets never lose a key, so the entry is turned into one of kind `Apply` only when an apply has left something
//! behind: the answer tells ([`ownership`]).
//!
//! Answers are asked for as metadata only: no Secret's data is ever read. Requests are built from wiped buffers and
//! sent below the client's error handling, which would write the API server's messages to the debug log.

mod body;
mod ownership;
mod request;
#[cfg(test)]
mod tests;

use hyper::{Method, body::Bytes};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Client;
use serde::Deserialize;
use serde_json::json;
use waxwing_core::plan::{Owner, Produced, Write};

pub use request::Refusal;
pub(crate) use request::{Ask, JSON, JSON_PATCH, escaped, send};

/// A Secret that was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// Its metadata afterwards.
    pub metadata: ObjectMeta,
    /// Whether it was made.
    pub created: bool,
    /// Whether the write changed what is in it, or took a field back from another writer.
    pub changed: bool,
}

/// Makes a plan's write. `None` when there is none. `before` is the resource version that the plan was made for.
///
/// # Errors
/// When the API server refuses or does not answer. A part of the write may then be done; the next look finishes it.
pub async fn write(client: &Client, write: &Write, before: Option<&str>) -> Result<Option<Written>, Refusal> {
    match write {
        Write::None => Ok(None),
        Write::Create(produced) => {
            let metadata = create(client, produced).await?;
            Ok(Some(Written { metadata, created: true, changed: true }))
        }
        Write::Apply { uid, stale_owners, produced } => {
            if !stale_owners.is_empty() {
                drop_owners(client, produced, uid, stale_owners).await?;
            }
            let mut metadata = apply(client, produced, uid).await?;
            let mut changed = metadata.resource_version.as_deref() != before;
            if let Some(entries) = ownership::Entries::of(&metadata, &produced.manager) {
                // The first apply after a POST adds an entry and so a version, also when it changes nothing else.
                changed = changed && entries.took_something();
                if let Some(merged) = entries.merged() {
                    own_by_apply(client, produced, &metadata, merged).await?;
                    metadata = apply(client, produced, uid).await?;
                }
            }
            Ok(Some(Written { metadata, created: false, changed }))
        }
        Write::Merge { uid, namespace, name, data, manager } => {
            // Without force: a key of another writer answers 409, and stays theirs.
            let path = format!("{}?fieldManager={}", item(namespace, name), escaped(manager));
            let metadata = ask(client, apply_to(&path), body::merged(namespace, name, uid, data)).await?;
            let changed = metadata.resource_version.as_deref() != before;
            Ok(Some(Written { metadata, created: false, changed }))
        }
        Write::Delete { namespace, name, uid, resource_version } => {
            let path = item(namespace, name);
            let only = json!({
                "apiVersion": "v1", "kind": "DeleteOptions",
                "preconditions": {"uid": uid, "resourceVersion": resource_version},
            });
            let ask_for = Ask { verb: "delete", method: Method::DELETE, path: &path, content: JSON };
            // The answer is a status, or the object where it has finalizers: neither is of use.
            send::<serde::de::IgnoredAny>(client, ask_for, JSON, only.to_string().into()).await?;
            Ok(Some(Written { metadata: ObjectMeta::default(), created: false, changed: true }))
        }
    }
}

fn apply_to(path: &str) -> Ask<'_> {
    Ask { verb: "patch", method: Method::PATCH, path, content: "application/apply-patch+yaml" }
}

async fn create(client: &Client, produced: &Produced) -> Result<ObjectMeta, Refusal> {
    let path = format!("{}?fieldManager={}", collection(&produced.namespace), escaped(&produced.manager));
    ask(
        client,
        Ask { verb: "create", method: Method::POST, path: &path, content: JSON },
        body::of(produced, None),
    )
    .await
}

async fn apply(client: &Client, produced: &Produced, uid: &str) -> Result<ObjectMeta, Refusal> {
    let path = format!("{}?fieldManager={}&force=true", item_of(produced), escaped(&produced.manager));
    ask(client, apply_to(&path), body::of(produced, Some(uid))).await
}

/// Removes owner references whose object is gone. Our own apply would leave those that another writer has set, such as
/// a restore, and two controllers would be refused.
async fn drop_owners(
    client: &Client,
    produced: &Produced,
    uid: &str,
    stale: &[(usize, Owner)],
) -> Result<(), Refusal> {
    let mut patch = vec![json!({"op": "test", "path": "/metadata/uid", "value": uid})];
    // From the last to the first, so that the places stay right.
    for (place, owner) in stale.iter().rev() {
        let path = format!("/metadata/ownerReferences/{place}");
        patch.push(json!({"op": "test", "path": format!("{path}/uid"), "value": owner.uid}));
        patch.push(json!({"op": "remove", "path": path}));
    }
    json_patch(client, produced, &json!(patch)).await
}

/// Makes our entries one, of kind `Apply`: the next apply then removes what it no longer has.
async fn own_by_apply(
    client: &Client,
    produced: &Produced,
    metadata: &ObjectMeta,
    merged: serde_json::Value,
) -> Result<(), Refusal> {
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": metadata.uid},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata.resource_version},
        {"op": "replace", "path": "/metadata/managedFields", "value": merged},
    ]);
    json_patch(client, produced, &patch).await
}

async fn json_patch(client: &Client, produced: &Produced, patch: &serde_json::Value) -> Result<(), Refusal> {
    let path = format!("{}?fieldManager={}", item_of(produced), escaped(&produced.manager));
    let ask_for = Ask { verb: "patch", method: Method::PATCH, path: &path, content: JSON_PATCH };
    ask(client, ask_for, patch.to_string().into()).await.map(|_| ())
}

/// The metadata of a Secret as it is now, past every cache.
///
/// # Errors
/// When the API server refuses or does not answer; a Secret that is not there is none.
pub async fn read(client: &Client, namespace: &str, name: &str) -> Result<Option<ObjectMeta>, Refusal> {
    let path = item(namespace, name);
    match ask(client, Ask { verb: "get", method: Method::GET, path: &path, content: JSON }, Bytes::new())
        .await
    {
        Err(Refusal::Api { status, .. }) if status.code == 404 => Ok(None),
        answer => answer.map(Some),
    }
}

fn collection(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/secrets", escaped(namespace))
}

fn item_of(produced: &Produced) -> String {
    item(&produced.namespace, &produced.name)
}

fn item(namespace: &str, name: &str) -> String {
    format!("{}/{}", collection(namespace), escaped(name))
}

/// Asks for metadata only, whatever is done.
async fn ask(client: &Client, ask: Ask<'_>, body: Bytes) -> Result<ObjectMeta, Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        metadata: ObjectMeta,
    }
    let accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    send(client, ask, accept, body).await.map(|answer: Answer| answer.metadata)
}
