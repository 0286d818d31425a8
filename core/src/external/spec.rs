//! An ExternalSecret that could be produced: everything that can be found wrong with one without any store.
//!
//! Linting, `waxwing render` and the operator all go through [`Spec::read`], so what one accepts the others accept.
//! Defaults are applied here and nowhere else.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use waxwing_crds::{
    self as crds, CreationPolicy as Creation, DeletionPolicy as Deletion, ExternalSecretSpec, MergePolicy,
    Reason, RefreshPolicy, Rollout, TemplateMetadata, duration, names,
};

use super::{
    Ask, KeyFault, Need, StoreRef, check_key, check_path, limits,
    pattern::Pattern,
    property::Property,
    rewrite::{Merge, Rewrite},
    values::{Reading, Several, Single},
};
use crate::{
    plan::{
        self, is_namespace, is_object_name,
        spec::{is_label_value, kept},
    },
    seal::DataKey,
    store::{Find, Read},
    template::{ExternalTemplates, TemplateError, TransformTemplate},
};

/// The spec of one ExternalSecret, checked, with every default applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// The name of the Secret.
    pub target: String,
    /// Whose the Secret is.
    pub creation: Creation,
    /// What becomes of it when its entries are gone.
    pub deletion: Deletion,
    /// Whether it is immutable.
    pub immutable: bool,
    /// Its type.
    pub secret_type: String,
    /// Its labels, without those that are dropped.
    pub labels: BTreeMap<String, String>,
    /// Its annotations, without those that are dropped.
    pub annotations: BTreeMap<String, String>,
    /// Label and annotation keys that were dropped: a GitOps tool's tracking, and what Waxwing sets itself.
    pub dropped: BTreeSet<String>,
    /// The values composed from those that are fetched.
    pub templates: ExternalTemplates,
    /// Whether they take the place of those, or stand beside them.
    pub merge_policy: MergePolicy,
    /// When values are fetched again.
    pub refresh: Refresh,
    /// Workloads that are restarted when a value changes.
    pub rollouts: Vec<Rollout>,
    /// `data`, in its order.
    pub(super) single: Vec<Single>,
    /// `dataFrom`, in its order.
    pub(super) several: Vec<Several>,
}

/// When values are fetched again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    /// Never, once the Secret is there.
    CreatedOnce,
    /// When the object changes. `refreshInterval: 0` says the same.
    OnChange,
    /// Also when so much time has passed.
    Periodic(Duration),
}

/// Why a spec is refused before any store is asked. Names fields and keys, never content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {fault}")]
pub struct SpecError {
    /// Which field, as a path from the object's root on.
    pub field: String,
    /// What is wrong with it.
    pub fault: SpecFault,
}

/// What can be wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecFault {
    /// A length of time that is none, or too long.
    #[error(transparent)]
    Duration(duration::DurationError),
    /// Two of a kind where each can stand once.
    #[error("it stands here twice")]
    KeyCollision,
    /// The fields contradict each other, or one is missing, or one says something that it can't.
    #[error("{0}")]
    Malformed(&'static str),
    /// A label or annotation key that is Waxwing's own.
    #[error("keys under waxwing.dev/ are Waxwing's own")]
    MetadataRefused,
    /// A regular expression that is none.
    #[error(
        "this is no regular expression, or too large a one; look-around and references back are not supported"
    )]
    Pattern,
    /// A remote key that no store is asked for.
    #[error("{0}")]
    RemoteKey(KeyFault),
    /// A template that cannot work.
    #[error(transparent)]
    Template(TemplateError),
    /// Too many of them.
    #[error("there are more than {0}")]
    TooMany(usize),
    /// Too long a text.
    #[error("it is longer than {0} bytes")]
    TooLong(usize),
    /// A Secret type that gives rights in the cluster, or is Waxwing's own.
    #[error("Secrets of this type give rights in the cluster, or are Waxwing's own, and are never produced")]
    TypeRefused,
}

