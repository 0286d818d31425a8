//! Provisioning files: what is published for Grafana to read.
//!
//! Grafana expands `$` in every text value, but not in names and numbers: it splits a value at `$$`, expands each piece
//! twice, and joins the pieces with `$`. So with each `$` doubled no piece holds one, and any value arrives as it is.
//! References to files or variables are not used: what they bring is expanded again.
//!
//! Removing an entry from a file leaves it in Grafana's database. It goes when a file says so: that is a tombstone. A
//! tombstone acts at every reload, also against an entry that somebody else has made since, so it is written for entries
//! that this injection itself had published, until Grafana has read it, and never for one that another injection claims.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{
    Secret,
    inject::{Node, to_yaml},
};

use super::{CONTACT_POINTS, DATASOURCES, POLICIES, list, org_of, text_of};

const DELETE_DATASOURCES: &str = "deleteDatasources";
const DELETE_CONTACT_POINTS: &str = "deleteContactPoints";
const RESET_POLICIES: &str = "resetPolicies";

/// The longest key of a Secret.
const KEY_MAX: usize = 253;

/// The injection that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// The folders that Grafana reads files from.
///
/// Contact points and policies share a file: whoever copies files for Grafana reloads after each, and a policy that comes
/// before its contact point stops everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// `provisioning/alerting`.
    Alerting,
    /// `provisioning/datasources`.
    Datasources,
}

impl FileKind {
    /// The folder below `provisioning`, and the word in the path of the reload call.
    #[must_use]
    pub fn folder(self) -> &'static str {
        match self {
            Self::Alerting => "alerting",
            Self::Datasources => "datasources",
        }
    }

    /// The label by which Grafana's sidecar finds a Secret with such a file.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Alerting => "grafana_alert",
            Self::Datasources => "grafana_datasource",
        }
    }
}

/// One file.
pub struct File {
    /// What it holds.
    pub kind: FileKind,
    /// Its name, and the key of the Secret that carries it.
    pub key: String,
    /// Its bytes. They hold credentials.
    pub content: Zeroizing<Vec<u8>>,
}

/// The name of a file. No two injections share one: a namespace has no dot, so the first dot ends it, and what follows the
/// name is the same for all.
#[must_use]
pub fn file_key(scope: Scope<'_>, kind: FileKind) -> String {
    let Scope { namespace, name } = scope;
    let tail = format!(".{}.yaml", kind.folder());
    let room = KEY_MAX - namespace.len() - 1 - tail.len();
    if name.len() <= room {
        return format!("{namespace}.{name}{tail}");
    }
    // No object's name has an underscore.
    let digest: String = Sha256::digest(name).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let start: String = name.chars().take(room - digest.len() - 1).collect();
    format!("{namespace}.{start}_{digest}{tail}")
}

/// A file that says nothing: what copies files for Grafana may not remove one whose key is gone.
#[must_use]
pub fn empty_file(scope: Scope<'_>, kind: FileKind) -> File {
    let version = Node::Map([("apiVersion".to_owned(), Node::Number(1.into()))].into());
    File { kind, key: file_key(scope, kind), content: to_yaml(&version) }
}

/// The files for a resolved document. A kind with neither entries nor tombstones has none.
#[must_use]
pub fn files(scope: Scope<'_>, document: &Node, tombstones: &Inventory) -> Vec<File> {
    [FileKind::Alerting, FileKind::Datasources]
        .into_iter()
        .filter_map(|kind| {
            let mut names = body(document, tombstones, kind);
            if names.is_empty() {
                return None;
            }
            names.insert("apiVersion".to_owned(), Node::Number(1.into()));
            let content = to_yaml(&doubled(&Node::Map(names)));
            Some(File { kind, key: file_key(scope, kind), content })
        })
        .collect()
}

fn body(document: &Node, tombstones: &Inventory, kind: FileKind) -> BTreeMap<String, Node> {
    let mut names = BTreeMap::new();
    let mut put = |name: &str, items: Vec<Node>| {
        if !items.is_empty() {
            names.insert(name.to_owned(), Node::List(items));
        }
    };
    let of = |kind| tombstones.0.iter().filter(move |entry| entry.kind == kind);
    let named = |field: &str, entry: &Entry| {
        let org = Node::Number(entry.org.into());
        Node::Map([("orgId".to_owned(), org), (field.to_owned(), Node::Text(entry.id.clone()))].into())
    };
    match kind {
        FileKind::Alerting => {
            put(CONTACT_POINTS, list(document, CONTACT_POINTS).to_vec());
            put(POLICIES, list(document, POLICIES).to_vec());
            put(
                DELETE_CONTACT_POINTS,
                of(EntryKind::ContactPoint).map(|entry| named("uid", entry)).collect(),
            );
            put(
                RESET_POLICIES,
                of(EntryKind::Policies).map(|entry| Node::Number(entry.org.into())).collect(),
            );
        }
        FileKind::Datasources => {
            put(DATASOURCES, list(document, DATASOURCES).to_vec());
            put(DELETE_DATASOURCES, of(EntryKind::Datasource).map(|entry| named("name", entry)).collect());
        }
    }
    names
}

