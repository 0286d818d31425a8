//! A GrafanaInjection: its references, its literals, and what Grafana would say of it.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    grafana::Scope,
    inject::{Node, Steps},
    injection::{
        Refused,
        grafana::{Around, Spec, literals, with_dummies},
    },
    yaml,
};
use waxwing_crds::GrafanaInjection;

use super::{
    Check, Rule, joined,
    tree::{Kind, Tree},
};

/// Names of contact points, by organisation.
type ContactPoints = BTreeSet<(i64, String)>;

/// The contact points of every injection: a policy may name those of others.
pub(super) fn contact_points(tree: &Tree) -> ContactPoints {
    let mut around = Around::default();
    for object in tree.objects.iter().filter(|object| object.kind == Kind::GrafanaInjection) {
        let read = yaml::from_value::<GrafanaInjection>(tree.value(object));
        if let Ok(spec) =
            read.map_err(drop).and_then(|read| Spec::read(&object.name, &read.spec).map_err(drop))
        {
            around.add(&spec.document);
        }
    }
    around.contact_points
}

pub(super) fn check(check: &mut Check<'_>, index: usize, contact_points: &ContactPoints) {
    let Some(injection) = check.typed::<GrafanaInjection>(index) else { return };
    let object = check.object(index);
    let (namespace, name) = (object.namespace.clone(), object.name.clone());
    let spec = match Spec::read(&name, &injection.spec) {
        Ok(spec) => spec,
        Err(fault) => return check.fault(index, &fault),
    };
    let base = Steps::default().name("spec");
    check.references(index, &base, &spec.document, &namespace, &|_| false);
    if let Some(auth) = &spec.target.auth {
        for reference in auth.references() {
            check.reference(index, base.name("target").name("auth"), &namespace, reference);
        }
    }
    let literals = literals(&spec.document);
    for literal in &literals {
        check.find(index, joined(&base, &literal.at), Rule::LiteralCredential, literal.message.clone());
    }
    let around = Around { contact_points: of_others(&spec.document, contact_points), ..Around::default() };
    let scope = Scope { namespace: &namespace, name: &name };
    let document = with_dummies(&spec.document);
    let (rule, findings) = match spec.make(scope, &document, &BTreeMap::new(), &BTreeMap::new(), &around) {
        Ok(made) => (Rule::GrafanaWarning, made.warnings),
        Err(Refused::Invalid(findings)) => (Rule::GrafanaInvalid, findings),
        Err(Refused::Unresolved(_) | Refused::Unsupported(_) | Refused::Misrouted(_)) => return,
    };
    let is_literal = |at: &Steps| literals.iter().any(|literal| literal.at == *at);
    for finding in findings.iter().filter(|finding| !is_literal(&finding.at)) {
        check.find_more(index, joined(&base, &finding.at), rule, finding.rule, finding.message.clone());
    }
}

/// The contact points that a policy may name besides those of its own document. Two of a name may be meant for two Grafanas.
fn of_others(document: &Node, contact_points: &ContactPoints) -> ContactPoints {
    if document.get("policies").is_none() {
        return ContactPoints::new();
    }
    let mut own = Around::default();
    own.add(document);
    contact_points.difference(&own.contact_points).cloned().collect()
}
