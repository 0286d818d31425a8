//! An AlertmanagerInjection: its references, its literals, and what Alertmanager and prometheus-operator would say of it.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_core::{
    alertmanager::{
        gotemplate, render, schema,
        validate::{self, Finding},
    },
    inject::{Node, Reference, Steps},
    injection::{Origin, OriginKind, Refused, alertmanager::Spec},
};
use waxwing_crds::{AlertmanagerInjection, AlertmanagerTargetKind};
use zeroize::Zeroizing;

use super::{Check, Found, Receivers, Rule, Severity, Targets, joined};

/// Where findings about a document are put.
struct Place {
    /// Where the document begins in the object.
    base: Steps,
    /// What holds the document, where that is another object.
    origin: Option<String>,
}

impl Place {
    fn of(spec: &Spec) -> Self {
        let field = if spec.origin().is_some() { "configFrom" } else { "config" };
        let base = Steps::default().name("spec").name(field);
        Self { base, origin: spec.origin().map(ToString::to_string) }
    }

    /// For a document into which AlertReceivers have been put.
    fn included() -> Self {
        let base = Steps::default().name("spec").name("include");
        Self { base, origin: Some("with its AlertReceivers".to_owned()) }
    }

    /// The place of a finding, and its words.
    fn of_finding(&self, at: &Steps, message: &str) -> (Steps, String) {
        match &self.origin {
            None => (joined(&self.base, at), message.to_owned()),
            Some(origin) => (self.base.clone(), format!("{origin}: {at}: {message}")),
        }
    }
}

pub(super) fn check(check: &mut Check<'_>, index: usize, receivers: &Receivers, used: &mut BTreeSet<usize>) {
    let Some(object) = check.typed::<AlertmanagerInjection>(index) else { return };
    let mut spec = match Spec::read(&object.spec) {
        Ok(spec) => spec,
        Err(fault) => return check.fault(index, &fault),
    };
    versions(check, index, &mut spec);
    let namespace = check.object(index).namespace.clone();
    for (number, set) in spec.set.iter().enumerate() {
        let at = Steps::default().name("spec").name("set").item(number).name("value");
        check.reference(index, at, &namespace, &set.reference);
    }
    let text = match spec.origin() {
        None => None,
        Some(origin) => match document_text(check, index, &namespace, origin) {
            Some(text) => Some(text),
            None => return,
        },
    };
    let mut document = match spec.document(text.as_ref().map(|text| text.as_str())) {
        Ok(document) => document,
        Err(fault) => return check.fault(index, &fault),
    };
    let place = Place::of(&spec);
    let set: BTreeSet<&Reference> = spec.set.iter().map(|set| &set.reference).collect();
    let is_known = |reference: &Reference| set.contains(reference);
    check.references(index, &place.base, &document, &namespace, &is_known);
    for (at, rule, message) in literals(&document) {
        let (at, message) = place.of_finding(&at, &message);
        check.find(index, at, rule, message);
    }
    fallback(check, index, &spec, &document);
    if spec.include.is_empty() {
        return judge(check, index, &spec, &document, &place);
    }
    // What is wrong without the receivers of teams has a place in the object.
    let before = check.found.len();
    judge(check, index, &Spec { tests: Vec::new(), ..spec.clone() }, &document, &place);
    let is_error = |found: &Found| found.rule.severity() == Severity::Error;
    let is_invalid = check.found[before..].iter().any(is_error);
    receivers.include(check, index, &spec, &mut document, used);
    if !is_invalid {
        let before = check.found.len();
        judge(check, index, &spec, &document, &Place::included());
        // The warnings are those of before.
        let errors = check.found.split_off(before).into_iter().filter(is_error);
        check.found.extend(errors);
    }
}

/// Credentials that stand in a document, and what is to be said of each. What a field of credentials may say is also a template
/// that finds the right one among the labels of an alert, and such a text can be nowhere else.
pub(super) fn literals(document: &Node) -> Vec<(Steps, Rule, String)> {
    let is_template = |at: &Steps| {
        let text = document.at(at).and_then(Node::text).unwrap_or_default();
        text.contains(gotemplate::OPEN) && schema::expected(at).is_some_and(|expected| expected.templated)
    };
    let said = |literal: Finding| {
        if is_template(&literal.at) {
            let message = "a template stands here, which cannot be sealed; nothing of it may be a credential";
            (literal.at, Rule::LiteralTemplate, message.to_owned())
        } else {
            (literal.at, Rule::LiteralCredential, literal.message)
        }
    };
    render::literals(document).into_iter().map(said).collect()
}

