//! From the text of a configuration file to its checked form, with the place of every error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::{Location, Spanned};

use super::{At, Config, ConfigError, Glob, Member, Rule, VERSION};
use crate::{
    keys::{KeyError, NamedRecipient, Recipient, is_recipient_name},
    seal::Scope,
    yaml,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    version: Spanned<u64>,
    recipients: BTreeMap<String, RawMember>,
    rules: Vec<RawRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMember {
    key: Spanned<String>,
    #[serde(default)]
    cluster: bool,
    #[serde(default)]
    required: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRule {
    path: Option<Spanned<String>>,
    namespace: Option<Spanned<String>>,
    recipients: Vec<Spanned<String>>,
    scope: Option<Spanned<String>>,
}

/// Where names and rules stand.
#[derive(Default)]
pub(super) struct Places {
    members: BTreeMap<String, At>,
    rules: Vec<Vec<At>>,
}

impl Places {
    pub(super) fn member(&self, name: &str) -> At {
        self.members.get(name).copied().unwrap_or_default()
    }

    pub(super) fn rule(&self, rule: usize, recipient: Option<usize>) -> At {
        let rule = self.rules.get(rule);
        rule.and_then(|names| names.get(recipient.unwrap_or_default())).copied().unwrap_or_default()
    }
}

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    // In any place, a comment too, and before anything could quote it.
    if let Some(line) = text.lines().position(|line| line.to_ascii_uppercase().contains("AGE-SECRET-KEY-")) {
        return Err(ConfigError::PrivateKey { line: line + 1 });
    }
    let raw: RawConfig = yaml::from_str(text)?;
    if raw.version.value != VERSION {
        return Err(ConfigError::Version { at: at(&raw.version) });
    }
    let mut places = Places::default();
    let mut members = Vec::new();
    for (name, member) in raw.recipients {
        let at = at(&member.key);
        if !is_recipient_name(&name) {
            return Err(ConfigError::Name { at, problem: KeyError::MalformedName });
        }
        let problem = |problem| ConfigError::Key { at, name: name.clone(), problem };
        let recipient: Recipient = member.key.value.parse().map_err(problem)?;
        let recipient = NamedRecipient::new(&name, recipient).map_err(problem)?;
        members.push(Member { recipient, cluster: member.cluster, required: member.required });
        places.members.insert(name, at);
    }
    let mut rules = Vec::new();
    for (index, raw) in raw.rules.into_iter().enumerate() {
        places.rules.push(raw.recipients.iter().map(at).collect());
        rules.push(rule(index + 1, raw)?);
    }
    Config::checked(members, rules, &places)
}

fn rule(rule: usize, raw: RawRule) -> Result<Rule, ConfigError> {
    let glob = |field: &'static str, pattern: Option<Spanned<String>>| {
        let check = |pattern: Spanned<String>| {
            let glob =
                Glob::new(&pattern.value).filter(|glob| field == "path" || !glob.as_str().contains('/'));
            glob.ok_or(ConfigError::Pattern { at: at(&pattern), rule, field })
        };
        pattern.map(check).transpose()
    };
    let scope = |scope: Spanned<String>| {
        scope.value.parse::<Scope>().map_err(|_| ConfigError::Scope { at: at(&scope), rule })
    };
    Ok(Rule {
        path: glob("path", raw.path)?,
        namespace: glob("namespace", raw.namespace)?,
        recipients: raw.recipients.into_iter().map(|name| name.value).collect(),
        scope: raw.scope.map(scope).transpose()?,
    })
}

fn at<T>(spanned: &Spanned<T>) -> At {
    let place = spanned.referenced;
    At((place != Location::UNKNOWN).then(|| (place.line() as usize, place.column() as usize)))
}
