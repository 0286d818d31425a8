//! Grafana's provisioning documents: what it takes, and what Waxwing makes of them.
//!
//! An injection is one tree with the names `datasources`, `contactPoints` and `policies`, each a list of native provisioning
//! documents. So a place such as `contactPoints[0].receivers[1].settings.url` means the same in a finding, in status and in
//! the resource. What Grafana does with a document was read in its sources and is told in `docs/GRAFANA.md`.

pub mod api;
mod document;
mod field;
mod json;
mod policy;
mod quarantine;
mod receivers;
mod validate;

pub use document::{
    Entry, EntryKind, File, FileKind, Inventory, InventoryError, Scope, empty_file, file_key, files,
    tombstones,
};
pub use field::{Expected, Kind, Misfit, dummy, expected, fits};
pub use quarantine::{Broken, Quarantined, quarantine};
pub use validate::{Finding, Known, Part, Rule, Severity, part, validate};

/// The list of data sources.
pub const DATASOURCES: &str = "datasources";
/// The list of contact points.
pub const CONTACT_POINTS: &str = "contactPoints";
/// The list of notification policies, one tree for each organisation.
pub const POLICIES: &str = "policies";
/// What Grafana shows in the place of a secret. Sent back, it means "keep what is there".
pub const REDACTED: &str = "[REDACTED]";

use crate::inject::Node;

/// The items of one of the three lists.
fn list<'a>(document: &'a Node, name: &str) -> &'a [Node] {
    document.get(name).and_then(Node::as_list).unwrap_or_default()
}

/// The contact points of a document, by organisation and name.
pub fn contact_points(document: &Node) -> impl Iterator<Item = (i64, String)> {
    let name = |point| Some((org_of(point), text_of(point, "name")?.to_owned()));
    list(document, CONTACT_POINTS).iter().filter_map(name)
}

/// The text of a name, if it has one.
fn text_of<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    node.get(name)?.text()
}

/// The organisation of an entry. Grafana takes the first one where none is written.
pub(crate) fn org_of(node: &Node) -> i64 {
    match node.get("orgId") {
        Some(Node::Number(number)) => number.as_i64().filter(|org| *org > 0).unwrap_or(1),
        _ => 1,
    }
}
