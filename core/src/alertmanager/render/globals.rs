//! Which integrations need what stands under `global`.

use std::collections::BTreeSet;

use super::{
    Steps, receiver_at,
    schema::{
        inherited::{FAMILIES, HTTP_CONFIG as HTTP},
        is_integration,
    },
};
use crate::inject::{Node, Step};

/// The name under `global` that a place lies in.
fn name(at: &Steps) -> Option<&str> {
    match at.0.as_slice() {
        [Step::Name(global), Step::Name(name), ..] if global == "global" => Some(name),
        _ => None,
    }
}

/// Whether a place lies under `global`, and it is known who needs it.
pub(super) fn is_global(at: &Steps) -> bool {
    name(at).is_some_and(|name| name == HTTP || FAMILIES.iter().any(|family| name.starts_with(family.prefix)))
}

/// The integrations that take what stands at a place under `global`; none where it is not known who does.
pub(super) fn integrations(config: &Node, at: &Steps) -> Option<Vec<Steps>> {
    let name = name(at)?;
    let (own, taker) = match FAMILIES.iter().find(|family| name.starts_with(family.prefix)) {
        Some(family) => (name.strip_prefix(family.prefix)?, Some(family.list)),
        None if name == HTTP => (HTTP, None),
        None => return None,
    };
    let takes = |list: &str| taker.map_or(list != "email_configs", |taker| list == taker);
    // From a file is from elsewhere too.
    let (own, from_file) =
        (own.strip_suffix("_file").unwrap_or(own), format!("{}_file", own.trim_end_matches("_file")));
    let has_own =
        |integration: &Node| integration.get(own).is_some() || integration.get(&from_file).is_some();
    let mut found = Vec::new();
    let receivers = config.get("receivers").and_then(Node::as_list).unwrap_or_default();
    for (index, receiver) in receivers.iter().enumerate() {
        let lists = receiver.as_map().into_iter().flatten();
        for (list, items) in lists.filter(|(list, _)| is_integration(list) && takes(list)) {
            let items = items.as_list().unwrap_or_default().iter().enumerate();
            let needy = items.filter(|(_, integration)| !has_own(integration));
            found.extend(needy.map(|(item, _)| receiver_at(index).name(list).item(item)));
        }
    }
    Some(found)
}

/// Removes what is broken under `global`.
pub(super) fn remove<'a>(config: &mut Node, broken: impl Iterator<Item = &'a Steps>) {
    let Node::Map(root) = config else { return };
    let Some(Node::Map(global)) = root.get_mut("global") else { return };
    let names: BTreeSet<&str> = broken.filter_map(name).collect();
    global.retain(|name, _| !names.contains(name.as_str()));
}
