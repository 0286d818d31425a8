//! What a change would change: labels whose alerts go elsewhere after it.
//!
//! The labels that are tried come out of the matchers of both trees, for nothing else tells alerts apart: for each label the
//! values that are named, texts that match the expressions, nothing at all, and a value that nobody names. They are put
//! together such that every route of either tree is reached, every pair of routes that an alert can fulfil together, and every
//! named value of one label beside what a route asks of the others. That finds every change of a matcher, a receiver, an order
//! or a `continue`; what it can miss is a change that takes three routes at once to be seen, and texts that only a contrived
//! expression matches.

#![expect(clippy::mutable_key_type, reason = "matchers are compared by their texts, which nothing changes")]

use std::collections::{BTreeMap, BTreeSet};

use super::{Route, Tree, sample};
use crate::alertmanager::matcher::{Labels, Matcher, Operator};

/// How many sets of labels are tried at most.
pub const MAX_TRIED: usize = 20_000;

/// How many pairs of routes are looked at, at most, for labels that fulfil both. Those that changed come first.
const MAX_PAIRS: usize = 200_000;

/// How many values of one label are tried, at most, where it may have any.
const MAX_VALUES: usize = 256;

/// A value of a label that nobody names, unless somebody does.
const OTHER: &str = "other";

/// Labels whose alerts would go elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The labels. Without any one of them it would make no difference, or another one.
    pub labels: Labels,
    /// The receivers so far.
    pub base: Vec<String>,
    /// The receivers then.
    pub head: Vec<String>,
}

/// All that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differences {
    /// One for each way from routes to other routes.
    pub found: Vec<Difference>,
    /// How many sets of labels were tried.
    pub tried: usize,
    /// Whether there would have been more to try, above [`MAX_TRIED`].
    pub is_cut: bool,
}

/// Compares two trees.
#[must_use]
pub fn diff(base: &Tree, head: &Tree) -> Differences {
    let [of_base, of_head] = [base, head].map(|tree| {
        let mut paths = BTreeSet::new();
        collect(tree.root(), &[], &mut paths);
        paths
    });
    // What changed is tried first, for there is an end to what can be tried.
    let changed: BTreeSet<Vec<&Matcher>> =
        of_base.symmetric_difference(&of_head).map(|path| path.matchers.clone()).collect();
    let same: BTreeSet<Vec<&Matcher>> =
        of_base.intersection(&of_head).map(|path| path.matchers.clone()).collect();
    let mut paths: Vec<Vec<&Matcher>> = changed.iter().cloned().collect();
    paths.extend(same.difference(&changed).cloned());

    let values = Values::of(&paths);
    let mut search =
        Search { base, head, tried: BTreeSet::new(), pairs: 0, is_cut: false, found: BTreeMap::new() };
    search.all(&paths, changed.len(), &values);
    let mut found: Vec<Difference> = search.found.into_values().collect();
    found.sort_by(|one, other| (one.labels.len(), &one.labels).cmp(&(other.labels.len(), &other.labels)));
    Differences { found, tried: search.tried.len(), is_cut: search.is_cut }
}

/// A route, by what an alert has to fulfil to come to it and what happens there.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Path<'a> {
    matchers: Vec<&'a Matcher>,
    receiver: &'a str,
    continues: bool,
}

fn collect<'a>(route: &'a Route, above: &[&'a Matcher], paths: &mut BTreeSet<Path<'a>>) {
    let mut matchers: Vec<&Matcher> = above.iter().copied().chain(&route.matchers).collect();
    for route in &route.routes {
        collect(route, &matchers, paths);
    }
    matchers.sort();
    matchers.dedup();
    paths.insert(Path { matchers, receiver: &route.receiver, continues: route.continues });
}

/// The values that are tried.
struct Values<'a> {
    /// For each label, what matchers of it name or match.
    labels: BTreeMap<&'a str, Vec<String>>,
    samples: BTreeMap<&'a Matcher, Vec<String>>,
}

