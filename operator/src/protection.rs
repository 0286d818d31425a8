//! Opens wrapped identities, each once, and wraps new ones.
//!
//! What was opened is kept in memory by what was wrapped, so whoever holds the key is asked only when an operator starts or
//! an identity is new, whatever becomes of the Secrets' metadata. An outage therefore stops nobody who runs: only a restart
//! waits, and a new key.
//!
//! # Guarantees
//! - Only the identities that the ring knows are opened: a Secret that somebody planted makes no request.
//! - An identity is used only when the recipient that derives from it is the whole one that its Secret names.
//! - What cannot be opened stays where it is, and is tried again after a while.
//! - When a block of the spec has changed, each identity is opened by it once. What it does not open stays in memory, and
//!   is told before a restart needs it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::{StreamExt as _, stream};
use tokio::time::Instant;
use tracing::info;
use waxwing_core::{
    identity_secret::WrappedIdentity,
    keys::{Identity, Recipient},
    store::{Failure, Kind},
};
use waxwing_crds::{Protection, ProtectionKind, WrappedBy};
use waxwing_providers::{Bond, Place, Protector, References, Rules, Wrapped, protect};

use crate::{
    identities::{IdentitySecret, NewIdentity},
    queue::jittered,
};

/// Makes the protector of one kind from the spec.
type Connect = dyn Fn(&Protection, ProtectionKind) -> Result<Arc<dyn Protector>, Failure> + Send + Sync;

/// The keys that wrap, and what was opened by them.
pub(crate) struct Safe {
    ring: String,
    connect: Box<Connect>,
    /// What the KeyRing says.
    spec: Protection,
    /// Made from it, when they were first needed.
    protectors: BTreeMap<ProtectionKind, Arc<dyn Protector>>,
    /// What came of the Secrets that are there.
    known: HashMap<WrappedIdentity, Known>,
    /// The kinds whose blocks have changed since the identities were looked at.
    changed: BTreeSet<ProtectionKind>,
    /// Why the last identity could not be wrapped.
    unwrappable: Option<Refused>,
}

/// What came of a wrapped identity.
enum Known {
    Opened(Identity, Proof),
    /// It was opened, and holds something else than it says.
    Malformed,
    Refused(Refused),
}

impl Known {
    fn why(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) | Self::Opened(_, Proof::Refused(refused)) => Some(refused),
            _ => None,
        }
    }
}

/// Whether the block that is there now opens what is in memory.
enum Proof {
    Given,
    /// It has changed, and was not tried.
    Due,
    Refused(Refused),
}

/// A failure, and when to try again.
struct Refused {
    failure: Failure,
    tries: u32,
    until: Instant,
}

impl Refused {
    fn new(failure: Failure, before: Option<&Self>) -> Self {
        let tries = before.map_or(0, |before| before.tries.saturating_add(1));
        let delay = FIRST.saturating_mul(1 << tries.min(10)).min(CEILING);
        let delay = failure.retry_after.map_or(delay, |wanted| wanted.clamp(delay, LONGEST));
        Self { failure, tries, until: Instant::now() + jittered(delay) }
    }

    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }
}

impl Safe {
    /// For the identities of one ring. What its protection refers to lies where `references` reads.
    pub(crate) fn new(ring: &str, rules: Arc<Rules>, references: Arc<dyn References>) -> Self {
        // The KeyRing is an administrator's, as a store of the cluster is: the operator's own identity is theirs to use.
        let place = Place { namespace: None, store: format!("keyring-{ring}"), ambient: true, rules };
        Self::with(ring, move |spec, kind| protect::connect(spec, kind, &place, references.clone()))
    }

    fn with(
        ring: &str,
        connect: impl Fn(&Protection, ProtectionKind) -> Result<Arc<dyn Protector>, Failure>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        Self {
            ring: ring.to_owned(),
            connect: Box::new(connect),
            spec: Protection::default(),
            protectors: BTreeMap::new(),
            known: HashMap::new(),
            changed: BTreeSet::new(),
            unwrappable: None,
        }
    }

