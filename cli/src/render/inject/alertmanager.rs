//! `AlertmanagerInjection`s in `render`.

use std::collections::BTreeMap;

use waxwing_core::{
    Secret,
    inject::Node,
    injection::{
        Fault,
        alertmanager::{Made as Config, Spec},
        include::{self, Team},
    },
    seal::DataKey,
};
use waxwing_crds::{AlertReceiverSpec, AlertmanagerInjectionSpec, Include};

use super::{
    Before, Checked, Key, Made, One, Outcome, Traits, Wish,
    credentials::{Answers, Credentials},
    problems, refused,
    reload::Call,
    warnings,
};
use crate::render::source::Receiver;

/// A checked spec, and what goes into its document.
struct Alertmanager<'a> {
    spec: Spec,
    /// The key of the file.
    key: DataKey,
    /// AlertReceivers that it takes in.
    teams: Vec<(&'a Key, &'a AlertReceiverSpec, String)>,
    /// Those that it would take in, and cannot.
    left_out: Vec<String>,
}

/// Checks a spec.
pub(super) fn check<'a>(one: &One<'a>, spec: &AlertmanagerInjectionSpec) -> Outcome<Box<dyn Checked + 'a>> {
    let spec = Spec::read(spec)?;
    let key = spec.target.key.parse();
    let key = key.map_err(|_| Fault::spec("target.key: no Secret can have this key"))?;
    let mut checked = Alertmanager { spec, key, teams: Vec::new(), left_out: Vec::new() };
    for (name, receivers) in &one.source.receivers {
        checked.team(one, name, receivers);
    }
    Ok(Box::new(checked))
}

impl<'a> Alertmanager<'a> {
    /// Takes an AlertReceiver in, if both want it.
    fn team(&mut self, one: &One<'_>, name: &'a Key, receivers: &'a [Receiver]) {
        let none = BTreeMap::new();
        let namespace = one.around.reach.manifests().labels(&name.namespace).unwrap_or(&none);
        let of = |receiver: &Receiver| {
            let selects = |wish: &&Include| {
                include::selects(wish, &one.key.namespace, &name.namespace, &receiver.labels, namespace)
            };
            self.spec.include.iter().find(selects).map(|wish| include::label(wish).to_owned())
        };
        let Some((receiver, label)) = receivers.iter().find_map(|receiver| Some((receiver, of(receiver)?)))
        else {
            return;
        };
        match &receiver.spec {
            Ok(spec) if !include::consents(spec, &one.key.namespace, &one.key.name) => {}
            Ok(spec) if receivers.len() == 1 => self.teams.push((name, spec, label)),
            Ok(_) => self.left_out.push(format!("AlertReceiver {name} stands more than once")),
            Err(what) => self.left_out.push(format!("AlertReceiver {name}: {what}")),
        }
    }
}

impl Checked for Alertmanager<'_> {
    fn traits(&self) -> Traits {
        let goes_along = self.spec.target.goes_along;
        Traits { refresh: self.spec.refresh, goes_along, doubles_dollars: false }
    }

    fn secrets(&self) -> Vec<&str> {
        vec![&self.spec.target.secret]
    }

    fn document(&self, credentials: &Credentials<'_>) -> Outcome<(Node, Vec<String>)> {
        let text = self.spec.origin().map(|origin| credentials.text(origin)).transpose()?.flatten();
        let mut document = self.spec.document(text.as_ref().map(|text| text.as_str()))?;
        let mut left_out = self.left_out.clone();
        if !self.spec.include.is_empty() {
            let teams = self.teams.iter().map(|(key, spec, label)| Team {
                namespace: &key.namespace,
                name: &key.name,
                spec,
                label,
            });
            let teams: Vec<Team<'_>> = teams.collect();
            for (index, fault) in include::include(&mut document, &teams, &self.spec.target) {
                left_out.push(format!("AlertReceiver {}: {}", self.teams[index].0, fault.message));
            }
        }
        Ok((document, left_out))
    }

    fn make(&self, document: &Node, answers: &Answers, before: Before) -> Outcome<Made> {
        let made = self.spec.make(document, answers, &before.values).map_err(|why| refused(&why))?;
        let Config { mut bytes, receivers, stale, warnings: findings, .. } = made;
        let (problems, reason) = problems(&receivers, &stale);
        let files = BTreeMap::from([(self.key.clone(), Secret::new(std::mem::take(&mut *bytes)))]);
        let wish = Wish { files, labels: BTreeMap::new() };
        let secrets = BTreeMap::from([(self.spec.target.secret.clone(), wish)]);
        Ok(Made { secrets, problems, reason, warnings: warnings(&findings) })
    }

    fn calls(&self, _: &mut Credentials<'_>) -> Result<Vec<Call>, String> {
        Ok(self.spec.target.reload.iter().map(|url| Call::new(url)).collect())
    }
}
