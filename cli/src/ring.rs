//! What a KeyRing publishes for new seals, as recipients for `.waxwing.yaml`.

use std::{fs, path::Path};

use serde_json::Value;
use waxwing_core::{
    config::Member,
    keys::{NamedRecipient, Recipient},
    yaml,
};
use waxwing_crds::{KeyRing, KeyState, names};

use crate::error::{Explain, Failure, Result};

/// Takes `WHAT[=NAME]` apart.
pub(crate) fn split(given: &str) -> (&str, Option<&str>) {
    given.rsplit_once('=').map_or((given, None), |(what, name)| (what, Some(name)))
}

/// A KeyRing from a file, as `kubectl get -o yaml` or `-o json` prints it.
pub(crate) fn read(path: &Path) -> Result<KeyRing> {
    let text = fs::read_to_string(path).at(path.display())?;
    let value: Value = yaml::from_str(&text).at(path.display())?;
    if value["apiVersion"] != names::API_VERSION || value["kind"] != "KeyRing" {
        return Err(Failure::new(format!("not a KeyRing of {}", names::API_VERSION)).at(path.display()));
    }
    yaml::from_str(&text).at(path.display())
}

/// The ring's active key under `name`, and the further recipients that it publishes.
pub(crate) fn members(ring: &KeyRing, name: &str) -> Result<Vec<Member>> {
    let active = active(ring)?;
    let mut members =
        vec![Member { recipient: NamedRecipient::new(name, active)?, cluster: true, required: false }];
    for further in &ring.spec.recipients {
        let recipient = NamedRecipient::new(&further.name, further.recipient.parse()?)?;
        members.push(Member { recipient, cluster: false, required: further.required.unwrap_or(false) });
    }
    Ok(members)
}

/// The recipient that the ring publishes for new seals.
pub(crate) fn active(ring: &KeyRing) -> Result<Recipient> {
    let status = ring.status.as_ref();
    let mut active =
        status.iter().flat_map(|status| &status.keys).filter(|key| key.state == KeyState::Active);
    let key = active.next().ok_or_else(|| {
        Failure::new("the KeyRing has no active key")
            .hint("wait until its Ready condition is true, and take its status along")
    })?;
    Ok(key.recipient.parse()?)
}

/// A context's name as the name of a recipient: what can't stand in one becomes a dash.
#[cfg(feature = "cluster")]
pub(crate) fn as_name(context: &str) -> String {
    let name: String = context
        .to_ascii_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    name.trim_matches('-').to_owned()
}
