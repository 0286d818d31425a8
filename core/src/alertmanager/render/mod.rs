//! From a document with references to a configuration that may be published, or to the reason why it may not.
//!
//! A credential that cannot be had takes as little with it as it can: its last good value stands in for it, else the
//! integration that needs it is left out, and a receiver that has none left gets those of the fallback receiver. Its name
//! stays, because routes refer to it, and a receiver without integrations would swallow alerts. What is wrong with the document
//! itself is its author's to mend, and nothing of it is published.
//!
//! A receiver with references of another namespace is a team's, see [`crate::injection::include`]. Nothing that such a
//! reference gives keeps the rest from being published: not the policy to publish nothing, not a value that makes its
//! receiver invalid. It gets nobody else's integrations either, because the platform has those alerts anyway.

mod globals;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::OnUnresolved;

use super::{
    Version, schema,
    validate::{self, Finding, Severity},
};
use crate::{
    Secret,
    inject::{self, Filled, Node, Reference, Step, Steps, Values},
};

pub use crate::inject::{Answer, Problem, Receiver, State};

/// Bytes of values that one namespace may give to a configuration of another, which has to fit into a Secret.
const MAX_GIVEN: usize = 128 * 1024;

/// Everything that decides a configuration.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The document, with its references.
    pub document: &'a Node,
    /// Which Alertmanager reads it.
    pub version: Version,
    /// What each reference of the document gives. One that is missing here counts as unresolved.
    pub answers: &'a BTreeMap<Reference, Answer>,
    /// The values that were published last.
    pub last_good: &'a BTreeMap<Reference, Secret>,
    /// What becomes of a reference that gives nothing.
    pub on_unresolved: OnUnresolved,
    /// Whose integrations a receiver gets that has none left; the root route's receiver where none is named.
    pub fallback: Option<&'a str>,
    /// What a value may not be, whatever its field; says why.
    pub refuses: fn(&str) -> Option<&'static str>,
}

/// A configuration that may be published.
pub struct Rendered {
    /// The configuration.
    pub config: Node,
    /// The receivers, in the order of the document.
    pub receivers: Vec<Receiver>,
    /// References outside of receivers whose last good value stands in.
    pub stale: Vec<Problem>,
    /// What somebody should know: literals in the place of credentials among it.
    pub warnings: Vec<Finding>,
}

/// Why nothing is published.
#[derive(Debug)]
pub enum Refused {
    /// Credentials cannot be had, and no receiver would be left, or the policy is to publish nothing then.
    Unresolved(Vec<Problem>),
    /// The document is wrong.
    Invalid(Vec<Finding>),
}

/// Puts credentials into a document.
///
/// # Errors
/// Why nothing can be published.
pub fn render(input: &Input<'_>) -> Result<Rendered, Refused> {
    let mut filling = Filling::of(input);
    let is_own = |problem: &Problem| !matches!(problem.reference, Reference::Of { .. });
    if input.on_unresolved == OnUnresolved::Block && filling.broken.iter().any(is_own) {
        return Err(Refused::Unresolved(filling.broken));
    }
    let (literals, invalid) = of_document(input);
    if !invalid.is_empty() {
        return Err(Refused::Invalid(invalid));
    }
    let mut quarantined = filling.quarantine()?;
    let findings = validate::check(&filling.config, input.version);
    let (errors, mut warnings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|finding| finding.severity == Severity::Error);
    let errors = filling.leave_out(errors, &mut quarantined);
    let Filling { config, broken, stale, .. } = filling;
    if !errors.is_empty() {
        return Err(Refused::Invalid(errors));
    }
    warnings.extend(literals);
    let receivers = receivers(input.document, &quarantined, broken, &stale);
    let stale = stale.into_iter().filter(|problem| receiver_of(&problem.at).is_none()).collect();
    Ok(Rendered { config, receivers, stale, warnings })
}

/// What is wrong with the document itself, whatever its references give: it is checked with stand-ins in their places. Also the
/// literals in the places of credentials.
fn of_document(input: &Input<'_>) -> (Vec<Finding>, Vec<Finding>) {
    let config = with_dummies(input.document);
    let findings = validate::check(&config, input.version);
    let errors = findings.into_iter().filter(|finding| finding.severity == Severity::Error).collect();
    (literals(input.document), errors)
}

