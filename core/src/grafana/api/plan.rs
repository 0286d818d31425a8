//! What to ask Grafana, and what to write after its answers.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    grafana::{CONTACT_POINTS, DATASOURCES, Entry, EntryKind, Inventory, POLICIES, list, org_of, text_of},
    inject::{Node, Steps},
};

use super::{Answer, ContactPoint, Datasource, Policies, Refusal, Request};

/// A question, and what its answer is about.
pub struct Look {
    /// What is asked.
    pub request: Request,
    about: About,
}

enum About {
    ContactPoints(i64),
    Datasource(i64, String),
    Named(i64, String),
    Policies(i64),
}

/// What Grafana has, as far as it has been asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Current {
    datasources: BTreeMap<(i64, String), Datasource>,
    /// Data sources by name.
    named: BTreeSet<(i64, String)>,
    contact_points: BTreeMap<(i64, String), ContactPoint>,
    policies: BTreeMap<i64, Policies>,
}

impl Current {
    /// Takes an answer in.
    ///
    /// # Errors
    /// Grafana refuses, or answers something else.
    pub fn take(&mut self, look: &Look, answer: Answer<'_>) -> Result<(), Refusal> {
        match &look.about {
            About::Datasource(org, uid) => {
                let seen = Datasource::read(answer)?;
                self.datasources.extend(seen.map(|seen| ((*org, uid.clone()), seen)));
            }
            About::Named(org, name) => {
                let seen = Datasource::read(answer)?;
                self.named.extend(seen.map(|_| (*org, name.clone())));
            }
            About::ContactPoints(org) => {
                let seen = ContactPoint::read(answer)?;
                self.contact_points.extend(seen.into_iter().map(|seen| ((*org, seen.uid.clone()), seen)));
            }
            About::Policies(org) => self.policies.extend(Policies::read(answer)?.map(|seen| (*org, seen))),
        }
        Ok(())
    }
}

impl Current {
    /// The contact points that there are, by organisation and name.
    #[must_use]
    pub fn contact_points(&self) -> BTreeSet<(i64, String)> {
        self.contact_points.iter().map(|((org, _), seen)| (*org, seen.name.clone())).collect()
    }

    /// What of these is still there, after the answers to [`looks_for`]. A tree is gone when no file owns it any more.
    #[must_use]
    pub fn remaining(&self, tombstones: &Inventory) -> Inventory {
        let is_there = |entry: &&Entry| {
            let key = (entry.org, entry.id.clone());
            match entry.kind {
                EntryKind::ContactPoint => self.contact_points.contains_key(&key),
                EntryKind::Datasource => self.named.contains(&key),
                EntryKind::Policies => self.policies.get(&entry.org).is_some_and(Policies::is_of_a_file),
            }
        };
        Inventory(tombstones.0.iter().filter(is_there).cloned().collect())
    }
}

/// What has to be asked to know whether files have deleted what they were to delete.
#[must_use]
pub fn looks_for(tombstones: &Inventory) -> Vec<Look> {
    let mut looks = looks(&Node::Null, tombstones);
    for entry in tombstones.0.iter().filter(|entry| entry.kind == EntryKind::Datasource) {
        let about = About::Named(entry.org, entry.id.clone());
        looks.push(Look { request: Datasource::look_named(entry.org, &entry.id), about });
    }
    looks
}

/// Everything that has to be asked about a document and what is to be deleted.
#[must_use]
pub fn looks(document: &Node, tombstones: &Inventory) -> Vec<Look> {
    let mut looks = Vec::new();
    for node in list(document, DATASOURCES) {
        let Some(uid) = text_of(node, "uid") else { continue };
        let org = org_of(node);
        looks.push(Look {
            request: Datasource::look(org, uid),
            about: About::Datasource(org, uid.to_owned()),
        });
    }
    let of = |kind| tombstones.0.iter().filter(move |entry| entry.kind == kind).map(|entry| entry.org);
    // Policies may name contact points that are not the document's.
    let points = list(document, CONTACT_POINTS).iter().chain(list(document, POLICIES)).map(org_of);
    let points = points.chain(of(EntryKind::ContactPoint));
    for org in points.collect::<BTreeSet<_>>() {
        looks.push(Look { request: ContactPoint::look(org), about: About::ContactPoints(org) });
    }
    let trees = list(document, POLICIES).iter().map(org_of).chain(of(EntryKind::Policies));
    for org in trees.collect::<BTreeSet<_>>() {
        looks.push(Look { request: Policies::look(org), about: About::Policies(org) });
    }
    looks
}

