//! What is sealed for whom, as far as it can be seen from here: in files of a work tree, and in live SealedSecrets.
//!
//! A hint is 4 bytes of a digest and proves nothing. What is proven comes from an identity at hand that opened the
//! value, or from the operator, which says by which key it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use waxwing_core::{
    keys::{Identities, Identity, KeyId, Recipient},
    seal::{DataKey, Envelope, EnvelopeId, OpenError, Sealed},
};
#[cfg(feature = "cluster")]
use waxwing_crds::{ConditionType, SealedSecret, SealedSecretStatus, conditions};

use crate::{args::Context, error::Result, sealed_file};

/// The values of one resource that share an envelope.
pub(super) struct Use {
    /// The file; nothing for a live object.
    pub(super) file: Option<PathBuf>,
    /// `NAMESPACE/NAME`.
    pub(super) resource: String,
    /// The envelope. A rewrap leaves its id, and changes who can open it.
    pub(super) envelope: Envelope,
    /// The keys of these values.
    pub(super) values: Vec<String>,
    /// The identities at hand that open it.
    pub(super) proven: BTreeSet<Recipient>,
    /// The keys by which the operator has opened it, where its status speaks of what is there now.
    pub(super) told: BTreeSet<KeyId>,
}

impl Use {
    /// Whether it names a key.
    pub(super) fn names(&self, id: KeyId) -> bool {
        self.envelope.names(id)
    }

    /// Where it is, for people.
    pub(super) fn place(&self) -> String {
        let values = self.values.join(", ");
        match &self.file {
            Some(file) => format!("{}: {}: {values}", file.display(), self.resource),
            None => format!("live {}: {values}", self.resource),
        }
    }
}

/// Stands for the namespace that a kustomization gives, say. Nothing is opened for its values here.
const NO_NAMESPACE: &str = "?";

/// Everything that was looked at.
#[derive(Default)]
pub(super) struct Survey {
    /// What is sealed.
    pub(super) uses: Vec<Use>,
    /// Files with sealed resources.
    pub(super) files: usize,
    /// Live objects, where a cluster was asked.
    pub(super) live: Option<usize>,
    /// The namespaces of live objects that were looked at; all where none is named.
    pub(super) only_in: Vec<String>,
    /// What could not be read, and so may be sealed for anybody.
    pub(super) unreadable: Vec<String>,
}

impl Survey {
    /// Looks at the files under some paths. `identities` are tried on what they find.
    pub(super) fn of_files(paths: &[PathBuf], identities: &Identities, context: &Context) -> Result<Self> {
        let mut survey = Self::default();
        for path in sealed_file::files(paths, context)? {
            context.printer.progress(path.display().to_string());
            let file = match sealed_file::read_if_sealed_in(&path, paths.contains(&path), Some(NO_NAMESPACE))
            {
                Ok(Some(file)) => file,
                Ok(None) => continue,
                Err(failure) => {
                    survey.unreadable.push(failure.to_string());
                    continue;
                }
            };
            survey.files += 1;
            for item in &file.items {
                match item {
                    Ok(item) => survey.add(Some(&path), &item.sealed, identities, context.now, &|_| None),
                    Err(failure) => survey.unreadable.push(format!("{}: {failure}", path.display())),
                }
            }
        }
        Ok(survey)
    }

    /// Adds live objects.
    #[cfg(feature = "cluster")]
    pub(super) fn add_live(&mut self, objects: &[SealedSecret], identities: &Identities, now: i64) {
        for object in objects {
            let metadata = &object.metadata;
            let (namespace, name) = (
                metadata.namespace.as_deref().unwrap_or_default(),
                metadata.name.as_deref().unwrap_or_default(),
            );
            match Sealed::parse(&object.spec, namespace, name) {
                Ok(sealed) => {
                    let status = object.status.as_ref().filter(|status| is_current(object, status));
                    self.add(None, &sealed, identities, now, &|key| opened_by(status?, key, &sealed));
                }
                Err(error) => self.unreadable.push(format!("live {namespace}/{name}: {error}")),
            }
        }
        *self.live.get_or_insert(0) += objects.len();
    }

    fn add(
        &mut self,
        file: Option<&PathBuf>,
        sealed: &Sealed,
        identities: &Identities,
        now: i64,
        told: &dyn Fn(&DataKey) -> Option<KeyId>,
    ) {
        let mut by_envelope: BTreeMap<EnvelopeId, Vec<&DataKey>> = BTreeMap::new();
        for (key, token) in sealed.tokens() {
            by_envelope.entry(token.envelope()).or_default().push(key);
        }
        let binding = sealed.binding();
        for (id, keys) in by_envelope {
            let envelope = &sealed.envelopes()[&id];
            let opens = |identity: &&Identity| opens(sealed, keys[0], identity, now);
            self.uses.push(Use {
                file: file.cloned(),
                resource: format!("{}/{}", binding.namespace, binding.name),
                envelope: envelope.clone(),
                values: keys.iter().map(ToString::to_string).collect(),
                proven: identities.iter().filter(opens).map(|one| one.recipient().clone()).collect(),
                told: keys.iter().filter_map(|key| told(key)).collect(),
            });
        }
    }
}

/// Whether an identity opens the envelope of a value. Whether the value fits its name is another question.
fn opens(sealed: &Sealed, key: &DataKey, identity: &Identity, now: i64) -> bool {
    let alone = Identities::from_iter([identity.clone()]);
    // What was opened is wiped at once.
    match sealed.open_key(key, &alone, now) {
        Ok(_) => true,
        Err(error) => matches!(
            error,
            OpenError::BindingMismatch { .. } | OpenError::BadPadding { .. } | OpenError::SeqInFuture { .. }
        ),
    }
}

/// Whether the operator has opened what the spec holds now.
#[cfg(feature = "cluster")]
fn is_current(object: &SealedSecret, status: &SealedSecretStatus) -> bool {
    status.observed_generation == object.metadata.generation
        && conditions::is_true(&status.conditions, ConditionType::Ready)
}

/// By which key the operator has opened a value, if it speaks of this very one.
#[cfg(feature = "cluster")]
fn opened_by(status: &SealedSecretStatus, key: &DataKey, sealed: &Sealed) -> Option<KeyId> {
    let seen = status.keys.iter().find(|seen| seen.name == key.as_str())?;
    (sealed.tokens().get(key)?.seq() == seen.seq).then(|| seen.key_id.parse().ok())?
}
