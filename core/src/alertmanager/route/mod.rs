//! Where an alert goes: the tree of routes with Alertmanager's own semantics, tests of it, and what a change would change.
//!
//! Whether a configuration is valid is decided elsewhere (`validate`); here only what routing needs is looked at.

mod diff;
mod fault;
mod inhibit;
mod read;
mod sample;
#[cfg(test)]
mod tests;
mod trial;

use std::{collections::BTreeSet, time::Duration};

pub use diff::{Difference, Differences, MAX_TRIED, diff};
pub(in crate::alertmanager) use fault::Reader;
pub use fault::{Fault, FaultKind};
pub use inhibit::{Inhibition, Inhibitions};
pub use trial::{Expected, Failure, Muted, Plan, RouteTest, Seen, Trial};

use super::{
    Version,
    matcher::{Labels, Matcher, Warning},
};
use crate::inject::{Node, Steps};

/// A tree of routes.
#[derive(Clone)]
pub struct Tree {
    root: Route,
    warnings: Vec<(Steps, Warning)>,
}

/// A route, with all that it has from those above it.
#[derive(Clone)]
pub struct Route {
    /// Where it stands: `route.routes[0]`.
    pub at: Steps,
    /// Who is told.
    pub receiver: String,
    /// What an alert has to fulfil, sorted.
    pub matchers: Vec<Matcher>,
    /// Whether the ones after it are tried, too.
    pub continues: bool,
    /// By what alerts are put together.
    pub group_by: GroupBy,
    /// How long a new group waits for more alerts.
    pub group_wait: Duration,
    /// How long a group waits before it tells of more alerts.
    pub group_interval: Duration,
    /// After what time the same is told again.
    pub repeat_interval: Duration,
    /// The time intervals in which nobody is told. Not those of the routes above.
    pub mute_time_intervals: Vec<String>,
    /// The time intervals outside which nobody is told, if there are any. Not those of the routes above.
    pub active_time_intervals: Vec<String>,
    /// Labels of the route, from 0.34 on.
    pub labels: Labels,
    /// The routes below it.
    pub routes: Vec<Route>,
}

/// By what alerts are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupBy {
    /// By every label (`...`).
    pub all: bool,
    /// By these.
    pub labels: BTreeSet<String>,
}

impl GroupBy {
    /// The labels of an alert that its group is known by.
    #[must_use]
    pub fn of(&self, labels: &Labels) -> Labels {
        let is_in = |(name, _): &(&String, &String)| self.all || self.labels.contains(*name);
        labels.iter().filter(is_in).map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

impl Tree {
    /// Reads the tree of a whole configuration, as this version would.
    ///
    /// # Errors
    /// What can't be read, with places.
    pub fn read(config: &Node, version: Version) -> Result<Self, Vec<Fault>> {
        read::tree(config, version)
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> &Route {
        &self.root
    }

    /// What Alertmanager would warn about.
    #[must_use]
    pub fn warnings(&self) -> &[(Steps, Warning)] {
        &self.warnings
    }

    /// The routes that an alert ends in, in their order. At least one, and perhaps one receiver several times.
    #[must_use]
    pub fn receivers(&self, labels: &Labels) -> Vec<&Route> {
        let mut found = Vec::new();
        self.root.collect(labels, &mut found);
        found
    }
}

impl Route {
    /// Depth first, and left to right, until one matches that does not continue. Says whether this one matched.
    fn collect<'a>(&'a self, labels: &Labels, found: &mut Vec<&'a Self>) -> bool {
        if !self.matchers.iter().all(|matcher| matcher.matches(labels)) {
            return false;
        }
        let before = found.len();
        for route in &self.routes {
            if route.collect(labels, found) && !route.continues {
                break;
            }
        }
        if found.len() == before {
            found.push(self);
        }
        true
    }

    /// Looks at this route and all below it.
    pub fn walk<'a>(&'a self, look: &mut dyn FnMut(&'a Self)) {
        look(self);
        self.routes.iter().for_each(|route| route.walk(look));
    }
}