    /// Goes by what the KeyRing says now.
    pub(crate) fn follow(&mut self, spec: Option<&Protection>) {
        let spec = spec.cloned().unwrap_or_default();
        if spec != self.spec {
            if spec.vault_transit != self.spec.vault_transit {
                self.changed.insert(ProtectionKind::VaultTransit);
            }
            if spec.aws_kms != self.spec.aws_kms {
                self.changed.insert(ProtectionKind::AwsKms);
            }
            self.spec = spec;
            self.protectors.clear();
            self.unwrappable = None;
            // What was refused is tried again at once; what is open stays open.
            for known in self.known.values_mut() {
                if let Known::Opened(_, proof @ Proof::Refused(_)) = known {
                    *proof = Proof::Due;
                }
            }
            self.known.retain(|_, known| !matches!(known, Known::Refused(_)));
        }
    }

    /// Opens those that are wanted and were not opened yet. What is not what it says becomes malformed.
    pub(crate) async fn open(&mut self, secrets: &mut [IdentitySecret], wanted: impl Fn(&Recipient) -> bool) {
        let there: HashSet<_> = secrets.iter().filter_map(|secret| secret.wrapped.clone()).collect();
        // What nobody wants any more is not tried again either.
        self.known.retain(|wrapped, known| match (wanted(&wrapped.recipient), known) {
            _ if !there.contains(wrapped) => false,
            (false, Known::Refused(_)) => false,
            (false, Known::Opened(_, proof @ Proof::Refused(_))) => {
                *proof = Proof::Due;
                true
            }
            _ => true,
        });

        let changed = std::mem::take(&mut self.changed);
        let mut by_kind: BTreeMap<ProtectionKind, Vec<WrappedIdentity>> = BTreeMap::new();
        for secret in &mut *secrets {
            let Some(wrapped) = &secret.wrapped else { continue };
            if wrapped.by.ring != self.ring {
                secret.wrapped = None;
                continue;
            }
            let is_due = match self.known.get_mut(wrapped) {
                None => true,
                Some(Known::Refused(refused) | Known::Opened(_, Proof::Refused(refused))) => {
                    refused.left().is_zero()
                }
                Some(Known::Opened(_, proof)) => {
                    if changed.contains(&wrapped.by.kind) {
                        *proof = Proof::Due;
                    }
                    matches!(proof, Proof::Due)
                }
                Some(Known::Malformed) => false,
            };
            if is_due && wanted(&wrapped.recipient) {
                by_kind.entry(wrapped.by.kind).or_default().push(wrapped.clone());
            }
        }
        for (kind, wrapped) in by_kind {
            self.open_all(kind, wrapped).await;
        }

        for secret in secrets {
            let known = secret.wrapped.as_ref().and_then(|wrapped| self.known.get(wrapped));
            match known {
                Some(Known::Opened(identity, _)) => secret.identity = Some(identity.clone()),
                Some(Known::Malformed) => secret.wrapped = None,
                _ => {}
            }
        }
    }

    /// Opens these: one first, and when it could be had, the others several at a time.
    async fn open_all(&mut self, kind: ProtectionKind, wrapped: Vec<WrappedIdentity>) {
        let mut wrapped = wrapped.into_iter();
        let Some(first) = wrapped.next() else { return };
        let protector = match self.protector(kind) {
            Ok(protector) => protector,
            Err(failure) => {
                self.refuse(first, failure.clone());
                return wrapped.for_each(|other| self.refuse(other, failure.clone()));
            }
        };
        let opened = open(&*protector, &first, &self.ring).await;
        if let Err(failure) = &opened
            && concerns_all(failure.kind)
        {
            // What it was made of may have changed.
            self.protectors.remove(&kind);
            self.refuse(first, failure.clone());
            return wrapped.for_each(|other| self.refuse(other, failure.clone()));
        }
        if opened.is_ok() {
            info!(kind = kind.as_str(), identities = wrapped.len() + 1, "wrapped identities are opened");
        }
        self.note(first, opened);
        let (protector, ring) = (&*protector, self.ring.clone());
        let rest = wrapped.map(|wrapped| {
            let ring = &ring;
            async move {
                let opened = open(protector, &wrapped, ring).await;
                (wrapped, opened)
            }
        });
        let rest: Vec<_> = stream::iter(rest).buffer_unordered(AT_ONCE).collect().await;
        for (wrapped, opened) in rest {
            self.note(wrapped, opened);
        }
    }

    fn note(&mut self, wrapped: WrappedIdentity, opened: Result<Option<Identity>, Failure>) {
        match opened {
            Ok(Some(identity)) => _ = self.known.insert(wrapped, Known::Opened(identity, Proof::Given)),
            Ok(None) if matches!(self.known.get(&wrapped), Some(Known::Opened(..))) => {
                self.refuse(wrapped, Failure::new(Kind::BadData, "it opens as something else"));
            }
            Ok(None) => _ = self.known.insert(wrapped, Known::Malformed),
            Err(failure) => self.refuse(wrapped, failure),
        }
    }