/// The document with a stand-in of the right kind in the place of each reference: what can be checked without any
/// credential.
#[must_use]
pub fn with_dummies(document: &Node) -> Node {
    inject::replaced(document, &|at| {
        let expected = schema::expected(at);
        let dummy = expected.map_or("dummy", schema::dummy);
        let value = || Secret::new(dummy.as_bytes().to_vec());
        expected.map_or(Node::Text(dummy.to_owned()), |expected| schema::place(expected, value()))
    })
}

/// Credentials that stand in the document itself, where a reference belongs.
#[must_use]
pub fn literals(document: &Node) -> Vec<Finding> {
    let mut found = Vec::new();
    validate::texts(document, &mut |at, text| {
        if schema::expected(at).is_some_and(|expected| expected.holds_credential(text)) {
            found.push(Finding {
                at: at.clone(),
                rule: "literal-credential",
                message: "a credential stands here; seal it, and refer to it with $secret".to_owned(),
                severity: Severity::Warning,
            });
        }
    });
    found
}

/// A document on its way.
struct Filling<'a> {
    input: &'a Input<'a>,
    config: Node,
    /// The receivers of teams, and one reference of each.
    teams: BTreeMap<usize, (Steps, Reference)>,
    broken: Vec<Problem>,
    stale: Vec<Problem>,
}

impl<'a> Filling<'a> {
    fn of(input: &'a Input<'a>) -> Self {
        let values =
            Values { answers: input.answers, last_good: input.last_good, on_unresolved: input.on_unresolved };
        let too_long = too_long(input);
        // What fits nowhere in Alertmanager's configuration is refused by the check of the document.
        let check = |at: &Steps, value: &str| {
            if too_long.contains(at) {
                return Err("it is too long, together with what else its namespace gives".to_owned());
            }
            if let Some(why) = (input.refuses)(value) {
                return Err(why.to_owned());
            }
            let expected = schema::expected(at);
            expected
                .map_or(Ok(()), |expected| schema::fits(expected, value))
                .map_err(|misfit| misfit.to_string())
        };
        let place = |at: &Steps, value| match schema::expected(at) {
            Some(expected) => schema::place(expected, value),
            None => Node::Secret(value),
        };
        let Filled { document, broken, stale } = inject::fill(input.document, &values, &check, &place);
        let mut teams = BTreeMap::new();
        input.document.leaves(&mut |at, reference| {
            if let (Some(index), Reference::Of { .. }) = (receiver_of(at), reference) {
                teams.entry(index).or_insert_with(|| (at.clone(), reference.clone()));
            }
        });
        Self { input, config: document, teams, broken, stale }
    }

    /// Leaves out the integrations that need what is broken. Gives their receivers, by their place in the document.
    fn quarantine(&mut self) -> Result<BTreeSet<usize>, Refused> {
        let mut out = BTreeSet::new();
        let mut needed_by_all = Vec::new();
        for problem in &self.broken {
            let integrations = match schema::integration_at(&problem.at) {
                Some(integration) => vec![integration],
                None => globals::integrations(&self.config, &problem.at).unwrap_or_default(),
            };
            // What belongs to no integration can't be left out with one, also within a receiver.
            if integrations.is_empty() && !globals::is_global(&problem.at) {
                needed_by_all.push(problem.clone());
            }
            out.extend(integrations);
        }
        if !needed_by_all.is_empty() {
            return Err(Refused::Unresolved(needed_by_all));
        }
        let receivers: BTreeSet<usize> = out.iter().filter_map(receiver_of).collect();
        globals::remove(&mut self.config, self.broken.iter().map(|problem| &problem.at));
        // From the last one on, so that the places of the others stay right.
        for integration in out.iter().rev() {
            remove_item(&mut self.config, integration);
        }
        self.fall_back(&receivers)?;
        Ok(receivers)
    }

    /// Gives the receivers that have lost all their integrations those of the fallback receiver.
    fn fall_back(&mut self, receivers: &BTreeSet<usize>) -> Result<(), Refused> {
        let is_empty =
            |index: &usize| !self.teams.contains_key(index) && !has_integration(&self.config, *index);
        let empty: Vec<usize> = receivers.iter().copied().filter(is_empty).collect();
        if empty.is_empty() {
            return Ok(());
        }
        let refused = || Refused::Unresolved(self.broken.clone());
        let root = self.config.get("route").and_then(|route| route.get("receiver")).and_then(Node::text);
        let fallback = self.input.fallback.or(root).ok_or_else(refused)?;
        let list = self.config.get("receivers").and_then(Node::as_list).unwrap_or_default();
        let source =
            list.iter().position(|receiver| receiver.get("name").and_then(Node::text) == Some(fallback));
        let source = source.filter(|index| has_integration(&self.config, *index)).ok_or_else(refused)?;
        let taken = list.get(source).and_then(Node::as_map).cloned().unwrap_or_default();
        for index in empty {
            if let Some(Node::Map(receiver)) = self.config.at_mut(&receiver_at(index)) {
                receiver.extend(
                    taken
                        .iter()
                        .filter(|(name, _)| schema::is_integration(name))
                        .map(|(name, list)| (name.clone(), list.clone())),
                );
            }
        }
        Ok(())
    }
}