/// The versions that were given on the command line count. What is to be said of those, the command line was told.
fn versions(check: &mut Check<'_>, index: usize, spec: &mut Spec) {
    let given = check.targets;
    let target = &mut spec.target;
    let has_operator = target.kind == AlertmanagerTargetKind::PrometheusOperator;
    let own = Targets {
        alertmanager: given.alertmanager.is_none().then_some(target.version),
        operator: (has_operator && given.operator.is_none()).then_some(target.operator),
    };
    target.version = given.alertmanager.unwrap_or(target.version);
    target.operator = given.operator.unwrap_or(target.operator);
    for (field, message) in own.newer() {
        let at = Steps::default().name("spec").name("target").name(field);
        check.find(index, at, Rule::VersionUnknown, message);
    }
}

/// The text of `configFrom`; where it cannot be had, that is said.
fn document_text(
    check: &mut Check<'_>,
    index: usize,
    namespace: &str,
    origin: &Origin,
) -> Option<Zeroizing<String>> {
    let Origin { kind, name, key } = origin;
    let is_secret = *kind == OriginKind::Secret;
    let at = Steps::default().name("spec").name("configFrom");
    if let Some(text) = check.known.text(check.tree, is_secret, namespace, name, key) {
        return Some(text);
    }
    let before = check.found.len();
    if is_secret {
        check.secret(index, at.clone(), namespace, name, key);
    } else {
        check.config_map(index, at.clone(), namespace, name, key);
    }
    let is_missing = check.found[before..].iter().any(|found| found.rule == Rule::ReferenceMissingConfigMap);
    if check.found.len() == before || is_missing {
        check.found.truncate(before);
        let why = if is_secret { "it is not here as plain text" } else { "it is not here" };
        let message = format!("{origin} cannot be checked: {why}");
        check.find(index, at, Rule::DocumentMissing, message);
    }
    None
}

/// A fallback that does not exist is noticed only when it is needed.
fn fallback(check: &mut Check<'_>, index: usize, spec: &Spec, document: &Node) {
    let Some(fallback) = &spec.policy.fallback else { return };
    let receivers = document.get("receivers").and_then(Node::as_list).unwrap_or_default();
    let mut names = receivers.iter().filter_map(|receiver| receiver.get("name").and_then(Node::text));
    if !names.any(|name| name == fallback) {
        let at = Steps::default().name("spec").name("policy").name("fallbackReceiver");
        check.find(index, at, Rule::ConfigWarning, "the document has no receiver of this name");
    }
}

/// What would come of it, with stand-ins in the places of credentials.
fn judge(check: &mut Check<'_>, index: usize, spec: &Spec, document: &Node, place: &Place) {
    let dummies = render::with_dummies(document);
    match spec.make(&dummies, &BTreeMap::new(), &BTreeMap::new()) {
        Ok(made) => {
            // Stand-ins look like literals.
            let is_more = |finding: &&Finding| finding.rule != Rule::LiteralCredential.id();
            findings(check, index, Rule::ConfigWarning, made.warnings.iter().filter(is_more), place);
        }
        Err(Refused::Invalid(invalid)) => findings(check, index, Rule::ConfigInvalid, &invalid, place),
        Err(Refused::Unsupported(unsupported)) => {
            findings(check, index, Rule::TargetUnsupported, &unsupported, place);
        }
        Err(Refused::Misrouted(failures)) => {
            for (name, failure) in failures {
                let test = spec.tests.iter().position(|test| test.name == name).unwrap_or_default();
                let at = Steps::default().name("spec").name("routeTests").item(test);
                check.find(index, at, Rule::RouteTestFailed, format!("the alert of test {name:?} {failure}"));
            }
        }
        // There is nothing to resolve among stand-ins.
        Err(Refused::Unresolved(_)) => {}
    }
}

fn findings<'f>(
    check: &mut Check<'_>,
    index: usize,
    rule: Rule,
    findings: impl IntoIterator<Item = &'f Finding>,
    place: &Place,
) {
    for finding in findings {
        let (at, message) = place.of_finding(&finding.at, &finding.message);
        let rule = if finding.severity == validate::Severity::Warning { Rule::ConfigWarning } else { rule };
        check.find_more(index, at, rule, finding.rule, message);
    }
}
