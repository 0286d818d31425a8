//! `AlertmanagerInjection`s in `render`.

use std::collections::BTreeMap;

use waxwing_core::{
    Secret,
    inject::{Node, Problem, Reference, State},
    injection::{
        Fault,
        alertmanager::{Made as Config, Spec},
    },
    seal::DataKey,
};
use waxwing_crds::AlertmanagerInjectionSpec;

use super::{
    Checked, Made, Outcome, Target,
    credentials::{Answers, Credentials},
};

/// A checked spec, and the key of its file.
struct Alertmanager {
    spec: Spec,
    key: DataKey,
}

/// Checks a spec.
pub(super) fn check(spec: &AlertmanagerInjectionSpec) -> Outcome<Box<dyn Checked>> {
    let spec = Spec::read(spec)?;
    let key = spec.target.key.parse();
    let key = key.map_err(|_| Fault::spec("target.key: no Secret can have this key"))?;
    Ok(Box::new(Alertmanager { spec, key }))
}

impl Checked for Alertmanager {
    fn target(&self) -> Target<'_> {
        let target = &self.spec.target;
        Target {
            secret: &target.secret,
            key: Some(&target.key),
            refresh: self.spec.refresh,
            reload: target.reload.as_deref(),
            goes_along: target.goes_along,
        }
    }

    fn document(&self, credentials: &Credentials<'_>) -> Outcome<Node> {
        let text = self.spec.origin().map(|origin| credentials.text(origin)).transpose()?.flatten();
        self.spec.document(text.as_ref().map(|text| text.as_str()))
    }

    fn make(
        &self,
        document: &Node,
        answers: &Answers,
        last_good: &BTreeMap<Reference, Secret>,
    ) -> Outcome<Made> {
        let made = self
            .spec
            .make(document, answers, last_good)
            .map_err(|refused| Fault { reason: refused.reason(), message: refused.messages().join("; ") })?;
        let Config { mut bytes, receivers, stale, warnings, .. } = made;
        let say = |problem: &Problem, what: &str| {
            format!("{} ({}) {what}: {}", problem.at, problem.reference, problem.message)
        };
        let of_receivers = receivers.iter().flat_map(|receiver| {
            let what = match receiver.state {
                State::Quarantined => "is left out",
                State::Live | State::Stale => "is the last good one",
            };
            receiver.problems.iter().map(move |problem| say(problem, what))
        });
        let of_all = stale.iter().map(|problem| say(problem, "is the last good one"));
        Ok(Made {
            problems: of_receivers.chain(of_all).collect(),
            is_less: receivers.iter().any(|receiver| receiver.state == State::Quarantined),
            warnings: warnings.iter().map(|finding| format!("{}: {}", finding.at, finding.message)).collect(),
            files: BTreeMap::from([(self.key.clone(), Secret::new(std::mem::take(&mut *bytes)))]),
            labels: BTreeMap::new(),
        })
    }
}
