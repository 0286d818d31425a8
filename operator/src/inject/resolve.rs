//! From references to values: Secrets from the API server, entries from stores. Values are not kept.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use hyper::{Method, body::Bytes};
use k8s_openapi::ByteString;
use serde::Deserialize;
use waxwing_core::{
    Secret,
    inject::{Answer, Reference},
    injection::{Fault, plan::Fact, value},
};
use waxwing_crds::{Reason, names};
use waxwing_providers::fetch::{self, Asker};
use zeroize::Zeroizing;

use crate::{
    apply::{Ask, JSON, Refusal, escaped, send},
    context::Context,
    pull::{fetch::InCluster, stores},
    store::ObjectKey,
};

/// What references give.
#[derive(Default)]
pub(crate) struct Resolved {
    /// A value, or why there is none.
    pub(crate) answers: BTreeMap<Reference, Answer>,
    /// Which version of its source each value is.
    pub(crate) versions: BTreeMap<Reference, String>,
}

/// The versions of everything that references mean, as far as the caches know them.
pub(crate) fn facts(ctx: &Context, own: &str, references: &BTreeSet<Reference>) -> Vec<Fact> {
    let mut facts = BTreeMap::new();
    for reference in references {
        let (namespace, reference) = reference.within(own);
        let (what, uid, version) = match reference {
            Reference::Store { store, .. } => {
                let described = stores::describe(ctx, namespace, store).ok();
                let uid = described.as_ref().map(|described| described.uid.clone());
                let generation = described.map(|described| described.generation.to_string());
                (format!("{store} in {namespace}"), uid, generation)
            }
            Reference::Secret { name, .. } => {
                let record = ctx.secrets.get(&ObjectKey::new(namespace, name));
                let version = record.as_ref().map(|record| record.resource_version());
                let uid = record.map(|record| crate::store::Record::uid(&*record).to_owned());
                (format!("Secret/{name} in {namespace}"), uid, version)
            }
            Reference::Of { .. } => continue,
        };
        let fact =
            Fact { what: what.clone(), uid: uid.unwrap_or_default(), version: version.unwrap_or_default() };
        facts.insert(what, fact);
    }
    facts.into_values().collect()
}

/// Reads everything that references mean. Each Secret is read once.
///
/// # Errors
/// When the API server does not answer: then nothing is known, and nothing counts as missing.
pub(crate) async fn resolve(
    ctx: &Context,
    own: &ObjectKey,
    uid: &str,
    references: &BTreeSet<Reference>,
    forced: bool,
) -> Result<Resolved, Fault> {
    let mut by_secret: BTreeMap<(&str, &str), Vec<(&Reference, &str)>> = BTreeMap::new();
    let mut of_stores = Vec::new();
    for reference in references {
        match reference.within(own.namespace()) {
            (namespace, Reference::Secret { name, key }) => {
                by_secret.entry((namespace, name)).or_default().push((reference, key));
            }
            (namespace, inner) => of_stores.push((reference, namespace, inner)),
        }
    }
    let secrets = by_secret
        .into_iter()
        .map(async |((namespace, name), wanted)| (read_secret(ctx, namespace, name).await, wanted));
    let entries = of_stores.into_iter().map(async |(reference, namespace, inner)| {
        (reference, entry(ctx, namespace, uid, inner, forced).await)
    });
    let (secrets, entries) = futures::join!(join_all(secrets), join_all(entries));
    let mut resolved = Resolved::default();
    for (read, wanted) in secrets {
        let mut read = match read {
            Ok(read) => read,
            Err(Unread::Missing(message)) => Read { problem: Some(message), ..Read::default() },
            Err(Unread::Unknown(fault)) => return Err(fault),
        };
        for (reference, key) in wanted {
            let answer = match (&read.problem, read.data.get(key)) {
                (Some(problem), _) => Answer::Unresolved(problem.clone()),
                (None, None) => Answer::Unresolved("the Secret has no such key".to_owned()),
                (None, Some(value)) => {
                    resolved.versions.insert(reference.clone(), read.version.clone());
                    Answer::Value(value.clone())
                }
            };
            resolved.answers.insert(reference.clone(), answer);
        }
        read.data.clear();
    }
    for (reference, entry) in entries {
        let answer = match entry {
            Ok((value, version)) => {
                resolved.versions.extend(version.map(|version| (reference.clone(), version)));
                Answer::Value(value)
            }
            Err(refused) => Answer::Unresolved(refused),
        };
        resolved.answers.insert(reference.clone(), answer);
    }
    Ok(resolved)
}

