//! What one look found about one SealedSecret, ExternalSecret or injection: a row of the output.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_core::{
    external::plan as external,
    injection::Fault,
    plan::{self, Finding, Outcome, Plan, Report},
    seal::DataKey,
};
use waxwing_crds::Reason;

use super::source::{Key, Problem, Sealed};
use crate::error::{Exit, Failure};

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum What {
    /// The Secret was made.
    Created,
    /// It is written, with less than it should have: a credential cannot be had.
    Degraded,
    /// It could not be written, or read.
    Failed,
    /// It was refused before and is right now, unchanged.
    Recovered,
    /// The SealedSecret or ExternalSecret was refused, or its store gave nothing; the last good Secret stays.
    Refused,
    /// No manifest gives it any more.
    Removed,
    /// Somebody had changed or removed it, and it was put right.
    Repaired,
    /// Its author has paused it.
    Suspended,
    /// Nothing was to be done.
    Unchanged,
    /// A manifest, or part of one, cannot be read.
    Unreadable,
    /// The manifest gives something else than before.
    Updated,
}

impl What {
    /// The word for people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
            Self::Recovered => "recovered",
            Self::Refused => "refused",
            Self::Removed => "removed",
            Self::Repaired => "repaired",
            Self::Suspended => "suspended",
            Self::Unchanged => "unchanged",
            Self::Unreadable => "unreadable",
            Self::Updated => "updated",
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    /// What became of it.
    pub(crate) what: What,
    /// `NAMESPACE/NAME`; empty where that could not be read.
    pub(crate) secret: String,
    /// The manifest; empty where there is none any more.
    pub(crate) file: String,
    /// The keys whose values changed in the output.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) keys: BTreeSet<String>,
    /// The keys whose values are older than ones already seen.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) rolled_back: BTreeSet<String>,
    /// Whether its reader was told that there is something new.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) reloaded: bool,
    /// What somebody should know, though nothing is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
    /// Why, where something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<&'static str>,
    /// In words.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
}

impl Row {
    pub(super) fn new(
        key: &Key,
        object: &Sealed,
        plan: &Plan,
        outcome: &Outcome,
        report: &Report,
        keys: BTreeSet<DataKey>,
    ) -> Self {
        let row = Self::of(What::Unchanged, key, &object.file);
        let keys = keys.iter().map(ToString::to_string).collect();
        let good = match &plan.finding {
            Finding::Failing { reason, message } => {
                let message = in_files(*reason, message);
                return Self { what: What::Refused, reason: Some(reason.as_str()), message, ..row };
            }
            Finding::Suspended => return Self { what: What::Suspended, ..row },
            Finding::Deleting | Finding::Waiting { .. } => return row,
            Finding::Good(good) => good,
        };
        let recovered = report.events.iter().any(|event| event.reason == Reason::Synced);
        let what = match outcome {
            _ if report.drift_corrected => What::Repaired,
            Outcome::Created { .. } => What::Created,
            Outcome::Applied { changed: true, .. } => What::Updated,
            _ if recovered => What::Recovered,
            _ => What::Unchanged,
        };
        let rolled_back = good.rolled_back.iter().map(ToString::to_string).collect();
        let reason = (!good.rolled_back.is_empty()).then_some(Reason::RolledBack.as_str());
        Self { what, keys, rolled_back, reason, ..row }
    }

    /// The same of an ExternalSecret; `key` is its Secret.
    pub(super) fn pulled(
        key: &Key,
        file: &Path,
        plan: &external::Plan,
        outcome: &Outcome,
        report: &external::Report,
        keys: BTreeSet<DataKey>,
    ) -> Self {
        let row = Self::of(What::Unchanged, key, file);
        let keys = keys.iter().map(ToString::to_string).collect();
        match &plan.finding {
            external::Finding::Failing { reason, message, .. } => {
                let message = in_files(*reason, message);
                return Self { what: What::Refused, reason: Some(reason.as_str()), message, ..row };
            }
            external::Finding::Suspended => return Self { what: What::Suspended, ..row },
            external::Finding::Deleting | external::Finding::Waiting { .. } => return row,
            external::Finding::Good(_) => {}
        }
        let recovered = report.events.iter().any(|event| event.reason == Reason::Synced);
        let what = match outcome {
            Outcome::Deleted => What::Removed,
            _ if report.drift_corrected => What::Repaired,
            Outcome::Created { .. } => What::Created,
            Outcome::Applied { changed: true, .. } => What::Updated,
            _ if recovered => What::Recovered,
            _ => What::Unchanged,
        };
        Self { what, keys, ..row }
    }

    /// The same of an injection; `key` is its Secret.
    pub(super) fn injected(key: &Key, file: &Path, what: What) -> Self {
        Self::of(what, key, file)
    }

    /// An injection that is refused.
    pub(super) fn refused(key: &Key, file: &Path, fault: &Fault) -> Self {
        let mut row = Self::of(What::Refused, key, file);
        row.because(fault.reason, &fault.message);
        row
    }