/// The places of values with which a team's namespace would give more than its share.
fn too_long(input: &Input<'_>) -> BTreeSet<Steps> {
    let mut given: BTreeMap<String, usize> = BTreeMap::new();
    let mut too_long = BTreeSet::new();
    input.document.leaves(&mut |at, reference| {
        let Reference::Of { namespace, .. } = reference else { return };
        let answer = match input.answers.get(reference) {
            Some(Answer::Value(value)) => Some(value),
            _ => None,
        };
        // Whichever of the two comes to stand there.
        let bytes = answer.into_iter().chain(input.last_good.get(reference)).map(Secret::len).max();
        let given = given.entry(namespace.clone()).or_default();
        *given += bytes.unwrap_or_default();
        if *given > MAX_GIVEN {
            too_long.insert(at.clone());
        }
    });
    too_long
}

impl Filling<'_> {
    /// Leaves out the receivers of teams that what they refer to has made invalid. Gives the errors that remain.
    fn leave_out(&mut self, errors: Vec<Finding>, quarantined: &mut BTreeSet<usize>) -> Vec<Finding> {
        let mut remaining = Vec::new();
        for error in errors {
            let team = error.receiver().and_then(|index| Some((index, self.teams.get(&index)?)));
            let Some((index, (at, reference))) = team else {
                remaining.push(error);
                continue;
            };
            if let Some(Node::Map(receiver)) = self.config.at_mut(&receiver_at(index)) {
                receiver.retain(|name, _| name == "name");
            }
            quarantined.insert(index);
            let (at, reference) = (at.clone(), reference.clone());
            self.broken.push(Problem { at, reference, message: error.message });
        }
        remaining
    }
}

/// How each receiver came out.
fn receivers(
    document: &Node,
    quarantined: &BTreeSet<usize>,
    broken: Vec<Problem>,
    stale: &[Problem],
) -> Vec<Receiver> {
    let list = document.get("receivers").and_then(Node::as_list).unwrap_or_default();
    let of = |index: usize, receiver: &Node| {
        let own = |problem: &&Problem| receiver_of(&problem.at) == Some(index);
        let is_stale = stale.iter().any(|problem| own(&problem));
        let state = match (quarantined.contains(&index), is_stale) {
            (true, _) => State::Quarantined,
            (false, true) => State::Stale,
            (false, false) => State::Live,
        };
        let global =
            broken.iter().filter(|problem| state == State::Quarantined && globals::is_global(&problem.at));
        let problems = broken.iter().chain(stale).filter(own).chain(global).cloned().collect();
        let name = receiver.get("name").and_then(Node::text).unwrap_or_default().to_owned();
        Receiver { name, state, problems }
    };
    list.iter().enumerate().map(|(index, receiver)| of(index, receiver)).collect()
}

/// The receiver that a place lies in, as its place in the list.
fn receiver_of(at: &Steps) -> Option<usize> {
    match at.0.as_slice() {
        [Step::Name(list), Step::Item(index), ..] if list == "receivers" => Some(*index),
        _ => None,
    }
}

fn receiver_at(index: usize) -> Steps {
    Steps(vec![Step::Name("receivers".to_owned()), Step::Item(index)])
}

fn has_integration(config: &Node, index: usize) -> bool {
    let receiver = config.at(&receiver_at(index)).and_then(Node::as_map);
    let lists = receiver.into_iter().flatten().filter(|(name, _)| schema::is_integration(name));
    lists.filter_map(|(_, list)| list.as_list()).any(|list| !list.is_empty())
}

/// Removes an item, and its list with the last one.
fn remove_item(config: &mut Node, at: &Steps) {
    let [receiver @ .., Step::Name(list), Step::Item(index)] = at.0.as_slice() else { return };
    let Some(Node::Map(receiver)) = config.at_mut(&Steps(receiver.to_vec())) else { return };
    if let Some(Node::List(items)) = receiver.get_mut(list) {
        if *index < items.len() {
            items.remove(*index);
        }
        if items.is_empty() {
            receiver.remove(list);
        }
    }
}
