//! What a ClusterSecretStore grants, and to which namespaces. By default nothing.
//!
//! A grant is about a key exactly as the resource spells it: no case is folded and nothing decoded. A key that could mean
//! something else to somebody who does decode it is granted to nobody.

use std::collections::BTreeMap;

use waxwing_crds as crds;

use super::{Ask, key};
use crate::{config::Glob, plan::is_namespace};

/// The grants of one ClusterSecretStore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(Vec<Grant>);

/// Some namespaces, and the paths that they may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    namespaces: Vec<String>,
    selector: Option<Selector>,
    paths: Vec<PathPattern>,
}

/// Why a store's grants make no sense. Then it grants nothing at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("grants[{grant}]: {fault}")]
pub struct GrantError {
    /// Which one, counted from 0.
    pub grant: usize,
    /// What is wrong with it.
    pub fault: GrantFault,
}

/// What can be wrong with a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantFault {
    /// Neither namespaces nor a selector.
    #[error("it names no namespace: set namespaces or namespaceSelector")]
    Nobody,
    /// No paths.
    #[error("it names no paths; `**` is all of them")]
    Nothing,
    /// Something that no namespace is called.
    #[error("namespaces takes names of namespaces; to choose by label there is namespaceSelector")]
    Namespace,
    /// Both namespaces and a selector.
    #[error("set either namespaces or namespaceSelector")]
    NamespacesTwice,
    /// A pattern that is none.
    #[error(
        "paths takes patterns of *, ? and **, without empty steps, dots for steps, braces, brackets, ! and \\"
    )]
    Path,
    /// A selector that is none.
    #[error(
        "namespaceSelector has an operator other than In, NotIn, Exists and DoesNotExist, or wrong values for it"
    )]
    Selector,
    /// More than a store needs.
    #[error("there are more than {LIMIT} grants, or namespaces, paths or expressions in one")]
    TooMany,
}

impl Grants {
    /// Reads a store's grants.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn read(specs: &[crds::Grant]) -> Result<Self, GrantError> {
        if specs.len() > LIMIT {
            return Err(GrantError { grant: LIMIT, fault: GrantFault::TooMany });
        }
        let read = |(grant, spec)| Grant::read(spec).map_err(|fault| GrantError { grant, fault });
        specs.iter().enumerate().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a namespace with these labels may ask for this. Of what a `find` finds, every key must be asked for with
    /// [`Grants::permits_key`].
    #[must_use]
    pub fn permits(&self, namespace: &str, labels: &BTreeMap<String, String>, ask: &Ask) -> bool {
        match ask {
            Ask::Read(read) => self.permits_key(namespace, labels, &read.key),
            Ask::Find(find) => {
                let path = find.path.as_deref();
                path.is_none_or(|path| key::check_path(path).is_ok() && !is_ambiguous(path))
                    && self.of(namespace, labels).any(|pattern| pattern.covers(path.unwrap_or_default()))
            }
        }
    }

    /// Whether a namespace with these labels may have this entry.
    #[must_use]
    pub fn permits_key(&self, namespace: &str, labels: &BTreeMap<String, String>, key: &str) -> bool {
        key::check_key(key).is_ok()
            && !is_ambiguous(key)
            && self.of(namespace, labels).any(|pattern| pattern.matches(key))
    }

    /// Whether a namespace with these labels is granted anything.
    #[must_use]
    pub fn permits_some(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.of(namespace, labels).next().is_some()
    }

    fn of<'a>(
        &'a self,
        namespace: &'a str,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = &'a PathPattern> {
        let grants = self.0.iter().filter(move |grant| grant.is_for(namespace, labels));
        grants.flat_map(|grant| &grant.paths)
    }
}

impl Grant {
    fn read(spec: &crds::Grant) -> Result<Self, GrantFault> {
        if spec.namespaces.len() > LIMIT || spec.paths.len() > LIMIT {
            return Err(GrantFault::TooMany);
        }
        if !spec.namespaces.iter().all(|name| is_namespace(name)) {
            return Err(GrantFault::Namespace);
        }
        if spec.namespaces.is_empty() && spec.namespace_selector.is_none() {
            return Err(GrantFault::Nobody);
        }
        if !spec.namespaces.is_empty() && spec.namespace_selector.is_some() {
            return Err(GrantFault::NamespacesTwice);
        }
        let selector = spec.namespace_selector.as_ref().map(Selector::read).transpose()?;
        if spec.paths.is_empty() {
            return Err(GrantFault::Nothing);
        }
        let paths = spec.paths.iter().map(|path| PathPattern::new(path).ok_or(GrantFault::Path));
        Ok(Self { namespaces: spec.namespaces.clone(), selector, paths: paths.collect::<Result<_, _>>()? })
    }