    /// Says what is wrong, and what to do.
    pub(super) fn because(&mut self, reason: Reason, what: &str) {
        self.reason = Some(reason.as_str());
        let with_advice = what
            .strip_suffix(reason.advice())
            .map_or_else(|| plan::with_advice(what, reason), |_| what.to_owned());
        self.message = in_files(reason, &with_advice);
    }

    /// Says that the reader of what was written could not be told.
    pub(super) fn not_reloaded(&mut self, what: &str) {
        self.what = What::Failed;
        let before = std::mem::take(&mut self.message);
        let before = if before.is_empty() { before } else { format!("{before} ") };
        self.message = format!("{before}written, but spec.target.reload.url was not told: {what}");
    }

    /// Two manifests of one name: which one is meant is not ours to choose.
    pub(super) fn twice<'a>(key: &Key, files: impl Iterator<Item = &'a PathBuf> + Clone) -> Self {
        let first = files.clone().next().map_or(Path::new(""), PathBuf::as_path);
        let files: BTreeSet<String> = files.map(|file| file.display().to_string()).collect();
        let files: Vec<String> = files.into_iter().collect();
        let message = format!("stands more than once ({}); remove all but one", files.join(", "));
        Self { message, reason: Some(Reason::InvalidSpec.as_str()), ..Self::of(What::Refused, key, first) }
    }

    pub(super) fn failed(key: &Key, file: Option<&Path>, failure: &Failure) -> Self {
        Self { message: failure.to_string(), ..Self::of(What::Failed, key, file.unwrap_or(Path::new(""))) }
    }

    pub(super) fn removed(key: &Key) -> Self {
        Self::of(What::Removed, key, Path::new(""))
    }

    pub(super) fn unreadable(problem: &Problem) -> Self {
        Self {
            what: What::Unreadable,
            secret: String::new(),
            file: format!("{}:{}", problem.file.display(), problem.line),
            message: problem.message.clone(),
            keys: BTreeSet::new(),
            rolled_back: BTreeSet::new(),
            reloaded: false,
            warnings: Vec::new(),
            reason: None,
        }
    }

    fn of(what: What, key: &Key, file: &Path) -> Self {
        let (keys, rolled_back, warnings, message) = Default::default();
        let (secret, file) = (key.to_string(), file.display().to_string());
        Self { what, secret, file, keys, rolled_back, reloaded: false, warnings, reason: None, message }
    }

    /// Whether there is something to tell.
    pub(crate) fn is_news(&self) -> bool {
        self.what != What::Unchanged
            || self.reloaded
            || !(self.rolled_back.is_empty() && self.warnings.is_empty())
    }

    /// Whether something is wrong that the exit code tells.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.what, What::Degraded | What::Failed | What::Refused | What::Unreadable)
    }

    /// With what to exit if everything ended so.
    pub(crate) fn exit(&self) -> Exit {
        match self.what {
            What::Degraded => Exit::Partly,
            _ if self.reason == Some(Reason::NoMatchingKey.as_str()) => Exit::CannotOpen,
            _ => Exit::Error,
        }
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let join = |keys: &BTreeSet<String>| keys.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let subject = if self.secret.is_empty() { &self.file } else { &self.secret };
        let mut line = format!("{:<10} {subject}", self.what.as_str());
        if !self.keys.is_empty() {
            line.push_str(&format!(": {}", join(&self.keys)));
        }
        if !self.message.is_empty() {
            let reason = self.reason.map(|reason| format!("{reason}: ")).unwrap_or_default();
            line.push_str(&format!(": {reason}{}", self.message));
        }
        if self.reloaded {
            line.push_str("; reloaded");
        }
        if !self.warnings.is_empty() {
            line.push_str(&format!("; warning: {}", self.warnings.join("; ")));
        }
        if !self.rolled_back.is_empty() {
            line.push_str(&format!("; RolledBack: older than before: {}", join(&self.rolled_back)));
        }
        line
    }
}

/// The reasons' advice speaks of a cluster; where that would mislead, what to do with files.
fn in_files(reason: Reason, message: &str) -> String {
    let advice = match reason {
        Reason::StoreNotFound => "Put the store's manifest into the directory.",
        Reason::CredentialMissing => "Put the Secret, plain or sealed, or the ConfigMap into the directory.",
        Reason::PathNotGranted => {
            "Add the path and this namespace to the store's `spec.grants`; a grant by labels needs the Namespace's manifest."
        }
        Reason::EndpointRefused => {
            "Use a Service of the same namespace, or allow the host with --allow-endpoint."
        }
        Reason::CredentialUnresolved | Reason::CredentialStale => {
            "Put the Secret, plain or sealed, or the store into the directory, or look why it gives nothing."
        }
        Reason::DocumentMissing => {
            "Put the ConfigMap or the Secret into the directory, or correct `configFrom`."
        }
        Reason::Conflict => "Move that file away, or choose another name or folder.",
        Reason::OwnershipContested => "Find out who writes the file, and stop it.",
        Reason::ScopeDenied => {
            "Seal with scope `strict` or `namespace`, or allow it with --allow-cluster-scope."
        }
        _ => return message.to_owned(),
    };
    message.strip_suffix(reason.advice()).map_or_else(|| message.to_owned(), |what| format!("{what}{advice}"))
}