/// How to write.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Whether entries stay editable in Grafana's own pages (`X-Disable-Provenance`).
    pub is_editable: bool,
    /// Entries whose credentials are others than those that were written last: Grafana does not show which it has.
    pub rotated: BTreeSet<Entry>,
}

/// Where Grafana has something else than the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The entry in the document.
    pub at: Steps,
    /// What of it, below that.
    pub fields: Vec<String>,
    /// Whether a provisioning file owns it in Grafana, so that it cannot be corrected.
    pub is_of_a_file: bool,
}

/// A request that changes Grafana.
pub struct Write {
    /// What it changes.
    pub entry: Entry,
    /// The request.
    pub request: Request,
    /// Whether it deletes: then 404 means that it is done.
    pub is_deletion: bool,
}

/// What is to be written, in this order, and what was found otherwise than written.
#[derive(Default)]
pub struct Plan {
    /// The requests.
    pub writes: Vec<Write>,
    /// What drifted.
    pub drift: Vec<Drift>,
}

/// Compares. Contact points come before the policies that use them, and are deleted after.
#[must_use]
pub fn plan(document: &Node, current: &Current, tombstones: &Inventory, options: &Options) -> Plan {
    let mut plan = Plan::default();
    for (index, node) in list(document, DATASOURCES).iter().enumerate() {
        let (Some(uid), Some(name)) = (text_of(node, "uid"), text_of(node, "name")) else { continue };
        let org = org_of(node);
        let seen = current.datasources.get(&(org, uid.to_owned()));
        let entry = Entry { kind: EntryKind::Datasource, org, id: name.to_owned() };
        let drift = seen.map(|seen| (seen.drift(node), seen.is_of_a_file()));
        let at = Steps::default().name(DATASOURCES).item(index);
        plan.add(entry, at, drift, options, || Datasource::write(node, seen));
    }
    for (index, point) in list(document, CONTACT_POINTS).iter().enumerate() {
        let org = org_of(point);
        let receivers = point.get("receivers").and_then(Node::as_list).unwrap_or_default();
        for (number, receiver) in receivers.iter().enumerate() {
            let Some(uid) = text_of(receiver, "uid") else { continue };
            let seen = current.contact_points.get(&(org, uid.to_owned()));
            let entry = Entry { kind: EntryKind::ContactPoint, org, id: uid.to_owned() };
            let drift = seen.map(|seen| (seen.drift(point, receiver), seen.is_of_a_file()));
            let at = Steps::default().name(CONTACT_POINTS).item(index).name("receivers").item(number);
            plan.add(entry, at, drift, options, || {
                ContactPoint::write(org, point, receiver, seen, options.is_editable)
            });
        }
    }
    for (index, tree) in list(document, POLICIES).iter().enumerate() {
        let org = org_of(tree);
        let drift = current.policies.get(&org).map(|seen| {
            (if seen.is(tree) { Vec::new() } else { vec!["tree".to_owned()] }, seen.is_of_a_file())
        });
        let entry = Entry { kind: EntryKind::Policies, org, id: String::new() };
        let at = Steps::default().name(POLICIES).item(index);
        plan.add(entry, at, drift, options, || Policies::write(tree, options.is_editable));
    }
    plan.delete(tombstones, current);
    plan
}

impl Plan {
    fn add(
        &mut self,
        entry: Entry,
        at: Steps,
        drift: Option<(Vec<String>, bool)>,
        options: &Options,
        write: impl FnOnce() -> Request,
    ) {
        let is_new = drift.is_none();
        let (fields, is_of_a_file) = drift.unwrap_or_default();
        let is_due = is_new || !fields.is_empty() || options.rotated.contains(&entry);
        // Grafana refuses to change what a file owns, so that is told even where nothing else differs.
        if !fields.is_empty() || is_of_a_file {
            self.drift.push(Drift { at, fields, is_of_a_file });
        }
        if is_due && !is_of_a_file {
            self.writes.push(Write { entry, request: write(), is_deletion: false });
        }
    }

    fn delete(&mut self, tombstones: &Inventory, current: &Current) {
        // A tree refers to contact points, so it goes first.
        let mut entries: Vec<_> = tombstones.0.iter().collect();
        entries.sort_by_key(|entry| entry.kind != EntryKind::Policies);
        for entry in entries {
            let key = (entry.org, entry.id.clone());
            let request = match entry.kind {
                EntryKind::Policies => Policies::reset(entry.org),
                EntryKind::ContactPoint if !current.contact_points.contains_key(&key) => continue,
                EntryKind::ContactPoint => ContactPoint::delete(entry.org, &entry.id),
                EntryKind::Datasource => Datasource::delete(entry.org, &entry.id),
            };
            self.writes.push(Write { entry: entry.clone(), request, is_deletion: true });
        }
    }
}
