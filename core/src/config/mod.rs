//! `.waxwing.yaml`: who can open what is sealed in a repository.
//!
//! ```yaml
//! version: 1
//! recipients:                     # every public key, by name
//!   prod-eu: {key: age1…, cluster: true}
//!   recovery: {key: age1…, required: true}
//! rules:                          # the first rule that matches decides
//! - path: clusters/prod/**
//!   namespace: team-*
//!   recipients: [prod-eu, recovery]
//!   scope: strict
//! - recipients: [prod-eu]
//! ```
//!
//! The file is reviewed like code, and it alone decides the recipients: nothing in a sealed file
//! and nothing in a cluster adds one. So it is read strictly: an unknown field, an unknown name or
//! a key under two names is an error with its place, not a guess. `docs/CONFIG.md` is the page for
//! users.

mod glob;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use thiserror::Error;

pub use glob::Glob;

use crate::{
    keys::{KeyError, NamedRecipient, Recipient},
    seal::Scope,
    yaml::YamlError,
};

/// The only value of `version`.
pub const VERSION: u64 = 1;

/// A checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    members: Vec<Member>,
    rules: Vec<Rule>,
}

/// A recipient and its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name and public key.
    pub recipient: NamedRecipient,
    /// Published by a cluster's KeyRing, so `recipients diff` compares it with that.
    pub cluster: bool,
    /// Every sealed file must carry it: the offline recovery key.
    pub required: bool,
}

/// Who can open what matches. Patterns left out match everything; both must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Pattern for the file, relative to the folder of the configuration file.
    pub path: Option<Glob>,
    /// Pattern for the namespace.
    pub namespace: Option<Glob>,
    /// Names of recipients.
    pub recipients: Vec<String>,
    /// The scope for new sealed resources, where the command line names none.
    pub scope: Option<Scope>,
}

/// What is wrong with a configuration. Positions count from 1; keys are never shown.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A rule names nobody, and no recipient is required.
    #[error("{at}rule {rule} has no recipients")]
    EmptyRule {
        /// Where.
        at: At,
        /// Number of the rule, from 1.
        rule: usize,
    },
    /// A public key is malformed, or a private one.
    #[error("{at}recipient `{name}`: {problem}")]
    Key {
        /// Where.
        at: At,
        /// Whose key.
        name: String,
        /// What is wrong.
        problem: KeyError,
    },
    /// A recipient's name is malformed. It may be a key pasted in the wrong place, so it is not shown.
    #[error("{at}{problem}")]
    Name {
        /// Where.
        at: At,
        /// What is wrong.
        problem: KeyError,
    },
    /// No rule matches; `rules` lists them.
    #[error(
        "no rule of .waxwing.yaml matches file `{path}`, namespace `{namespace}`; the rules are: {rules}"
    )]
    NoRule {
        /// The file.
        path: String,
        /// The namespace.
        namespace: String,
        /// Every rule in a few words.
        rules: String,
    },
    /// No rules at all.
    #[error("there are no rules; add one such as `- recipients: [NAME]`")]
    NoRules,
    /// A pattern is empty, absolute, climbs with `..`, or uses more than `*`, `**` and `?`.
    #[error(
        "{at}rule {rule}: `{field}` takes `*`, `?` and, alone between slashes, `**`; no `[ ] {{ }} ! \\`, no `..`, no slash at either end"
    )]
    Pattern {
        /// Where.
        at: At,
        /// Number of the rule, from 1.
        rule: usize,
        /// `path` or `namespace`.
        field: &'static str,
    },
    /// A private key stands somewhere in the file.
    #[error(
        "line {line}: a private key (AGE-SECRET-KEY) stands in this file. Remove it, also from Git's history, and destroy it: make a new key, because this one is exposed. Recipients are public keys (age1…)"
    )]
    PrivateKey {
        /// The line.
        line: usize,
    },
    /// One key under two names.
    #[error("{at}recipients `{first}` and `{second}` have the same key; keep one name")]
    SameKey {
        /// Where the second stands.
        at: At,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
    /// Two recipients of one name.
    #[error("recipient `{name}` is there twice")]
    SameName {
        /// The name.
        name: String,
    },
    /// A scope that does not exist.
    #[error("{at}rule {rule}: `scope` is one of strict, namespace, cluster")]
    Scope {
        /// Where.
        at: At,
        /// Number of the rule, from 1.
        rule: usize,
    },
    /// A rule names a recipient that is not there.
    #[error("{at}rule {rule}: no recipient is named {}; there are: {known}", shown(.name))]
    UnknownRecipient {
        /// Where.
        at: At,
        /// Number of the rule, from 1.
        rule: usize,
        /// The name, empty if it cannot be one.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// Another version of the file's shape.
    #[error("{at}`version` is {VERSION}; a newer waxwing may have written this file")]
    Version {
        /// Where.
        at: At,
    },
    /// Not YAML, or not of this shape.
    #[error(transparent)]
    Yaml(#[from] YamlError),
}

/// A place in the file, if it came from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct At(pub Option<(usize, usize)>);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |(line, column)| write!(f, "line {line}, column {column}: "))
    }
}