async fn entry(
    ctx: &Context,
    namespace: &str,
    uid: &str,
    reference: &Reference,
    forced: bool,
) -> Result<(Secret, Option<String>), String> {
    let spec = value(reference).ok_or_else(|| "it is no reference to a store".to_owned())?;
    let spec = spec.map_err(|error| error.to_string())?;
    let asker = Asker { namespace, uid, now: ctx.now(), forced };
    let given = fetch::value(&InCluster { ctx, namespace }, &asker, &spec).await;
    given.map_err(|refused| refused.message)
}

/// A Secret that was read.
#[derive(Default)]
pub(crate) struct Read {
    /// Its resource version.
    pub(crate) version: String,
    /// Its values.
    pub(crate) data: BTreeMap<String, Secret>,
    problem: Option<String>,
}

/// Why a Secret was not read.
pub(crate) enum Unread {
    /// It is not there, or not for this.
    Missing(String),
    /// Nobody knows.
    Unknown(Fault),
}

/// Reads one Secret whole, if it is one that may go into a configuration.
pub(crate) async fn read_secret(ctx: &Context, namespace: &str, name: &str) -> Result<Read, Unread> {
    #[derive(Deserialize)]
    struct Wire {
        metadata: Metadata,
        #[serde(rename = "type", default)]
        secret_type: String,
        #[serde(default)]
        data: Option<BTreeMap<String, ByteString>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
    }
    if namespace == ctx.flags.operator_namespace && name.starts_with(names::RESERVED_NAME_PREFIX) {
        return Err(Unread::Missing("Secrets of the operator itself are not for configurations".to_owned()));
    }
    let path = format!("/api/v1/namespaces/{}/secrets/{}", escaped(namespace), escaped(name));
    let ask = Ask { verb: "get", method: Method::GET, path: &path, content: JSON };
    let wire: Wire = send(&ctx.client, ask, JSON, Bytes::new()).await.map_err(|refusal| unread(&refusal))?;
    let data = wire.data.into_iter().flatten();
    // All are wiped, those too that nobody asked for.
    let data: BTreeMap<_, _> =
        data.map(|(key, value)| (key, Secret::from(Zeroizing::new(value.0)))).collect();
    let is_refused = names::REFUSED_SECRET_TYPES.contains(&wire.secret_type.as_str())
        || wire.secret_type.starts_with(names::RESERVED_PREFIX);
    if is_refused {
        return Err(Unread::Missing(
            "Secrets of this type give rights, and are not for configurations".to_owned(),
        ));
    }
    Ok(Read { version: wire.metadata.resource_version, data, problem: None })
}

fn unread(refusal: &Refusal) -> Unread {
    match refusal {
        Refusal::Api { status, .. } if status.code == 404 => {
            Unread::Missing("there is no such Secret".to_owned())
        }
        Refusal::Api { status, .. } if status.code == 403 => Unread::Unknown(Fault {
            reason: Reason::ApiForbidden,
            message: "the operator may not get Secrets in this namespace".to_owned(),
        }),
        _ => Unread::Unknown(Fault {
            reason: Reason::ApiUnavailable,
            message: "the API server did not give a Secret".to_owned(),
        }),
    }
}
