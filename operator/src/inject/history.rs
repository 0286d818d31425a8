//! The history Secrets of one injection.

use std::collections::BTreeMap;

use hyper::{Method, body::Bytes};
use k8s_openapi::{ByteString, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::json;
use waxwing_core::{
    Secret,
    injection::{Fault, plan::Revision},
};
use waxwing_crds::{Reason, names};
use zeroize::Zeroizing;

use crate::{
    apply::{Ask, JSON, escaped, send},
    context::Context,
};

/// Reads the revisions of the injection of this uid, oldest first.
///
/// # Errors
/// When the API server does not give them: without them nothing is known of last good values.
pub(crate) async fn read(ctx: &Context, namespace: &str, uid: &str) -> Result<Vec<Revision>, Fault> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        metadata: ObjectMeta,
        #[serde(default)]
        data: Option<BTreeMap<String, ByteString>>,
    }
    let path = format!(
        "/api/v1/namespaces/{}/secrets?labelSelector={}%3D{}",
        escaped(namespace),
        escaped(names::HISTORY_OF),
        escaped(uid)
    );
    let ask = Ask { verb: "list", method: Method::GET, path: &path, content: JSON };
    let list: List = send(&ctx.client, ask, JSON, Bytes::new()).await.map_err(|_| Fault {
        reason: Reason::ApiUnavailable,
        message: "the API server did not give the history".to_owned(),
    })?;
    let revision = |Item { metadata, data }: Item| {
        let id = (metadata.name?, metadata.uid?, metadata.resource_version?);
        let data = data.into_iter().flatten();
        let values =
            data.map(|(key, value)| (key, Secret::from(Zeroizing::new(value.0)))).collect::<Vec<_>>();
        let data = values.into_iter().filter_map(|(key, value)| Some((key.parse().ok()?, value))).collect();
        Revision::read(id, &metadata.annotations.unwrap_or_default(), data)
    };
    let mut history: Vec<Revision> = list.items.into_iter().filter_map(revision).collect();
    history.sort_by_key(|revision| revision.number);
    Ok(history)
}

/// Writes an annotation on a history Secret. That it could not be written is no failure: it is found missing, and written
/// at another look.
pub(crate) async fn note(ctx: &Context, namespace: &str, revision: &str, name: &str, value: &str) {
    let path = format!(
        "/api/v1/namespaces/{}/secrets/{}?fieldManager={}",
        escaped(namespace),
        escaped(revision),
        names::MANAGER
    );
    let ask =
        Ask { verb: "patch", method: Method::PATCH, path: &path, content: "application/merge-patch+json" };
    let patch = json!({"metadata": {"annotations": {name: value}}});
    let metadata_only = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    let noted = send::<IgnoredAny>(&ctx.client, ask, metadata_only, patch.to_string().into()).await;
    if let Err(refusal) = noted {
        tracing::debug!(
            namespace,
            revision,
            answer = refusal.describe(),
            "a history Secret was not annotated"
        );
    }
}