impl SpecError {
    /// The reason that conditions and metrics show.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match &self.fault {
            SpecFault::Duration(_)
            | SpecFault::Malformed(_)
            | SpecFault::Pattern
            | SpecFault::RemoteKey(_) => Reason::InvalidSpec,
            SpecFault::KeyCollision => Reason::KeyCollision,
            SpecFault::MetadataRefused => Reason::MetadataRefused,
            SpecFault::Template(error) => error.reason(),
            SpecFault::TooMany(_) | SpecFault::TooLong(_) => Reason::LimitExceeded,
            SpecFault::TypeRefused => Reason::TypeRefused,
        }
    }
}

impl Spec {
    /// Checks a spec of an object of this namespace and name.
    ///
    /// # Errors
    /// The first fault; limits before anything else.
    pub fn read(spec: &ExternalSecretSpec, namespace: &str, name: &str) -> Result<Self, SpecError> {
        check_limits(spec)?;
        check(is_object_name(name), "metadata.name", NAME)?;
        // A file without a namespace gets one by whoever applies it.
        check(namespace.is_empty() || is_namespace(namespace), "metadata.namespace", NAMESPACE)?;
        let default = crds::ExternalTarget::default();
        let target = spec.target.as_ref().unwrap_or(&default);
        let default = crds::ExternalTemplate::default();
        let template = target.template.as_ref().unwrap_or(&default);
        let default = TemplateMetadata::default();
        let metadata = template.metadata.as_ref().unwrap_or(&default);

        let stores = stores(spec)?;
        let single = spec.data.iter().enumerate().map(|(index, data)| single(index, data, &stores));
        let single = single.collect::<Result<Vec<_>, _>>()?;
        let mut keys = BTreeSet::new();
        if let Some(twice) = single.iter().find(|single| !keys.insert(&single.key)) {
            return Err(fault(format!("spec.data[{}]", twice.key), SpecFault::KeyCollision));
        }
        let several = spec.data_from.iter().enumerate().map(|(index, from)| several(index, from, &stores));
        let several = several.collect::<Result<Vec<_>, _>>()?;
        check(!single.is_empty() || !several.is_empty(), "spec", "data or dataFrom must say what is wanted")?;

        let mut dropped = BTreeSet::new();
        Ok(Self {
            target: target_name(target, name)?,
            creation: target.creation_policy.unwrap_or_default(),
            deletion: deletion(target)?,
            immutable: immutable(target)?,
            secret_type: secret_type(template)?,
            labels: kept("labels", &metadata.labels, is_label_value, &mut dropped).map_err(of_metadata)?,
            annotations: kept("annotations", &metadata.annotations, |_| true, &mut dropped)
                .map_err(of_metadata)?,
            dropped,
            templates: templates(template)?,
            merge_policy: template.merge_policy.unwrap_or_default(),
            refresh: refresh(spec)?,
            rollouts: rollouts(target)?,
            single,
            several,
        })
    }

    /// What has to be fetched, each thing once, in the order in which it is mentioned first. `uid` is that of the object:
    /// what is issued on its behalf belongs to it alone.
    #[must_use]
    pub fn needs(&self, uid: &str) -> Vec<Need> {
        let mut seen = BTreeSet::new();
        let distinct: Vec<_> = self.mentioned().filter(|need| seen.insert(*need)).collect();
        let is_issued = |need: &Need| matches!(&need.ask, Ask::Read(read) if !read.parameters.is_empty());
        let own = |need: &Need| if is_issued(need) { need.clone().of_consumer(uid) } else { need.clone() };
        distinct.into_iter().map(own).collect()
    }

    /// Every store that could be asked, each once, in the order in which it is mentioned first.
    #[must_use]
    pub fn stores(&self) -> Vec<&StoreRef> {
        let mut seen = BTreeSet::new();
        self.mentioned().flat_map(|need| &need.stores).filter(|store| seen.insert(*store)).collect()
    }

    /// What is mentioned first.
    pub(super) fn first_ask(&self) -> Option<&Ask> {
        self.mentioned().next().map(|need| &need.ask)
    }

    fn mentioned(&self) -> impl Iterator<Item = &Need> {
        let several = self.several.iter().map(|several| &several.need);
        self.single.iter().map(|single| &single.need).chain(several)
    }
}

