//! The same steps in a real cluster: in a namespace of its own, which is removed at the end.
//!
//! What a GitOps tool would do is done here directly: server-side apply of what the repository holds, and removal of
//! what it no longer holds. Everything that is checked is read back from the API server.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, IsTerminal},
    thread,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::{Namespace, Secret as LiveSecret};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use waxwing_core::{Secret, config::Config, keys::Identity, seal::Token};
use waxwing_crds::{ConditionType, KeySeq, Reason, SealedSecret, SealedSecretSpec, conditions};

use super::demo::{CONFIG, Demo, Values, check};
use crate::{
    cluster::Cluster,
    error::{Explain, Failure, Result},
    printer::Printer,
    render::{Row, What},
};

/// The longest wait for the operator.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// The field manager.
const MANAGER: &str = "waxwing-quickstart";

/// Which cluster.
pub(crate) struct ClusterWish {
    /// The kubeconfig context; none is the current one.
    pub(crate) context: Option<String>,
    /// Name of the KeyRing.
    pub(crate) keyring: String,
    /// Whether not to ask.
    pub(crate) yes: bool,
}

/// A namespace in a cluster.
pub(super) struct Live {
    cluster: Cluster,
    context: String,
    keyring: String,
    namespace: String,
}

impl Live {
    /// Connects, asks, and makes the namespace.
    pub(super) fn new(wish: &ClusterWish, say: &Printer) -> Result<Self> {
        let cluster = Cluster::connect(wish.context.as_deref())?;
        // Before anything is made: without it nothing can work.
        cluster.key_ring(&wish.keyring)?;
        // A recipient is as random as a name has to be.
        let random = Identity::generate().id();
        let (context, namespace) = (cluster.context().to_owned(), format!("waxwing-quickstart-{random}"));
        if !wish.yes {
            ask(
                &format!(
                    "This makes namespace {namespace} in the cluster of context {context}, and removes it at the end."
                ),
                say,
            )?;
        }
        let object = Namespace {
            metadata: kube::core::ObjectMeta { name: Some(namespace.clone()), ..Default::default() },
            ..Default::default()
        };
        let api = Api::<Namespace>::all(cluster.client());
        cluster.wait_for(api.create(&PostParams::default(), &object)).at(format!("Namespace {namespace}"))?;
        Ok(Self { cluster, context, keyring: wish.keyring.clone(), namespace })
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Applies these SealedSecrets, and removes all others of the namespace, whose names it gives.
    pub(super) fn apply(&self, objects: &[SealedSecret]) -> Result<Vec<String>> {
        let api: Api<SealedSecret> = self.api(Api::namespaced);
        let params = PatchParams::apply(MANAGER).force();
        let mut names = BTreeSet::new();
        for object in objects {
            let name = object.metadata.name.clone().unwrap_or_default();
            self.cluster
                .wait_for(api.patch(&name, &params, &Patch::Apply(object)))
                .at(format!("SealedSecret {name}"))?;
            names.insert(name);
        }
        let mut removed = Vec::new();
        for found in self.cluster.wait_for(api.list(&ListParams::default()))?.items {
            let name = found.metadata.name.unwrap_or_default();
            if !names.contains(&name) {
                self.cluster
                    .wait_for(api.delete(&name, &DeleteParams::default()))
                    .at(format!("SealedSecret {name}"))?;
                removed.push(name);
            }
        }
        Ok(removed)
    }

    /// Waits until the operator says this of a Secret, given as `NAMESPACE/NAME`.
    pub(super) fn expect(&self, what: What, secret: &str, go_on: &dyn Fn() -> Result<()>) -> Result<Row> {
        let name = secret.rsplit('/').next().unwrap_or_default();
        let api: Api<SealedSecret> = self.api(Api::namespaced);
        let wants_ready = what != What::Refused;
        let mut seen = "nothing".to_owned();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            go_on()?;
            let object = self.cluster.wait_for(api.get(name)).at(format!("SealedSecret {name}"))?;
            let status = object.status.unwrap_or_default();
            if let Some(ready) = conditions::get(&status.conditions, ConditionType::Ready) {
                seen = format!("Ready={} {}: {}", ready.status, ready.reason, ready.message);
                let current = status.observed_generation == object.metadata.generation;
                let repaired = what != What::Repaired || self.is_repaired(name)?;
                if current && repaired && (ready.status == "True") == wants_ready {
                    let degraded = conditions::get(&status.conditions, ConditionType::Degraded);
                    let told = degraded.filter(|degraded| degraded.status == "True").unwrap_or(ready);
                    let reason = Reason::all()
                        .iter()
                        .map(|reason| reason.as_str())
                        .find(|known| *known == told.reason);
                    return Ok(Row {
                        what,
                        secret: secret.to_owned(),
                        file: String::new(),
                        keys: BTreeSet::new(),
                        rolled_back: older(&object.spec, &status.keys),
                        reloaded: false,
                        warnings: Vec::new(),
                        reason,
                        message: told.message.clone(),
                    });
                }
            }
            thread::sleep(INTERVAL);
        }
        Err(Failure::new(format!("{secret} was not {}; its last status was {seen}", what.as_str())))
    }