    fn refuse(&mut self, wrapped: WrappedIdentity, failure: Failure) {
        let refused = Refused::new(failure, self.known.get(&wrapped).and_then(Known::why));
        match self.known.get_mut(&wrapped) {
            Some(Known::Opened(_, proof)) => *proof = Proof::Refused(refused),
            _ => _ = self.known.insert(wrapped, Known::Refused(refused)),
        }
    }

    /// Makes an identity and wraps it as the KeyRing says. Until it was stored, nobody else knows of it.
    ///
    /// # Errors
    /// Why it could not be wrapped, now or a moment ago.
    pub(crate) async fn make(&mut self) -> Result<NewIdentity, Failure> {
        let identity = Identity::generate();
        let kind = self.spec.kind;
        if kind == ProtectionKind::None {
            return Ok(NewIdentity::Clear(identity));
        }
        if let Some(refused) = &self.unwrappable
            && !refused.left().is_zero()
        {
            return Err(refused.failure.clone());
        }
        let bond = Bond { ring: self.ring.clone(), recipient: identity.recipient().to_string() };
        let wrapped = match self.protector(kind) {
            Ok(protector) => protector.wrap(&identity.to_text(), &bond).await,
            Err(failure) => Err(failure),
        };
        match wrapped {
            Ok(Wrapped { key, text }) => {
                self.unwrappable = None;
                let by = WrappedBy { kind, key, ring: self.ring.clone() };
                let recipient = identity.recipient().clone();
                Ok(NewIdentity::Wrapped(WrappedIdentity { recipient, by, text }))
            }
            Err(failure) => {
                self.protectors.remove(&kind);
                self.unwrappable = Some(Refused::new(failure.clone(), self.unwrappable.as_ref()));
                Err(failure)
            }
        }
    }

    /// Nothing is to be wrapped now, so there is no trouble with it either.
    pub(crate) fn rest(&mut self) {
        self.unwrappable = None;
    }

    /// Why what is locked could not be opened, for people. Of several reasons always the same one.
    pub(crate) fn refused(&self) -> Option<String> {
        let refused = self.known.values().filter_map(|known| match known {
            Known::Refused(refused) => Some(refused.failure.to_string()),
            _ => None,
        });
        refused.min()
    }

    /// What is open, and would not be after a restart: how much, and why. Of several reasons always the same one.
    pub(crate) fn unproven(&self) -> Option<String> {
        let refused = self.known.values().filter_map(|known| match known {
            Known::Opened(_, Proof::Refused(refused)) => Some(refused.failure.to_string()),
            _ => None,
        });
        let why = refused.clone().min()?;
        let count = refused.count();
        Some(format!(
            "{count} identities are open in memory alone: spec.protection has changed, and does not open them ({why})"
        ))
    }

    /// When to try again what was refused.
    pub(crate) fn again(&self) -> Option<Duration> {
        let refused = self.known.values().filter_map(Known::why);
        refused.chain(&self.unwrappable).map(Refused::left).min()
    }

    fn protector(&mut self, kind: ProtectionKind) -> Result<Arc<dyn Protector>, Failure> {
        if let Some(protector) = self.protectors.get(&kind) {
            return Ok(protector.clone());
        }
        let protector = (self.connect)(&self.spec, kind)?;
        self.protectors.insert(kind, protector.clone());
        Ok(protector)
    }
}

async fn open(
    protector: &dyn Protector,
    wrapped: &WrappedIdentity,
    ring: &str,
) -> Result<Option<Identity>, Failure> {
    let WrappedIdentity { recipient, by, text } = wrapped;
    protect::open(protector, by, text, recipient, ring).await
}

/// Whether what one identity met, all others of its kind would meet as well.
fn concerns_all(kind: Kind) -> bool {
    !matches!(kind, Kind::BadData | Kind::EntryMissing | Kind::Forbidden | Kind::Rejected | Kind::TooLarge)
}

/// Requests at once.
const AT_ONCE: usize = 8;
/// How long is waited before the second try, and at most.
const FIRST: Duration = Duration::from_millis(500);
const CEILING: Duration = Duration::from_secs(30);
/// How long whoever holds the key may ask to be left alone.
const LONGEST: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests;