/// Sizes, before anything is looked at that takes time by its size.
fn check_limits(spec: &ExternalSecretSpec) -> Result<(), SpecError> {
    let few = |field: &str, count: usize, limit: usize| {
        if count > limit { Err(fault(field, SpecFault::TooMany(limit))) } else { Ok(()) }
    };
    few("spec.data", spec.data.len(), limits::KEYS)?;
    few("spec.dataFrom", spec.data_from.len(), limits::DATA_FROM)?;
    few("spec.secretStoreRefs", spec.secret_store_refs.len(), limits::STORES)?;
    for from in &spec.data_from {
        few("spec.dataFrom[].rewrite", from.rewrite.len(), limits::REWRITES)?;
    }
    if let Some(target) = &spec.target {
        few("spec.target.rollout", target.rollout.len(), limits::ROLLOUTS)?;
        let keys = target.template.as_ref().map_or(0, |template| template.data.len());
        few("spec.target.template.data", keys, limits::KEYS)?;
    }
    Ok(())
}

/// The stores of the whole object, if it names any.
fn stores(spec: &ExternalSecretSpec) -> Result<Option<Vec<StoreRef>>, SpecError> {
    let both = spec.secret_store_ref.is_some() && !spec.secret_store_refs.is_empty();
    check(!both, "spec", "set either secretStoreRef or secretStoreRefs")?;
    if let Some(store) = &spec.secret_store_ref {
        return Ok(Some(vec![store_ref("spec.secretStoreRef", store)?]));
    }
    let read = |(index, store)| store_ref(&format!("spec.secretStoreRefs[{index}]"), store);
    let stores = spec.secret_store_refs.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let distinct: BTreeSet<_> = stores.iter().collect();
    check(distinct.len() == stores.len(), "spec.secretStoreRefs", "it names a store twice")?;
    Ok((!stores.is_empty()).then_some(stores))
}

fn store_ref(field: &str, store: &crds::StoreReference) -> Result<StoreRef, SpecError> {
    check(is_object_name(&store.name), &format!("{field}.name"), NAME)?;
    Ok(StoreRef { kind: store.kind.unwrap_or_default().into(), name: store.name.clone() })
}

/// The stores of one item: its own, or those of the object.
fn stores_of(
    field: &str,
    source: Option<&crds::SourceRef>,
    stores: &Option<Vec<StoreRef>>,
) -> Result<Vec<StoreRef>, SpecError> {
    let own = source.and_then(|source| source.store_ref.as_ref());
    check(source.is_none() || own.is_some(), &format!("{field}.sourceRef"), "storeRef must name a store")?;
    match (own, stores) {
        (Some(own), _) => Ok(vec![store_ref(&format!("{field}.sourceRef.storeRef"), own)?]),
        (None, Some(stores)) => Ok(stores.clone()),
        (None, None) => {
            let what = "no store is named: set spec.secretStoreRef, or sourceRef.storeRef here";
            Err(fault(field, SpecFault::Malformed(what)))
        }
    }
}

fn single(
    index: usize,
    data: &crds::ExternalData,
    stores: &Option<Vec<StoreRef>>,
) -> Result<Single, SpecError> {
    let field = format!("spec.data[{index}]");
    let Ok(key) = data.secret_key.parse::<DataKey>() else {
        return Err(fault(format!("{field}.secretKey"), SpecFault::Malformed(SECRET_KEY)));
    };
    let remote = &data.remote_ref;
    let reference = format!("{field}.remoteRef");
    Ok(Single {
        key,
        need: Need {
            stores: stores_of(&field, data.source_ref.as_ref(), stores)?,
            ask: Ask::Read(read(&reference, remote)?),
        },
        property: property(&reference, remote)?,
        reading: reading(remote.decoding_strategy, remote.null_byte_policy),
    })
}