/// The same tree with every `$` of its texts doubled. Names stay: Grafana does not expand them.
fn doubled(node: &Node) -> Node {
    match node {
        Node::Text(text) => Node::Text(text.replace('$', "$$")),
        Node::Secret(secret) => {
            let value = secret.expose(); // to write it out
            let dollars = value.iter().filter(|byte| **byte == b'$').count();
            let mut bytes = Vec::with_capacity(value.len() + dollars);
            for byte in value {
                bytes.push(*byte);
                if *byte == b'$' {
                    bytes.push(b'$');
                }
            }
            Node::Secret(Secret::new(bytes))
        }
        Node::List(items) => Node::List(items.iter().map(doubled).collect()),
        Node::Map(map) => Node::Map(map.iter().map(|(name, value)| (name.clone(), doubled(value))).collect()),
        Node::Null | Node::Bool(_) | Node::Number(_) | Node::Leaf(_) => node.clone(),
    }
}

/// What kind of thing Grafana's database holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// One receiver of a contact point, known by its `uid`.
    ContactPoint,
    /// A data source, known by its name.
    Datasource,
    /// The tree of an organisation.
    Policies,
}

/// Something in Grafana's database.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// The organisation that it belongs to.
    pub org: i64,
    /// The `uid` or name; empty for a tree.
    pub id: String,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            EntryKind::ContactPoint => write!(f, "contact point with uid {}", self.id)?,
            EntryKind::Datasource => write!(f, "data source {}", self.id)?,
            EntryKind::Policies => f.write_str("notification policies")?,
        }
        if self.org == 1 { Ok(()) } else { write!(f, " of organisation {}", self.org) }
    }
}

/// What a document puts into Grafana's database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory(pub BTreeSet<Entry>);

/// A file that is none of ours. Never shows what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is no provisioning file of Grafana")]
pub struct InventoryError;

impl Inventory {
    /// What a document has, whether it is resolved or not.
    ///
    /// To know what leaves, take the document before [`super::quarantine`]: an entry that is broken has not left.
    #[must_use]
    pub fn of(document: &Node) -> Self {
        let entry = |kind, org, id: &str| Entry { kind, org, id: id.to_owned() };
        let mut entries = BTreeSet::new();
        for node in list(document, DATASOURCES) {
            entries
                .extend(text_of(node, "name").map(|name| entry(EntryKind::Datasource, org_of(node), name)));
        }
        for node in list(document, CONTACT_POINTS) {
            let receivers = node.get("receivers").and_then(Node::as_list).unwrap_or_default();
            let uids = receivers.iter().filter_map(|receiver| text_of(receiver, "uid"));
            entries.extend(uids.map(|uid| entry(EntryKind::ContactPoint, org_of(node), uid)));
        }
        for node in list(document, POLICIES) {
            entries.insert(entry(EntryKind::Policies, org_of(node), ""));
        }
        Self(entries)
    }

    /// What a published file has: its entries, and its tombstones.
    ///
    /// # Errors
    /// It is none of ours.
    pub fn read(file: &[u8]) -> Result<(Self, Self), InventoryError> {
        let text = std::str::from_utf8(file).map_err(|_| InventoryError)?;
        let file: Published = crate::yaml::from_str(text).map_err(|_| InventoryError)?;
        let entry = |kind, org: Option<i64>, id: &str| {
            let org = org.filter(|org| *org > 0).unwrap_or(1);
            Entry { kind, org, id: id.replace("$$", "$") }
        };
        let mut live = BTreeSet::new();
        live.extend(file.datasources.iter().map(|it| entry(EntryKind::Datasource, it.org_id, &it.name)));
        for point in &file.contact_points {
            let uids = point.receivers.iter().map(|it| entry(EntryKind::ContactPoint, point.org_id, &it.uid));
            live.extend(uids);
        }
        live.extend(file.policies.iter().map(|it| entry(EntryKind::Policies, it.org_id, "")));
        let mut buried = BTreeSet::new();
        buried.extend(
            file.delete_datasources.iter().map(|it| entry(EntryKind::Datasource, it.org_id, &it.name)),
        );
        buried.extend(
            file.delete_contact_points.iter().map(|it| entry(EntryKind::ContactPoint, it.org_id, &it.uid)),
        );
        buried.extend(file.reset_policies.iter().map(|org| entry(EntryKind::Policies, Some(*org), "")));
        Ok((Self(live), Self(buried)))
    }

    /// Both.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }
}

/// What is to be deleted: what was there `before` and is neither in the document of `now` nor `claimed` by another
/// injection. When the injection itself goes, `now` is empty.
#[must_use]
pub fn tombstones(before: &Inventory, now: &Inventory, claimed: &Inventory) -> Inventory {
    Inventory(before.0.iter().filter(|it| !now.0.contains(it) && !claimed.0.contains(it)).cloned().collect())
}

/// The parts of a file that say what it is about. Everything else is passed over, credentials above all.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Published {
    datasources: Vec<Named>,
    delete_datasources: Vec<Named>,
    contact_points: Vec<Point>,
    delete_contact_points: Vec<Uid>,
    policies: Vec<Tree>,
    reset_policies: Vec<i64>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(rename = "orgId")]
    org_id: Option<i64>,
}

#[derive(Deserialize)]
struct Point {
    #[serde(rename = "orgId")]
    org_id: Option<i64>,
    #[serde(default)]
    receivers: Vec<Uid>,
}

#[derive(Deserialize)]
struct Uid {
    uid: String,
    #[serde(rename = "orgId")]
    org_id: Option<i64>,
}

#[derive(Deserialize)]
struct Tree {
    #[serde(rename = "orgId")]
    org_id: Option<i64>,
}

#[cfg(test)]
mod tests;
