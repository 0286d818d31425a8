//! Whether the replicas of a server have loaded what is published, and what they say of their deliveries.

use std::{collections::BTreeMap, io::Read as _};

use futures::future::join_all;
use serde_json::json;
use waxwing_core::{
    alertmanager::{Version, loaded},
    inject::Node,
    injection::{alertmanager::Spec, plan::Load},
    store::Failure,
    yaml,
};
use waxwing_crds::{AlertmanagerTargetKind, conditions};
use waxwing_providers::server::{self, Sent, Server};
use zeroize::Zeroizing;

use super::{resolve::read_secret, samples::samples};
use crate::{context::Context, store::ObjectKey};

/// What a replica answered.
pub(crate) struct Replica {
    /// Its address.
    pub(crate) address: String,
    /// Its metrics, as text.
    pub(crate) metrics: Zeroizing<String>,
}

/// The most that a configuration is unpacked to.
const MOST: u64 = 16 * 1024 * 1024;
/// Seconds until a canary alert has ended.
const ENDS: i64 = 300;
/// What prometheus-operator calls the file in its generated Secret.
const PACKED: &str = "alertmanager.yaml.gz";

/// Asks every replica behind the endpoints for its metrics.
pub(crate) async fn ask(ctx: &Context, key: &ObjectKey, endpoints: &[String]) -> (Vec<Replica>, Load) {
    let found = endpoints.iter().map(|url| server::replicas(&ctx.pull.rules, key.namespace(), url));
    let (mut replicas, mut load) = (Vec::new(), Load::default());
    for (url, found) in endpoints.iter().zip(join_all(found).await) {
        match found {
            Ok(found) => replicas.extend(found),
            Err(failure) => {
                // One that cannot be found is one that has not loaded it.
                load.all += 1;
                load.problem = Some(format!("{}: {}", host(url), failure.what));
            }
        }
    }
    load.all += replicas.len();
    let mut answered = Vec::new();
    for (replica, metrics) in replicas.iter().zip(join_all(replicas.iter().map(metrics)).await) {
        match metrics {
            Ok(metrics) => answered.push(Replica { address: replica.address.to_string(), metrics }),
            Err(failure) => load.problem = Some(format!("{}: {}", replica.address, failure.what)),
        }
    }
    (answered, load)
}

async fn metrics(replica: &Server) -> Result<Zeroizing<String>, Failure> {
    let unfit = || Failure::new(waxwing_core::store::Kind::Unavailable, "it gave no metrics");
    let answer = replica.ask(server::Method::GET, "/metrics", Sent::default()).await?;
    match answer.status {
        200 => String::from_utf8(answer.body.to_vec()).map(Zeroizing::new).map_err(|_| unfit()),
        _ => Err(unfit()),
    }
}

/// How many of the replicas have loaded the published bytes.
pub(crate) async fn judge(
    ctx: &Context,
    key: &ObjectKey,
    spec: &Spec,
    published: &[u8],
    replicas: &[Replica],
    mut load: Load,
) -> Load {
    let hashes = match spec.target.kind {
        AlertmanagerTargetKind::Plain => vec![loaded::config_hash(published)],
        AlertmanagerTargetKind::PrometheusOperator => {
            generated(ctx, key, published, spec.target.version).await
        }
    };
    if hashes.is_empty() && load.problem.is_none() {
        load.problem = Some("prometheus-operator has not made its Secret of it yet".to_owned());
    }
    for replica in replicas {
        let hash = samples(&replica.metrics, "alertmanager_config_hash").first().map(|sample| sample.value);
        if hash.is_some_and(|hash| hashes.contains(&hash)) {
            load.loaded += 1;
        } else if load.problem.is_none() {
            load.problem = Some(format!("{} has another configuration", replica.address));
        }
    }
    load
}

/// The hashes of those Secrets that prometheus-operator has made of the published bytes: it copies them, or writes them
/// anew where it adds something.
async fn generated(ctx: &Context, key: &ObjectKey, published: &[u8], version: Version) -> Vec<f64> {
    let mut names = Vec::new();
    ctx.secrets.each(|secret, _| {
        let is_generated =
            secret.name().starts_with("alertmanager-") && secret.name().ends_with("-generated");
        if is_generated && secret.namespace() == key.namespace() {
            names.push(secret.name().to_owned());
        }
    });
    let ours = document(published);
    let mut hashes = Vec::new();
    for name in names {
        let Ok(secret) = read_secret(ctx, key.namespace(), &name).await else { continue };
        // To compare it with what was published.
        let Some(unpacked) = secret.data.get(PACKED).and_then(|packed| unpack(packed.expose())) else {
            continue;
        };
        let is_ours = unpacked.as_slice() == published
            || ours
                .as_ref()
                .zip(document(&unpacked))
                .is_some_and(|(ours, theirs)| loaded::holds(ours, &theirs, version));
        if is_ours {
            hashes.push(loaded::config_hash(&unpacked));
        }
    }
    hashes
}

fn document(text: &[u8]) -> Option<Node> {
    let document = yaml::documents(std::str::from_utf8(text).ok()?).ok()?.pop()?;
    Node::read(&document.value).ok()
}

fn unpack(packed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut unpacked = Zeroizing::new(Vec::new());
    flate2::read::GzDecoder::new(packed).take(MOST).read_to_end(&mut unpacked).ok()?;
    Some(unpacked)
}

/// Sends an alert that ends by itself to every replica, as Prometheus does. Gives whether one took it.
pub(crate) async fn alert(
    ctx: &Context,
    key: &ObjectKey,
    endpoints: &[String],
    labels: &BTreeMap<&'static str, String>,
    now: i64,
) -> bool {
    let ends = conditions::time(now + ENDS);
    let summary = "Sent by Waxwing to see that notifications arrive. Nothing is to be done.";
    let alerts = json!([{"labels": labels, "annotations": {"summary": summary}, "endsAt": ends}]);
    let mut taken = false;
    for url in endpoints {
        let Ok(replicas) = server::replicas(&ctx.pull.rules, key.namespace(), url).await else { continue };
        for replica in replicas {
            let body = Some(("application/json", Zeroizing::new(alerts.to_string().into_bytes())));
            let sent = Sent { body, ..Sent::default() };
            let answer = replica.ask(server::Method::POST, "/api/v2/alerts", sent).await;
            taken |= answer.is_ok_and(|answer| answer.status == 200);
        }
    }
    taken
}

/// Asks a server to read its files again.
///
/// # Errors
/// Why it did not, in words that are safe to show.
pub(crate) async fn reload(ctx: &Context, key: &ObjectKey, url: &str) -> Result<(), String> {
    let replicas = server::replicas(&ctx.pull.rules, key.namespace(), url)
        .await
        .map_err(|failure| format!("{}: {}", host(url), failure.what))?;
    let asked = replicas.iter().map(async |replica: &Server| {
        match replica.ask(server::Method::POST, "", Sent::default()).await {
            Ok(answer) if (200..300).contains(&answer.status) => Ok(()),
            Ok(answer) => {
                Err(format!("{} answered the call to reload with {}", replica.address, answer.status))
            }
            Err(failure) => Err(format!("{}: {}", replica.address, failure.what)),
        }
    });
    join_all(asked).await.into_iter().collect()
}

/// The host in a URL, for messages: a URL may hold a password.
fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let rest = rest.split('/').next().unwrap_or_default();
    rest.rsplit('@').next().unwrap_or_default()
}