fn several(
    index: usize,
    from: &crds::ExternalDataFrom,
    stores: &Option<Vec<StoreRef>>,
) -> Result<Several, SpecError> {
    let field = format!("spec.dataFrom[{index}]");
    let (ask, property, reading, conversion) = match (&from.extract, &from.find) {
        (Some(remote), None) => {
            let reference = format!("{field}.extract");
            let reading = reading(remote.decoding_strategy, remote.null_byte_policy);
            let part = property(&reference, remote)?;
            (Ask::Read(read(&reference, remote)?), part, reading, remote.conversion_strategy)
        }
        (None, Some(find)) => {
            let reading = reading(find.decoding_strategy, find.null_byte_policy);
            (Ask::Find(self::find(&format!("{field}.find"), find)?), None, reading, find.conversion_strategy)
        }
        _ => return Err(fault(field, SpecFault::Malformed("set either extract or find"))),
    };
    let step = |(step, rewrite)| self::rewrite(&format!("{field}.rewrite[{step}]"), rewrite);
    Ok(Several {
        need: Need { stores: stores_of(&field, from.source_ref.as_ref(), stores)?, ask },
        property,
        reading,
        conversion: conversion.unwrap_or_default(),
        rewrite: from.rewrite.iter().enumerate().map(step).collect::<Result<_, _>>()?,
    })
}

fn reading(decoding: Option<crds::DecodingStrategy>, null_bytes: Option<crds::NullBytePolicy>) -> Reading {
    let refuses_null_bytes = null_bytes == Some(crds::NullBytePolicy::Fail);
    Reading { decoding: decoding.unwrap_or_default(), refuses_null_bytes }
}

fn read(field: &str, remote: &crds::RemoteRef) -> Result<Read, SpecError> {
    check_key(&remote.key).map_err(|found| fault(format!("{field}.key"), SpecFault::RemoteKey(found)))?;
    if let Some(version) = &remote.version {
        check_text(&format!("{field}.version"), version, limits::VERSION)?;
    }
    check_map(&format!("{field}.parameters"), &remote.parameters)?;
    let metadata = remote.metadata_policy == Some(crds::MetadataPolicy::Fetch);
    let is_plain = remote.parameters.is_empty() || !metadata && remote.version.is_none();
    check(is_plain, &format!("{field}.parameters"), "what is issued has neither a version nor metadata")?;
    Ok(Read {
        key: remote.key.clone(),
        version: remote.version.clone(),
        metadata,
        parameters: remote.parameters.clone(),
        consumer: String::new(),
    })
}

fn property(field: &str, remote: &crds::RemoteRef) -> Result<Option<Property>, SpecError> {
    let Some(property) = &remote.property else { return Ok(None) };
    // A path may hold any character that a name in JSON may hold.
    let field = format!("{field}.property");
    check(!property.is_empty(), &field, EMPTY)?;
    check_length(&field, property, limits::TEXT)?;
    Ok(Some(Property::new(property)))
}

fn find(field: &str, find: &crds::FindRef) -> Result<Find, SpecError> {
    if let Some(path) = &find.path {
        check_path(path).map_err(|found| fault(format!("{field}.path"), SpecFault::RemoteKey(found)))?;
    }
    let name = find.name.as_ref().and_then(|name| name.regexp.as_ref());
    check(find.name.is_none() || name.is_some(), &format!("{field}.name"), "regexp must say which")?;
    if let Some(name) = name {
        pattern(format!("{field}.name.regexp"), name)?;
    }
    check_map(&format!("{field}.tags"), &find.tags)?;
    let says = find.path.is_some() || name.is_some() || !find.tags.is_empty();
    check(says, field, "name, path or tags must say what to find")?;
    Ok(Find { path: find.path.clone(), name: name.cloned(), tags: find.tags.clone() })
}

fn pattern(field: String, text: &str) -> Result<Pattern, SpecError> {
    check(!text.is_empty(), &field, EMPTY)?;
    Pattern::new(text).ok_or_else(|| fault(field, SpecFault::Pattern))
}