impl<'a> Values<'a> {
    fn of(paths: &[Vec<&'a Matcher>]) -> Self {
        let matchers: BTreeSet<&Matcher> = paths.iter().flatten().copied().collect();
        let mut values = Self { labels: BTreeMap::new(), samples: BTreeMap::new() };
        for matcher in matchers {
            let absent_and_other = || vec![String::new(), OTHER.to_owned()];
            let of_label = values.labels.entry(matcher.name()).or_insert_with(absent_and_other);
            match matcher.pattern() {
                None => of_label.push(matcher.value().to_owned()),
                Some(pattern) => {
                    let samples = sample::samples(pattern);
                    of_label.extend(samples.iter().cloned());
                    values.samples.insert(matcher, samples);
                }
            }
        }
        for of_label in values.labels.values_mut() {
            let mut seen = BTreeSet::new();
            of_label.retain(|value| seen.insert(value.clone()));
        }
        values
    }

    /// Labels that fulfil all of these, if some are found: absent where they may be.
    fn fulfilling(&self, matchers: &[&Matcher]) -> Option<Labels> {
        let names: BTreeSet<&str> = matchers.iter().map(|matcher| matcher.name()).collect();
        let mut labels = Labels::new();
        for name in names {
            let of_label: Vec<&Matcher> =
                matchers.iter().copied().filter(|matcher| matcher.name() == name).collect();
            let value = self.value(name, &of_label)?;
            if !value.is_empty() {
                labels.insert(name.to_owned(), value.to_owned());
            }
        }
        Some(labels)
    }

    /// A value of one label that fulfils all of its matchers.
    fn value<'v>(&'v self, name: &str, matchers: &[&'v Matcher]) -> Option<&'v str> {
        let fulfils = |value: &&str| matchers.iter().all(|matcher| matcher.takes(value));
        if let Some(equal) = matchers.iter().find(|matcher| matcher.operator() == Operator::Equal) {
            return Some(equal.value()).filter(fulfils);
        }
        let any = self.labels.get(name).into_iter().flatten().take(MAX_VALUES);
        let matching = matchers.iter().filter(|matcher| matcher.operator() == Operator::Matches);
        let matching = matching.filter_map(|matcher| self.samples.get(matcher)).flatten();
        any.take(1).chain(matching).map(String::as_str).find(fulfils).or_else(|| {
            self.labels.get(name).into_iter().flatten().take(MAX_VALUES).map(String::as_str).find(fulfils)
        })
    }
}

/// By which routes alerts went, and would go.
type Way = (Vec<String>, Vec<String>);

struct Search<'a> {
    base: &'a Tree,
    head: &'a Tree,
    tried: BTreeSet<Labels>,
    pairs: usize,
    is_cut: bool,
    found: BTreeMap<Way, Difference>,
}

impl Search<'_> {
    /// The first of the paths are those that changed.
    fn all(&mut self, paths: &[Vec<&Matcher>], changed: usize, values: &Values<'_>) {
        self.one(Labels::new());
        for path in paths {
            values.fulfilling(path).into_iter().for_each(|labels| self.one(labels));
        }
        for part in [0..changed, changed..paths.len()] {
            for number in part.clone() {
                self.with_each(&paths[number], &paths[number + 1..], values);
            }
            for path in &paths[part] {
                self.with_each_value(path, values);
            }
        }
    }

    /// What comes to two routes.
    fn with_each(&mut self, path: &[&Matcher], others: &[Vec<&Matcher>], values: &Values<'_>) {
        for other in others {
            self.pairs += 1;
            if self.pairs > MAX_PAIRS || self.tried.len() >= MAX_TRIED {
                self.is_cut = true;
                return;
            }
            let both: Vec<&Matcher> = path.iter().chain(other).copied().collect();
            values.fulfilling(&both).into_iter().for_each(|labels| self.one(labels));
        }
    }

    /// What comes to a route, with every value of one label.
    fn with_each_value(&mut self, path: &[&Matcher], values: &Values<'_>) {
        let Some(labels) = values.fulfilling(path) else { return };
        for (name, of_label) in &values.labels {
            self.is_cut |= of_label.len() > MAX_VALUES;
            for value in of_label.iter().take(MAX_VALUES) {
                let mut labels = labels.clone();
                if value.is_empty() {
                    labels.remove(*name);
                } else {
                    labels.insert((*name).to_owned(), value.clone());
                }
                self.one(labels);
            }
        }
    }

    fn one(&mut self, labels: Labels) {
        if self.tried.len() >= MAX_TRIED {
            self.is_cut |= !self.tried.contains(&labels);
            return;
        }
        let Some(mut difference) = self.difference(&labels).filter(|_| !self.tried.contains(&labels)) else {
            self.tried.insert(labels);
            return;
        };
        self.tried.insert(labels);
        // What makes no difference is left out.
        for name in difference.labels.keys().cloned().collect::<Vec<_>>() {
            let mut fewer = difference.labels.clone();
            fewer.remove(&name);
            if let Some(same) = self.difference(&fewer)
                && (&same.base, &same.head) == (&difference.base, &difference.head)
            {
                difference = same;
            }
        }
        let way = (at(self.base, &difference.labels), at(self.head, &difference.labels));
        let shorter = |one: &Difference| (one.labels.len(), one.labels.clone());
        if self.found.get(&way).is_none_or(|known| shorter(&difference) < shorter(known)) {
            self.found.insert(way, difference);
        }
    }

    fn difference(&self, labels: &Labels) -> Option<Difference> {
        let receivers = |tree: &Tree| -> Vec<String> {
            tree.receivers(labels).into_iter().map(|route| route.receiver.clone()).collect()
        };
        let (base, head) = (receivers(self.base), receivers(self.head));
        (base != head).then(|| Difference { labels: labels.clone(), base, head })
    }
}

fn at(tree: &Tree, labels: &Labels) -> Vec<String> {
    tree.receivers(labels).into_iter().map(|route| route.at.to_string()).collect()
}