impl Config {
    /// Joins recipients and rules, and checks them against each other.
    pub fn new(members: Vec<Member>, rules: Vec<Rule>) -> Result<Self, ConfigError> {
        Self::checked(members, rules, &parse::Places::default())
    }

    /// Reads and checks a configuration file.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        parse::parse(text)
    }

    fn checked(
        mut members: Vec<Member>,
        rules: Vec<Rule>,
        places: &parse::Places,
    ) -> Result<Self, ConfigError> {
        let mut seen: BTreeMap<&Recipient, &str> = BTreeMap::new();
        let mut names: Vec<&str> = Vec::new();
        for member in &members {
            let name = member.recipient.name();
            if let Some(first) = seen.insert(member.recipient.recipient(), name) {
                let (first, second) = (first.to_owned(), name.to_owned());
                return Err(ConfigError::SameKey { at: places.member(name), first, second });
            }
            if names.contains(&name) {
                return Err(ConfigError::SameName { name: name.to_owned() });
            }
            names.push(name);
        }
        if rules.is_empty() {
            return Err(ConfigError::NoRules);
        }
        let required = members.iter().any(|member| member.required);
        for (index, rule) in rules.iter().enumerate() {
            if rule.recipients.is_empty() && !required {
                return Err(ConfigError::EmptyRule { at: places.rule(index, None), rule: index + 1 });
            }
            for (position, name) in rule.recipients.iter().enumerate() {
                if !names.contains(&name.as_str()) {
                    let name =
                        if crate::keys::is_recipient_name(name) { name.clone() } else { String::new() };
                    let at = places.rule(index, Some(position));
                    return Err(ConfigError::UnknownRecipient {
                        at,
                        rule: index + 1,
                        name,
                        known: names.join(", "),
                    });
                }
            }
        }
        members.sort_by(|left, right| left.recipient.name().cmp(right.recipient.name()));
        Ok(Self { members, rules })
    }

    /// All recipients, by name.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// All rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The first rule that matches. `path` is relative to the folder of the configuration file,
    /// with slashes; a resource without a namespace has the namespace "".
    pub fn rule_for(&self, path: &str, namespace: &str) -> Result<&Rule, ConfigError> {
        let path = path.trim_start_matches("./");
        self.rules.iter().find(|rule| rule.matches(path, namespace)).ok_or_else(|| ConfigError::NoRule {
            path: path.to_owned(),
            namespace: namespace.to_owned(),
            rules: self.rules.iter().map(Rule::to_string).collect::<Vec<_>>().join("; "),
        })
    }

    /// Who can open what is sealed into this file for this namespace: the recipients of the first
    /// rule that matches, and every required one, by name.
    pub fn recipients_for(&self, path: &str, namespace: &str) -> Result<Vec<NamedRecipient>, ConfigError> {
        let rule = self.rule_for(path, namespace)?;
        let chosen = |member: &&Member| {
            member.required || rule.recipients.iter().any(|name| name == member.recipient.name())
        };
        Ok(self.members.iter().filter(chosen).map(|member| member.recipient.clone()).collect())
    }

    /// The text of a configuration file that says this, with comments for who opens it first.
    pub fn render(&self) -> String {
        let mut out = String::from(
            "# Who can open what is sealed in this repository. Review changes of this file like code.\n\
             version: 1\n\
             recipients: # every public key, by name\n",
        );
        for member in &self.members {
            let named = &member.recipient;
            let flag = |name: &str, set: bool| if set { format!(", {name}: true") } else { String::new() };
            let flags = flag("cluster", member.cluster) + &flag("required", member.required);
            // A name may be all digits or a word such as `on`: then it needs its quotes.
            let name = crate::yaml::key_text(named.name());
            out.push_str(&format!("  {name}: {{key: {}{flags}}}\n", named.recipient()));
        }
        out.push_str("rules: # the first rule that matches decides\n");
        for rule in &self.rules {
            let mut lines = Vec::new();
            for (field, glob) in [("path", &rule.path), ("namespace", &rule.namespace)] {
                lines.extend(glob.iter().map(|glob| format!("{field}: {}", quoted(glob.as_str()))));
            }
            let names: Vec<_> = rule.recipients.iter().map(|name| crate::yaml::key_text(name)).collect();
            lines.push(format!("recipients: [{}]", names.join(", ")));
            lines.extend(rule.scope.map(|scope| format!("scope: {scope}")));
            out.push_str(&format!("- {}\n", lines.join("\n  ")));
        }
        out
    }
}

impl Rule {
    fn matches(&self, path: &str, namespace: &str) -> bool {
        self.path.as_ref().is_none_or(|glob| glob.matches(path))
            && self.namespace.as_ref().is_none_or(|glob| glob.matches(namespace))
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.path, &self.namespace) {
            (None, None) => f.write_str("everything"),
            (Some(path), None) => write!(f, "path `{path}`"),
            (None, Some(namespace)) => write!(f, "namespace `{namespace}`"),
            (Some(path), Some(namespace)) => write!(f, "path `{path}` with namespace `{namespace}`"),
        }
    }
}

/// A pattern holds no control characters and no backslash, so only the quote needs an escape.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\\\""))
}

fn shown(name: &str) -> String {
    if name.is_empty() { "so (a name, not a key, belongs here)".to_owned() } else { format!("`{name}`") }
}
