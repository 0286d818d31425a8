//! The Secret that an ExternalSecret gives, as a plain value.

use waxwing_crds::names;

use super::{super::MergePolicy, Claim, Creation, Input, KIND, Spec};
use crate::{
    plan::{Data, Owner, Produced},
    template::{Place, TemplateError},
};

/// The keys of the Secret: the values, what is composed from them, or both.
pub(super) fn compose(input: &Input<'_>, spec: &Spec, values: Data) -> Result<Data, TemplateError> {
    if spec.templates.is_empty() {
        return Ok(values);
    }
    let place = Place { namespace: input.object.namespace, name: input.object.name };
    let composed = spec.templates.render(&values, place)?;
    Ok(match spec.merge_policy {
        MergePolicy::Replace => composed,
        MergePolicy::Merge => values.with(composed),
    })
}

/// The whole Secret.
pub(super) fn produce(input: &Input<'_>, spec: &Spec, claim: Claim, data: Data, manager: String) -> Produced {
    let object = &input.object;
    let mut labels = spec.labels.clone();
    labels.insert(names::MANAGED_BY.to_owned(), names::MANAGER.to_owned());
    let mut annotations = spec.annotations.clone();
    for (key, value) in names::PRODUCED_ANNOTATIONS {
        annotations.insert(key.to_owned(), value.to_owned());
    }
    annotations.insert(names::OWNED_BY.to_owned(), names::owned_by(KIND, object.name));
    if let Some(digest) = spec.templates.digest() {
        annotations.insert(names::TEMPLATE.to_owned(), digest);
    }
    if claim.is_adopted() {
        annotations.insert(names::ADOPTED.to_owned(), "true".to_owned());
    }
    let goes_along = spec.creation == Creation::Owner && !claim.is_adopted() && !object.uid.is_empty();
    let owner = goes_along.then(|| Owner {
        api_version: names::API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        name: object.name.to_owned(),
        uid: object.uid.to_owned(),
        controller: true,
    });
    Produced {
        namespace: object.namespace.to_owned(),
        name: spec.target.clone(),
        secret_type: spec.secret_type.clone(),
        immutable: spec.immutable,
        labels,
        annotations,
        owner,
        data,
        manager,
    }
}
