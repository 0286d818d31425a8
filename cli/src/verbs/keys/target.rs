//! Which ring of which cluster a verb is about, and what it looks at.

use std::{collections::BTreeSet, path::PathBuf};

use waxwing_core::keys::{Identities, Identity};

use super::survey::Survey;
use crate::{
    args::Context,
    cluster::Cluster,
    error::{Failure, Result},
    identities::Options,
};

/// A ring.
#[derive(Debug, clap::Args)]
pub(super) struct Target {
    /// The kubeconfig context. Default: the current one
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Name of the KeyRing
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(super) keyring: String,
}

impl Target {
    /// Connects to the cluster.
    pub(super) fn connect(&self) -> Result<Cluster> {
        Cluster::connect(self.context.as_deref())
    }
}

/// What is looked at to find out who still needs a key.
#[derive(Debug, clap::Args)]
pub(super) struct Sight {
    /// Files, and folders with files, to look at besides the cluster
    #[arg(default_value = ".")]
    paths: Vec<PathBuf>,
    /// Look at the SealedSecrets of this namespace only; may be repeated. Default: all that there are
    #[arg(long, value_name = "NAMESPACE")]
    in_namespace: Vec<String>,
    #[command(flatten)]
    identities: Options,
}

impl Sight {
    /// Looks at everything, with one more identity than those that the options name.
    pub(super) fn survey(
        &self,
        cluster: &Cluster,
        own: Option<&Identity>,
        context: &Context,
    ) -> Result<Survey> {
        let given: Identities = self.identities.load_any(context)?;
        let identities: Identities = given.iter().chain(own).cloned().collect();
        let mut survey = Survey::of_files(&self.paths, &identities, context)?;
        context.printer.progress("looking at live objects");
        survey.add_live(&cluster.sealed_secrets(&self.in_namespace)?, &identities, context.now);
        survey.only_in.clone_from(&self.in_namespace);
        Ok(survey)
    }
}

/// The namespace in which a ring's operator keeps the identities: the one that was named, else the only one with Secrets
/// of the ring.
pub(super) fn operator_namespace(cluster: &Cluster, ring: &str, given: Option<&str>) -> Result<String> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    let found: BTreeSet<String> = cluster.identity_namespaces(ring)?;
    let all: Vec<&str> = found.iter().map(String::as_str).collect();
    match all.as_slice() {
        [one] => Ok((*one).to_owned()),
        [] => Err(Failure::new(format!("no namespace has an identity Secret of KeyRing {ring}"))
            .hint("name the operator's namespace with --namespace")),
        several => Err(Failure::usage(format!(
            "several namespaces have identity Secrets of KeyRing {ring}: {}",
            several.join(", ")
        ))
        .hint("name the operator's with --namespace, and find out where the others come from")),
    }
}