fn rewrite(field: &str, rewrite: &crds::Rewrite) -> Result<Rewrite, SpecError> {
    match (&rewrite.merge, &rewrite.regexp, &rewrite.transform) {
        (Some(merge), None, None) => self::merge(&format!("{field}.merge"), merge).map(Rewrite::Merge),
        (None, Some(regexp), None) => {
            check_length(&format!("{field}.regexp.target"), &regexp.target, limits::TEXT)?;
            let source = pattern(format!("{field}.regexp.source"), &regexp.source)?;
            Ok(Rewrite::Regexp { source, target: regexp.target.clone() })
        }
        (None, None, Some(transform)) => {
            let at = format!("{field}.transform.template");
            check(!transform.template.is_empty(), &at, EMPTY)?;
            check_length(&at, &transform.template, limits::TRANSFORM)?;
            let template = TransformTemplate::parse(&transform.template);
            let of_field = |error| fault(at, SpecFault::Template(error));
            template.map(Rewrite::Transform).map_err(of_field)
        }
        _ => Err(fault(field, SpecFault::Malformed("set exactly one of merge, regexp and transform"))),
    }
}

fn merge(field: &str, merge: &crds::RewriteMerge) -> Result<Merge, SpecError> {
    let named = merge.into.clone().filter(|into| !into.is_empty());
    let into = match merge.strategy.unwrap_or_default() {
        crds::MergeStrategy::Extract => {
            check(named.is_none(), &format!("{field}.into"), "only strategy JSON has one name for all")?;
            None
        }
        crds::MergeStrategy::Json => {
            let is_key = named.as_ref().is_some_and(|into| into.parse::<DataKey>().is_ok());
            check(is_key, &format!("{field}.into"), SECRET_KEY)?;
            named
        }
    };
    let field = format!("{field}.priority");
    if merge.priority.len() > limits::KEYS {
        return Err(fault(field, SpecFault::TooMany(limits::KEYS)));
    }
    merge.priority.iter().try_for_each(|name| check_length(&field, name, limits::TEXT))?;
    let distinct: BTreeSet<_> = merge.priority.iter().collect();
    check(distinct.len() == merge.priority.len(), &field, "it has a name twice")?;
    Ok(Merge {
        into,
        ignores_conflicts: merge.conflict_policy == Some(crds::ConflictPolicy::Ignore),
        priority: merge.priority.clone(),
        ignores_missing: merge.priority_policy == Some(crds::PriorityPolicy::IgnoreNotFound),
    })
}

fn target_name(target: &crds::ExternalTarget, name: &str) -> Result<String, SpecError> {
    let target = target.name.as_deref().unwrap_or(name);
    check(is_object_name(target), "spec.target.name", NAME)?;
    Ok(target.to_owned())
}

fn deletion(target: &crds::ExternalTarget) -> Result<Deletion, SpecError> {
    let deletion = target.deletion_policy.unwrap_or_default();
    let is_ours = matches!(target.creation_policy.unwrap_or_default(), Creation::Owner | Creation::Orphan);
    let what = "Delete needs creationPolicy Owner or Orphan: a Secret of others is never deleted";
    check(is_ours || deletion == Deletion::Retain, "spec.target.deletionPolicy", what)?;
    Ok(deletion)
}

fn immutable(target: &crds::ExternalTarget) -> Result<bool, SpecError> {
    let immutable = target.immutable.unwrap_or(false);
    let is_others = target.creation_policy == Some(Creation::Merge);
    let what = "a Secret of others is not made immutable: creationPolicy is Merge";
    check(!immutable || !is_others, "spec.target.immutable", what)?;
    Ok(immutable)
}

fn secret_type(template: &crds::ExternalTemplate) -> Result<String, SpecError> {
    const FIELD: &str = "spec.target.template.type";
    let secret_type = template.secret_type.as_deref().unwrap_or("Opaque");
    let is_printable = secret_type.bytes().all(|b| b.is_ascii_graphic());
    let what = "a type has 1 to 253 printable characters of ASCII";
    check((1..=253).contains(&secret_type.len()) && is_printable, FIELD, what)?;
    if names::is_refused_secret_type(secret_type) {
        return Err(fault(FIELD, SpecFault::TypeRefused));
    }
    Ok(secret_type.to_owned())
}

