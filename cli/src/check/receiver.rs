//! AlertReceivers: what each says for itself, and what becomes of it in its injection.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    inject::{Node, Steps},
    injection::{
        alertmanager::Spec,
        include::{self, Team},
    },
    yaml,
};
use waxwing_crds::{AlertReceiver, Include, Native};

use super::{
    Check, Rule, alertmanager, joined,
    tree::{Kind, Object, Tree},
};

/// The AlertReceivers of a tree, by the injection that each names.
pub(crate) struct Receivers {
    by_injection: BTreeMap<(String, String), Vec<(usize, AlertReceiver)>>,
}

impl Receivers {
    /// All of them.
    pub(crate) fn of(tree: &Tree) -> Self {
        let mut by_injection: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (index, object) in tree.objects.iter().enumerate() {
            if object.kind == Kind::AlertReceiver
                && let Ok(receiver) = yaml::from_value::<AlertReceiver>(tree.value(object))
            {
                let injection = &receiver.spec.injection;
                let name = (injection.namespace.clone(), injection.name.clone());
                by_injection.entry(name).or_default().push((index, receiver));
            }
        }
        Self { by_injection }
    }

    /// The receivers that an injection asks for and that want it, by their place in the tree.
    pub(crate) fn teams<'a>(
        &'a self,
        tree: &'a Tree,
        labels: &BTreeMap<String, BTreeMap<String, String>>,
        injection: &Object,
        spec: &'a Spec,
    ) -> Vec<(usize, Team<'a>)> {
        let name = (injection.namespace.clone(), injection.name.clone());
        let none = BTreeMap::new();
        let team = |(index, receiver): &'a (usize, AlertReceiver)| {
            let Object { namespace, name, .. } = &tree.objects[*index];
            let own = receiver.metadata.labels.as_ref().unwrap_or(&none);
            let of_namespace = labels.get(namespace).unwrap_or(&none);
            let selects = |include: &&Include| {
                include::selects(include, &injection.namespace, namespace, own, of_namespace)
            };
            let label = include::label(spec.include.iter().find(selects)?);
            Some((*index, Team { namespace, name, spec: &receiver.spec, label }))
        };
        self.by_injection.get(&name).into_iter().flatten().filter_map(team).collect()
    }

    /// Puts the receivers that an injection takes in into its document. Those that it would not take in are found.
    pub(super) fn include(
        &self,
        check: &mut Check<'_>,
        index: usize,
        spec: &Spec,
        document: &mut Node,
        used: &mut BTreeSet<usize>,
    ) {
        let tree = check.tree;
        let teams = self.teams(tree, &check.known.labels, &tree.objects[index], spec);
        let (indexes, teams): (Vec<usize>, Vec<Team<'_>>) = teams.into_iter().unzip();
        for (team, fault) in include::include(document, &teams, &spec.target) {
            let (at, message) = check.place(indexes[team], &fault.message);
            check.find(indexes[team], at, Rule::ReceiverRefused, message);
        }
        used.extend(indexes);
    }
}

/// What an AlertReceiver says for itself.
pub(super) fn check(check: &mut Check<'_>, index: usize) {
    let Some(receiver) = check.typed::<AlertReceiver>(index) else { return };
    let namespace = check.object(index).namespace.clone();
    let base = Steps::default().name("spec");
    let routes = receiver.spec.routes.iter().enumerate();
    let parts = std::iter::once((base.name("receiver"), &receiver.spec.receiver))
        .chain(routes.map(|(number, route)| (base.name("routes").item(number), route)));
    for (at, Native(value)) in parts {
        match Node::read(value) {
            Ok(node) => {
                check.references(index, &at, &node, &namespace, &|_| false);
                literals(check, index, &at, node);
            }
            // Its message begins with a place in the part.
            Err(error) => check.find(index, at, Rule::SpecInvalid, error.to_string()),
        }
    }
}

/// A credential is known by its place in a whole document.
fn literals(check: &mut Check<'_>, index: usize, base: &Steps, receiver: Node) {
    let document = Node::Map(BTreeMap::from([("receivers".to_owned(), Node::List(vec![receiver]))]));
    for (at, rule, message) in alertmanager::literals(&document) {
        let at = Steps(at.0[2..].to_vec());
        check.find(index, joined(base, &at), rule, message);
    }
}

/// Receivers that no injection takes in.
pub(super) fn unused(check: &mut Check<'_>, receivers: &Receivers, used: &BTreeSet<usize>) {
    for ((namespace, name), receivers) in &receivers.by_injection {
        for (index, _) in receivers.iter().filter(|(index, _)| !used.contains(index)) {
            let at = Steps::default().name("spec").name("injection");
            let message = format!("nothing here takes it in as AlertmanagerInjection {namespace}/{name}");
            check.find(*index, at, Rule::ReceiverUnused, message);
        }
    }
}
