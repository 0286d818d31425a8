//! What the status says of receivers and their credentials, and which values count as the last good ones.

use std::collections::BTreeMap;

use waxwing_crds::{CredentialStatus, ReceiverState, ReceiverStatus, conditions::time};

use super::{
    grafana,
    plan::{Wanted, Wish},
};
use crate::{
    Secret,
    alertmanager::validate::Finding,
    grafana::{CONTACT_POINTS, DATASOURCES},
    inject::{Answer, Node, Problem, Receiver, Reference, State, Step, Steps},
};

/// How what belongs to no receiver is called, such as a credential under `global`.
const OUTSIDE: &str = "(global)";
/// Up to so many receivers the status lists the credentials that are well too.
const LISTED: usize = 100;

/// How a document came out.
#[derive(Clone, Copy)]
pub struct Came<'a> {
    /// The document, with its references.
    pub document: &'a Node,
    /// How its receivers came out.
    pub receivers: &'a [Receiver],
    /// Problems that belong to none of them.
    pub outside: &'a [Problem],
    /// Which version of its source each value is; never anything that tells the value.
    pub versions: &'a BTreeMap<Reference, String>,
}

/// The receivers, in the order of the document, with their credentials. `before` says since when a last good value stands
/// in.
fn receivers(came: &Came<'_>, before: &[ReceiverStatus], now: i64) -> Vec<ReceiverStatus> {
    let mut found: Vec<ReceiverStatus> = came
        .receivers
        .iter()
        .map(|receiver| ReceiverStatus {
            name: receiver.name.clone(),
            state: state(receiver.state),
            credentials: Vec::new(),
        })
        .collect();
    let is_long = found.len() > LISTED;
    let mut problems: BTreeMap<&Steps, &Problem> = BTreeMap::new();
    let all = came.receivers.iter().flat_map(|receiver| &receiver.problems).chain(came.outside);
    problems.extend(all.map(|problem| (&problem.at, problem)));
    came.document.leaves(&mut |at, reference| {
        let (name, field) = belongs(came.document, at);
        let problem = problems.get(at);
        if is_long && problem.is_none() {
            return;
        }
        let index = found.iter().position(|receiver| receiver.name == name).unwrap_or_else(|| {
            let state = if problem.is_some() { ReceiverState::Stale } else { ReceiverState::Live };
            found.push(ReceiverStatus { name: name.clone(), state, credentials: Vec::new() });
            found.len() - 1
        });
        let Some(receiver) = found.get_mut(index) else { return };
        let known = before.iter().find(|known| known.name == name);
        let known = known.and_then(|known| known.credentials.iter().find(|known| known.field == field));
        let since = known.and_then(|known| known.stale_since.clone()).unwrap_or_else(|| time(now));
        let is_stale = problem.is_some() && receiver.state == ReceiverState::Stale;
        let (namespace, from) = reference.within("");
        receiver.credentials.push(CredentialStatus {
            field,
            from: from.to_string(),
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            version: came.versions.get(reference).filter(|_| problem.is_none()).cloned(),
            problem: problem.map(|problem| problem.message.clone()),
            stale_since: is_stale.then_some(since),
        });
    });
    found
}

/// The receiver that a place belongs to, and the place in it.
fn belongs(document: &Node, at: &Steps) -> (String, String) {
    let [list @ Step::Name(_), item @ Step::Item(_), rest @ ..] = at.0.as_slice() else {
        return (OUTSIDE.to_owned(), at.to_string());
    };
    let receiver = document.at(&Steps(vec![list.clone(), item.clone()]));
    let name = receiver.and_then(|receiver| receiver.get("name")).and_then(Node::text);
    match (list, receiver, name) {
        (Step::Name(list), Some(entry), Some(_))
            if [DATASOURCES, CONTACT_POINTS].contains(&list.as_str()) =>
        {
            (grafana::name(list, entry), Steps(rest.to_vec()).to_string())
        }
        (_, _, Some(name)) => (name.to_owned(), Steps(rest.to_vec()).to_string()),
        (_, _, None) => (OUTSIDE.to_owned(), at.to_string()),
    }
}

fn state(state: State) -> ReceiverState {
    match state {
        State::Live => ReceiverState::Live,
        State::Stale => ReceiverState::Stale,
        State::Quarantined => ReceiverState::Quarantined,
    }
}

/// What is to be published of it, in these Secrets, and what is to be said of that. `before` are the receivers of the last
/// status.
#[must_use]
pub fn wanted(
    came: &Came<'_>,
    secrets: Vec<Wish>,
    warnings: &[Finding],
    (answers, last_good): (&BTreeMap<Reference, Answer>, &BTreeMap<Reference, Secret>),
    before: &[ReceiverStatus],
    now: i64,
) -> Wanted {
    let literals = warnings.iter().filter(|finding| finding.rule == "literal-credential");
    Wanted {
        secrets,
        receivers: receivers(came, before, now),
        literals: literals.map(|finding| finding.at.to_string()).collect(),
        credentials: published(came, answers, last_good),
    }
}

/// The value of each reference that is published: what was given, or where that could not be used the last good one.
fn published(
    came: &Came<'_>,
    answers: &BTreeMap<Reference, Answer>,
    last_good: &BTreeMap<Reference, Secret>,
) -> BTreeMap<Reference, Secret> {
    let problems = came.receivers.iter().flat_map(|receiver| &receiver.problems).chain(came.outside);
    let bad: Vec<&Reference> = problems.map(|problem| &problem.reference).collect();
    let mut published = BTreeMap::new();
    came.document.leaves(&mut |_, reference| {
        let given = match answers.get(reference) {
            Some(Answer::Value(value)) if !bad.contains(&reference) => Some(value),
            _ => last_good.get(reference),
        };
        if let Some(value) = given {
            published.insert(reference.clone(), value.clone());
        }
    });
    published
}

