//! Tests of routing: labels in, receivers out.

use super::{Fault, Inhibitions, Route, Tree};
use crate::{
    alertmanager::{Version, interval::Intervals, matcher::Labels},
    inject::{Node, Steps},
};

/// All of a configuration that decides who is told of an alert.
#[derive(Clone)]
pub struct Plan {
    /// Where alerts go.
    pub tree: Tree,
    /// Which alerts keep others quiet.
    pub inhibitions: Inhibitions,
    /// When routes are quiet.
    pub intervals: Intervals,
}

/// One test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteTest {
    /// What it is called.
    pub name: String,
    /// The labels of the alert.
    pub labels: Labels,
    /// When, in Unix seconds; without it time intervals are not looked at.
    pub at: Option<i64>,
    /// The labels of other alerts that are firing; without any, inhibition is not looked at.
    pub firing: Vec<Labels>,
    /// What is expected.
    pub expected: Expected,
}

/// What a test expects. What it does not name may be anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// The receivers, in the order of the tree, each as often as the alert ends there, quiet or not.
    pub receivers: Option<Vec<String>>,
    /// Those of them that are quiet at that time, in the same order.
    pub muted: Option<Vec<String>>,
    /// Whether another alert keeps it quiet.
    pub inhibited: Option<bool>,
}

/// What happens to the alert of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The routes in which it ends, in the order of the tree.
    pub seen: Vec<Seen>,
    /// The inhibition rules that keep it quiet.
    pub inhibited_by: Vec<Steps>,
    /// What is not as expected; nothing if the test passed.
    pub failures: Vec<Failure>,
}

/// A route in which an alert ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who is told.
    pub receiver: String,
    /// The route.
    pub at: Steps,
    /// The labels that the alert's group is known by.
    pub group: Labels,
    /// Why nobody is told at that time.
    pub muted: Option<Muted>,
}

/// Why a route is quiet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Muted {
    /// By these of its `mute_time_intervals`.
    Mute(Vec<String>),
    /// It is outside all of its `active_time_intervals`.
    NotActive,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Other receivers.
    #[error("goes to {}, and should go to {}", list(found), list(expected))]
    Receivers {
        /// As it is.
        found: Vec<String>,
        /// As it should be.
        expected: Vec<String>,
    },
    /// Others are quiet.
    #[error("is quiet at {}, and should be quiet at {}", list(found), list(expected))]
    Muted {
        /// As it is.
        found: Vec<String>,
        /// As it should be.
        expected: Vec<String>,
    },
    /// It is inhibited, or not.
    #[error("is {}inhibited, and should {}be", if *found { "" } else { "not " }, if *found { "not " } else { "" })]
    Inhibited {
        /// As it is.
        found: bool,
    },
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

impl Plan {
    /// Reads all of it, as this version would.
    ///
    /// # Errors
    /// What can't be read, with places.
    pub fn read(config: &Node, version: Version) -> Result<Self, Vec<Fault>> {
        let tree = Tree::read(config, version);
        let inhibitions = Inhibitions::read(config, version);
        let intervals = Intervals::read(config);
        match (tree, inhibitions, intervals) {
            (Ok(tree), Ok(inhibitions), Ok(intervals)) => Ok(Self { tree, inhibitions, intervals }),
            (tree, inhibitions, intervals) => {
                let faults = [tree.err(), inhibitions.err(), intervals.err()];
                Err(faults.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// Runs one test.
    #[must_use]
    pub fn run(&self, test: &RouteTest) -> Trial {
        let seen = self.tree.receivers(&test.labels).into_iter().map(|route| self.seen(route, test));
        let seen: Vec<Seen> = seen.collect();
        let inhibited_by = self.inhibitions.of(&test.labels, &test.firing);
        let inhibited_by: Vec<Steps> = inhibited_by.into_iter().map(|rule| rule.at.clone()).collect();
        let failures = failures(&seen, !inhibited_by.is_empty(), &test.expected);
        Trial { seen, inhibited_by, failures }
    }

    fn seen(&self, route: &Route, test: &RouteTest) -> Seen {
        Seen {
            receiver: route.receiver.clone(),
            at: route.at.clone(),
            group: route.group_by.of(&test.labels),
            muted: test.at.and_then(|at| self.muted(route, at)),
        }
    }

    /// Why a route is quiet at a time.
    fn muted(&self, route: &Route, at: i64) -> Option<Muted> {
        let holds = |name: &&String| self.intervals.contains(name, at);
        let mute: Vec<String> = route.mute_time_intervals.iter().filter(holds).cloned().collect();
        let active = &route.active_time_intervals;
        if !mute.is_empty() {
            Some(Muted::Mute(mute))
        } else {
            (!active.is_empty() && !active.iter().any(|name| holds(&name))).then_some(Muted::NotActive)
        }
    }
}

fn failures(seen: &[Seen], inhibited: bool, expected: &Expected) -> Vec<Failure> {
    let mut failures = Vec::new();
    let names = |is_wanted: fn(&&Seen) -> bool| -> Vec<String> {
        seen.iter().filter(is_wanted).map(|seen| seen.receiver.clone()).collect()
    };
    if let Some(expected) = &expected.receivers {
        let found = names(|_| true);
        if found != *expected {
            failures.push(Failure::Receivers { found, expected: expected.clone() });
        }
    }
    if let Some(expected) = &expected.muted {
        let found = names(|seen| seen.muted.is_some());
        if found != *expected {
            failures.push(Failure::Muted { found, expected: expected.clone() });
        }
    }
    if expected.inhibited.is_some_and(|expected| expected != inhibited) {
        failures.push(Failure::Inhibited { found: inhibited });
    }
    failures
}