    fn is_for(&self, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        self.namespaces.iter().any(|name| name == namespace)
            || self.selector.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

/// Whether a key has what somebody may take for more than itself: an encoding, a query, a fragment, another slash.
fn is_ambiguous(key: &str) -> bool {
    key.contains(['%', '\\', '?', '#'])
}

/// A pattern of a grant. One that begins with a slash is for keys that do, and one without for those without; `**` at
/// the start takes both.
#[derive(Clone, Debug, PartialEq, Eq)]
struct PathPattern {
    is_absolute: bool,
    glob: Glob,
}

impl PathPattern {
    fn new(pattern: &str) -> Option<Self> {
        let (is_absolute, relative) = split(pattern);
        let glob = (pattern.len() <= LONGEST).then(|| Glob::new(relative))??;
        Some(Self { is_absolute, glob })
    }

    fn matches(&self, key: &str) -> bool {
        let (is_absolute, key) = split(key);
        self.fits(is_absolute) && self.glob.matches(key)
    }

    /// Whether all that lies below a path matches. Nothing for a path is everything.
    fn covers(&self, path: &str) -> bool {
        let (is_absolute, path) = split(path);
        let path = path.strip_suffix('/').unwrap_or(path);
        if path.is_empty() {
            return self.glob.as_str() == "**" && self.fits(is_absolute);
        }
        let is_deep = self.glob.as_str().split('/').next_back() == Some("**");
        is_deep && self.fits(is_absolute) && self.glob.matches(path)
    }

    fn fits(&self, is_absolute: bool) -> bool {
        self.is_absolute == is_absolute
            || !self.is_absolute && self.glob.as_str().split('/').next() == Some("**")
    }
}

/// Whether it begins with a slash, and what follows.
fn split(path: &str) -> (bool, &str) {
    path.strip_prefix('/').map_or((false, path), |relative| (true, relative))
}

/// A label selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector(Vec<(String, Wanted)>);

/// What one label has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Absent,
    AnyOf(Vec<String>),
    NoneOf(Vec<String>),
    Present,
}

impl Selector {
    pub(crate) fn read(selector: &crds::LabelSelector) -> Result<Self, GrantFault> {
        let labels = selector.match_labels.iter().flatten();
        let mut wanted: Vec<_> =
            labels.map(|(label, value)| (label.clone(), Wanted::AnyOf(vec![value.clone()]))).collect();
        for expression in selector.match_expressions.iter().flatten() {
            let values = expression.values.clone().unwrap_or_default();
            let is = match (expression.operator.as_str(), values.is_empty()) {
                ("In", false) => Wanted::AnyOf(values),
                ("NotIn", false) => Wanted::NoneOf(values),
                ("Exists", true) => Wanted::Present,
                ("DoesNotExist", true) => Wanted::Absent,
                _ => return Err(GrantFault::Selector),
            };
            wanted.push((expression.key.clone(), is));
        }
        if wanted.len() > LIMIT { Err(GrantFault::TooMany) } else { Ok(Self(wanted)) }
    }

    /// An empty selector is one of everything, as everywhere in Kubernetes.
    pub(crate) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|(label, wanted)| match (wanted, labels.get(label)) {
            (Wanted::AnyOf(values), Some(value)) => values.contains(value),
            (Wanted::NoneOf(values), Some(value)) => !values.contains(value),
            (Wanted::Absent | Wanted::NoneOf(_), None) | (Wanted::Present, Some(_)) => true,
            (Wanted::Absent, Some(_)) | (Wanted::AnyOf(_) | Wanted::Present, None) => false,
        })
    }
}

/// Grants of a store, and namespaces, paths and expressions of a grant.
const LIMIT: usize = 256;
/// Bytes of a pattern.
const LONGEST: usize = 1024;

#[cfg(test)]
mod tests;