fn templates(template: &crds::ExternalTemplate) -> Result<ExternalTemplates, SpecError> {
    const FIELD: &str = "spec.target.template.data";
    let mut sources = BTreeMap::new();
    for (key, source) in &template.data {
        let key = key.parse::<DataKey>().map_err(|_| fault(FIELD, SpecFault::Malformed(SECRET_KEY)))?;
        sources.insert(key, source.clone());
    }
    ExternalTemplates::parse(sources).map_err(|error| fault(FIELD, SpecFault::Template(error)))
}

fn refresh(spec: &ExternalSecretSpec) -> Result<Refresh, SpecError> {
    // Zero in all the ways in which a duration can be written.
    let is_zero = |text: &str| text == "0" || duration::parse(text) == Err(duration::DurationError::Zero);
    let interval = match spec.refresh_interval.as_deref() {
        None => Some(EVERY),
        Some(text) if is_zero(text) => None,
        Some(text) => {
            let of_field = |error| fault("spec.refreshInterval", SpecFault::Duration(error));
            Some(duration::parse(text).map_err(of_field)?)
        }
    };
    Ok(match (spec.refresh_policy.unwrap_or_default(), interval) {
        (RefreshPolicy::CreatedOnce, _) => Refresh::CreatedOnce,
        (RefreshPolicy::OnChange, _) | (RefreshPolicy::Periodic, None) => Refresh::OnChange,
        (RefreshPolicy::Periodic, Some(interval)) => Refresh::Periodic(interval),
    })
}

fn rollouts(target: &crds::ExternalTarget) -> Result<Vec<Rollout>, SpecError> {
    for (index, rollout) in target.rollout.iter().enumerate() {
        let field = format!("spec.target.rollout[{index}]");
        check(is_object_name(&rollout.name), &format!("{field}.name"), NAME)?;
        check(!target.rollout[..index].contains(rollout), &field, "it names a workload twice")?;
    }
    Ok(target.rollout.clone())
}

/// Names and values of `tags` and `parameters`.
fn check_map(field: &str, map: &BTreeMap<String, String>) -> Result<(), SpecError> {
    if map.len() > limits::MAP {
        return Err(fault(field, SpecFault::TooMany(limits::MAP)));
    }
    for (name, value) in map {
        check_text(field, name, limits::TEXT)?;
        check_length(field, value, limits::MAP_VALUE)?;
    }
    Ok(())
}

fn check_text(field: &str, text: &str, limit: usize) -> Result<(), SpecError> {
    check(!text.is_empty(), field, EMPTY)?;
    check(!text.chars().any(char::is_control), field, "it has control characters")?;
    check_length(field, text, limit)
}

fn check_length(field: &str, text: &str, limit: usize) -> Result<(), SpecError> {
    if text.len() > limit { Err(fault(field, SpecFault::TooLong(limit))) } else { Ok(()) }
}

fn check(good: bool, field: &str, what: &'static str) -> Result<(), SpecError> {
    if good { Ok(()) } else { Err(fault(field, SpecFault::Malformed(what))) }
}

fn fault(field: impl Into<String>, fault: SpecFault) -> SpecError {
    SpecError { field: field.into(), fault }
}

fn of_metadata(error: plan::SpecError) -> SpecError {
    const FIELD: &str = "spec.target.template.metadata";
    match error {
        plan::SpecError::MetadataRefused { field } => {
            fault(format!("{FIELD}.{field}"), SpecFault::MetadataRefused)
        }
        plan::SpecError::MalformedMetadata { field, what } => {
            fault(format!("{FIELD}.{field}"), SpecFault::Malformed(what))
        }
        _ => fault(FIELD, SpecFault::Malformed("it is not what Kubernetes takes")),
    }
}

/// How often values are fetched again where nothing is said.
const EVERY: Duration = Duration::from_secs(60 * 60);

const EMPTY: &str = "it is empty";
const NAME: &str = "a name has at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends and beside each dot";
const NAMESPACE: &str = "a namespace has at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends";
const SECRET_KEY: &str =
    "a key has 1 to 253 letters, digits, '-', '_' and '.', is no single dot and does not begin with two";

#[cfg(test)]
mod tests;
