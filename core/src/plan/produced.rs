//! The Secret that a SealedSecret gives, as a plain value.

use std::{collections::BTreeMap, fmt};

use waxwing_crds::names;

use super::{Holder, Spec};
use crate::{
    Secret,
    seal::{DataKey, Opened},
    template::TemplateError,
};

/// The kind of a SealedSecret, as `waxwing.dev/owned-by` names it.
pub const KIND: &str = "SealedSecret";

/// A Secret to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// Its namespace: the object's own.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its type.
    pub secret_type: String,
    /// Whether it is immutable.
    pub immutable: bool,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The owner reference. Adopted Secrets have none, and `render` knows no uid.
    pub owner: Option<Owner>,
    /// Its data.
    pub data: Data,
    /// The field manager to write it with.
    pub manager: String,
}

/// How a Secret is tied to its SealedSecret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// It was there before, and stays when the SealedSecret goes: no owner reference.
    Adopted,
    /// It goes with the object of this uid; none is known outside of a cluster.
    Owned {
        /// The SealedSecret's uid, or nothing.
        uid: String,
    },
}

/// An owner reference, as far as it decides anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// `apiVersion` of the owner.
    pub api_version: String,
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Uid of the owner.
    pub uid: String,
    /// Whether it says `controller: true`.
    pub controller: bool,
}

impl Owner {
    /// Whether it refers to this object, or to one of the same kind and name that was there before it.
    pub fn is(&self, holder: &Holder<'_>) -> bool {
        self.kind == holder.kind
            && self.name == holder.name
            && self.api_version.split_once('/').is_some_and(|(group, _)| group == names::GROUP)
    }

    /// Whether it refers to this very object.
    pub fn is_live(&self, holder: &Holder<'_>) -> bool {
        self.is(holder) && self.uid == holder.uid && !holder.uid.is_empty()
    }
}

/// Opened and composed values. Comparing takes the same time wherever they differ; nothing shows them.
#[derive(Clone, Default)]
pub struct Data(BTreeMap<DataKey, Secret>);

impl Data {
    /// The values by key.
    pub fn iter(&self) -> impl Iterator<Item = (&DataKey, &Secret)> {
        self.0.iter()
    }

    /// One value.
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.0.get(key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Data {
    /// These values, and those in place of or beside them.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }
}

impl FromIterator<(DataKey, Secret)> for Data {
    fn from_iter<I: IntoIterator<Item = (DataKey, Secret)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl PartialEq for Data {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().zip(&other.0).fold(true, |same, ((key, value), (other_key, other_value))| {
                same & (key == other_key) & value.same_as(other_value)
            })
    }
}

impl Eq for Data {}

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Puts opened values, composed ones and metadata together. `opened` proves by its type that the values belong to
/// this very namespace, name and type.
///
/// # Errors
/// When a value is no text, or no base64, where a template needs it to be.
pub fn produce(
    spec: &Spec,
    opened: Opened,
    ownership: Ownership,
    seqs: &BTreeMap<String, u64>,
) -> Result<Produced, TemplateError> {
    let composed = spec.templates.render(opened.values())?;
    let binding = opened.binding().clone();
    let values = opened.into_values().into_iter().map(|(key, opened)| (key, opened.value));
    let mut labels = spec.labels.clone();
    labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
    let mut annotations = spec.annotations.clone();
    for (key, value) in names::PRODUCED_ANNOTATIONS {
        annotations.insert(key.to_owned(), value.to_owned());
    }
    annotations.insert(names::OWNED_BY.to_owned(), names::owned_by(KIND, &binding.name));
    let seqs = serde_json::to_string(seqs).expect("a map of numbers is JSON");
    annotations.insert(names::SEQ.to_owned(), seqs);
    // A new template that changes nothing would else leave the Secret's version, which the status shows, as it was: a
    // row of templates could ask what is in a value.
    if let Some(digest) = spec.templates.digest() {
        annotations.insert(names::TEMPLATE.to_owned(), digest);
    }
    let owner = match ownership {
        Ownership::Adopted => {
            annotations.insert(names::ADOPTED.to_owned(), "true".to_owned());
            None
        }
        Ownership::Owned { uid } if uid.is_empty() => None,
        Ownership::Owned { uid } => {
            let (api_version, kind) = (names::API_VERSION.to_owned(), KIND.to_owned());
            Some(Owner { api_version, kind, name: binding.name.clone(), uid, controller: true })
        }
    };
    Ok(Produced {
        manager: names::field_manager(KIND, &binding.name),
        namespace: binding.namespace,
        name: binding.name,
        secret_type: binding.secret_type,
        immutable: spec.immutable,
        labels,
        annotations,
        owner,
        data: values.chain(composed).collect(),
    })
}
