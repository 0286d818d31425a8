//! How entries are called: what a resource writes, below the store's prefix.

use waxwing_core::{
    external::Pattern,
    store::{Failure, Find, Kind},
};

/// The names that a store can reach.
pub(super) struct Names {
    /// What every name begins with. Nothing else can be read or found.
    prefix: String,
    service: Service,
}

/// Whose names they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    ParameterStore,
    SecretsManager,
}

/// Which version is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted<'a> {
    Id(&'a str),
    Stage(&'a str),
}

/// What a search looks for, and how what it finds is called.
pub(super) struct Search<'a> {
    /// What every name begins with.
    pub(super) start: String,
    prefix: &'a str,
    pattern: Option<Pattern>,
}

impl Names {
    /// # Errors
    /// `BadStore` when no name can begin like this.
    pub(super) fn new(prefix: Option<&str>, service: Service) -> Result<Self, Failure> {
        let prefix = prefix.unwrap_or_default().to_owned();
        if !prefix.chars().all(|c| service.takes(c)) {
            return Err(Failure::new(Kind::BadStore, "no name can begin like this").at("prefix"));
        }
        Ok(Self { prefix, service })
    }

    /// What AWS is asked for.
    ///
    /// # Errors
    /// `Rejected` when it is no name. One bad name would otherwise spoil the batch that it is in.
    pub(super) fn id(&self, key: &str) -> Result<String, Failure> {
        let rejected = |what| Failure::new(Kind::Rejected, what).at(key);
        let is_arn = key.starts_with("arn:");
        if is_arn && !self.prefix.is_empty() {
            return Err(rejected("below a prefix, entries are named by their names, not by ARNs"));
        }
        // An ARN has five colons of its own. One more would begin a version of a parameter, whose place is `version`.
        let colons = if is_arn { 5 + usize::from(self.service == Service::SecretsManager) } else { 0 };
        let is_name = !key.is_empty()
            && key.len() <= LONGEST
            && key.chars().filter(|c| *c == ':').count() == colons
            && key.chars().all(|c| c == ':' || self.service.takes(c));
        if is_name { Ok(format!("{}{key}", self.prefix)) } else { Err(rejected(self.service.no_name())) }
    }

    /// What a search means.
    ///
    /// # Errors
    /// `Rejected` when the path or the expression is none.
    pub(super) fn search(&self, find: &Find) -> Result<Search<'_>, Failure> {
        let path = find.path.as_deref().unwrap_or_default();
        if !path.chars().all(|c| self.service.takes(c)) {
            return Err(Failure::new(Kind::Rejected, self.service.no_name()).at(path));
        }
        // Below a path: `team` is not the beginning of `team-b/x`.
        let below = match path.trim_end_matches('/') {
            "" => String::new(),
            path => format!("{path}/"),
        };
        let pattern = match find.name.as_deref() {
            Some(name) => Some(
                Pattern::new(name)
                    .ok_or(Failure::new(Kind::Rejected, "it is not a regular expression that can be used"))?,
            ),
            None => None,
        };
        Ok(Search { start: format!("{}{below}", self.prefix), prefix: &self.prefix, pattern })
    }

    /// A name that nobody gives anything, where the store may look.
    pub(super) fn of_nobody(&self) -> String {
        format!("{}waxwing-looks-whether-this-store-answers", self.prefix)
    }
}

impl Search<'_> {
    /// The key of what was found, if it is one that matches. The expression is matched with what a resource would write.
    pub(super) fn key(&self, name: &str) -> Option<String> {
        let key = name.starts_with(&self.start).then(|| name.strip_prefix(self.prefix)).flatten()?;
        self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(key)).then(|| key.to_owned())
    }
}

impl Service {
    fn takes(self, c: char) -> bool {
        let also = match self {
            Self::ParameterStore => "/_.-",
            Self::SecretsManager => "/_+=.@-",
        };
        c.is_ascii_alphanumeric() || also.contains(c)
    }

    fn no_name(self) -> &'static str {
        match self {
            Self::ParameterStore => {
                "it is not a parameter's name: letters, digits and / _ . -; a version goes into the field version"
            }
            Self::SecretsManager => "it is not a secret's name: letters, digits and / _ + = . @ -",
        }
    }
}

/// As the neighbour writes it: a stage, or an id after `uuid/`. What looks like an id is one, too.
pub(super) fn wanted(version: Option<&str>) -> Wanted<'_> {
    match version {
        // Without a stage AWS gives this one. Not everything that plays AWS does.
        None => Wanted::Stage(CURRENT),
        Some(version) => match version.strip_prefix("uuid/") {
            Some(id) => Wanted::Id(id),
            None if is_uuid(version) => Wanted::Id(version),
            None => Wanted::Stage(version),
        },
    }
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// The stage of the newest version.
pub(super) const CURRENT: &str = "AWSCURRENT";
/// What AWS takes: an ARN of a secret, or of a parameter, whose names have up to 1,011 characters.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests;