    /// What the Secret holds, by key.
    pub(super) fn values(&self, name: &str) -> Result<Values> {
        let api: Api<LiveSecret> = self.api(Api::namespaced);
        let secret = self.cluster.wait_for(api.get(name)).at(format!("Secret {name}"))?;
        Ok(secret
            .data
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, Secret::new(value.0)))
            .collect())
    }

    /// Whether there is such a Secret.
    pub(super) fn has(&self, name: &str) -> Result<bool> {
        let api: Api<LiveSecret> = self.api(Api::namespaced);
        Ok(self.cluster.wait_for(api.get_opt(name)).at(format!("Secret {name}"))?.is_some())
    }

    /// Changes one value behind the operator's back.
    pub(super) fn tamper(&self, name: &str, key: &str) -> Result<()> {
        let api: Api<LiveSecret> = self.api(Api::namespaced);
        let patch = json!({"data": {key: TAMPERED}});
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        self.cluster.wait_for(api.patch(name, &params, &Patch::Merge(patch))).at(format!("Secret {name}"))?;
        Ok(())
    }

    fn is_repaired(&self, name: &str) -> Result<bool> {
        Ok(self.values(name)?.values().all(|value| value.expose() != b"something else"))
    }

    /// Removes the namespace.
    pub(super) fn end(&self) -> Result<()> {
        let api = Api::<Namespace>::all(self.cluster.client());
        self.cluster
            .wait_for(api.delete(&self.namespace, &DeleteParams::default()))
            .at(format!("Namespace {}", self.namespace))?;
        Ok(())
    }

    fn api<K>(&self, make: fn(Client, &str) -> Api<K>) -> Api<K> {
        make(self.cluster.client(), &self.namespace)
    }
}

/// `something else`.
const TAMPERED: &str = "c29tZXRoaW5nIGVsc2U=";

/// The keys whose value is older than one that the status remembers.
fn older(spec: &SealedSecretSpec, seen: &[KeySeq]) -> BTreeSet<String> {
    let seq = |key: &str| Some(spec.data.get(key)?.parse::<Token>().ok()?.seq());
    seen.iter()
        .filter(|key| seq(&key.name).is_some_and(|seq| seq < key.seq))
        .map(|key| key.name.clone())
        .collect()
}

/// The first step: what the cluster publishes is who can open what.
pub(super) fn keys(demo: &mut Demo<'_>) -> Result<()> {
    let live = demo.cluster()?;
    let (context, keyring) = (format!("{}=cluster", live.context), live.keyring.clone());
    demo.waxwing(&[
        "init",
        "--from-cluster",
        &context,
        "--keyring",
        &keyring,
        "--generate-recovery",
        "../keys/recovery.txt",
    ])?;
    demo.commit("Say who can open what")?;
    let config = Config::parse(&demo.read(CONFIG)?)?;
    check(config.members().iter().any(|member| member.cluster), "the cluster's key is a recipient")?;
    check(config.members().iter().any(|member| member.required), "there is a recovery recipient")?;
    demo.ok("new seals are for the cluster's active key and an offline recovery key")
}

fn ask(what: &str, say: &Printer) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Failure::usage("there is nobody to ask whether something may be made in the cluster")
            .hint(format!("{what} Agree with --yes")));
    }
    say.line(format!("{what} Go on? [y/N]"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new("nothing was made")),
    }
}