/// The values that stand in a published document in the places of references: what is known of them where there is no
/// history, such as after an injection was deleted and made again.
///
/// Nothing says which reference a published value came from, and an integration may have been left out, or be that of the
/// fallback receiver. So a value counts only where the integration around it is the same but for its references, stands in a
/// list of the same length, and in no other receiver.
#[must_use]
pub fn found(document: &Node, published: &Node) -> BTreeMap<Reference, Secret> {
    let mut values = BTreeMap::new();
    document.leaves(&mut |at, reference| {
        let Some(there) = moved(document, published, at) else { return };
        if let Some(text) = published.at(&there).and_then(Node::text) {
            values.entry(reference.clone()).or_insert_with(|| Secret::new(text.as_bytes().to_vec()));
        }
    });
    values
}

/// The same place in a published document, if it is certain to be that.
fn moved(document: &Node, published: &Node, at: &Steps) -> Option<Steps> {
    let [Step::Name(list), Step::Item(item), Step::Name(kind), Step::Item(integration), rest @ ..] =
        at.0.as_slice()
    else {
        // Of what is left out under `global`, nothing is there.
        return matches!(at.0.as_slice(), [Step::Name(global), ..] if global == "global").then(|| at.clone());
    };
    let name = |node: &Node| node.get("name").and_then(Node::text).map(str::to_owned);
    let list_at = Steps(vec![Step::Name(list.clone())]);
    let wanted = name(document.at(&list_at.item(*item))?)?;
    let receivers = published.at(&list_at)?.as_list()?;
    let index = receivers.iter().position(|node| name(node).as_ref() == Some(&wanted))?;
    let ours = document.at(&list_at.item(*item).name(kind))?.as_list()?;
    let theirs = receivers.get(index)?.get(kind)?.as_list()?;
    let (own, there) = (ours.get(*integration)?, theirs.get(*integration)?);
    let others = receivers.iter().enumerate().filter(|(other, _)| *other != index);
    let mut others = others.filter_map(|(_, other)| other.get(kind)?.as_list()).flatten();
    let is_certain =
        ours.len() == theirs.len() && is_same(own, there) && !others.any(|other| is_same(there, other));
    let steps = list_at.item(index).name(kind).item(*integration).0.into_iter().chain(rest.iter().cloned());
    is_certain.then(|| Steps(steps.collect()))
}

/// Whether two nodes say the same, as they are written: every published scalar is a text. A reference stands for any.
fn is_same(own: &Node, published: &Node) -> bool {
    match (own, published) {
        (Node::Leaf(_), _) => true,
        (Node::Map(own), Node::Map(published)) => {
            own.len() == published.len()
                && own
                    .iter()
                    .all(|(name, own)| published.get(name).is_some_and(|published| is_same(own, published)))
        }
        (Node::List(own), Node::List(published)) => {
            own.len() == published.len()
                && own.iter().zip(published).all(|(own, published)| is_same(own, published))
        }
        (own, published) => scalar(own).is_some_and(|own| scalar(published) == Some(own)),
    }
}

fn scalar(node: &Node) -> Option<String> {
    match node {
        Node::Null => Some("null".to_owned()),
        Node::Bool(bool) => Some(bool.to_string()),
        Node::Number(number) => Some(number.to_string()),
        node => node.text().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: &Value) -> Node {
        Node::read(value).unwrap_or_else(|error| panic!("{error}"))
    }

    fn leaf(key: &str) -> Value {
        json!({"$secret": {"name": "keys", "key": key}})
    }

    fn slack(url: &Value) -> Value {
        json!({"channel": "#c", "send_resolved": true, "api_url": url})
    }

    fn known(document: &Value, published: &Value) -> Vec<String> {
        found(&read(document), &read(published)).keys().map(ToString::to_string).collect()
    }

    #[test]
    fn a_published_value_is_found_where_its_receiver_stands_now() {
        let document =
            json!({"receivers": [{"name": "b", "slack_configs": [slack(&leaf("b"))]}, {"name": "a"}]});
        let there = json!({"api_url": "https://x", "channel": "#c", "send_resolved": "true"});
        let published = json!({"receivers": [{"name": "a"}, {"name": "b", "slack_configs": [there]}]});
        assert_eq!(known(&document, &published), ["Secret/keys, key b"]);
    }

    /// K15. Guard: `is_certain` in `moved`. What stands in a place may be another receiver's, or have moved there.
    #[test]
    fn the_value_of_the_fallback_or_of_a_neighbour_is_nobody_elses_last_good_one() {
        let x = json!("https://x");
        let document = json!({"receivers": [
            {"name": "a", "slack_configs": [slack(&leaf("a"))]}, {"name": "b", "slack_configs": [slack(&leaf("b"))]},
        ]});
        let published = json!({"receivers": [
            {"name": "a", "slack_configs": [slack(&x)]}, {"name": "b", "slack_configs": [slack(&x)]},
        ]});
        assert_eq!(known(&document, &published), [""; 0], "b has the integrations of a, or a those of b");
        let document =
            json!({"receivers": [{"name": "a", "slack_configs": [slack(&leaf("a")), slack(&leaf("b"))]}]});
        let published = json!({"receivers": [{"name": "a", "slack_configs": [slack(&x)]}]});
        assert_eq!(known(&document, &published), [""; 0], "one was left out");
        let document = json!({"receivers": [{"name": "a", "slack_configs": [slack(&leaf("a"))]}]});
        let mut other = slack(&x);
        other["channel"] = json!("#d");
        let published = json!({"receivers": [{"name": "a", "slack_configs": [other]}]});
        assert_eq!(known(&document, &published), [""; 0], "it was another integration");
    }
}
