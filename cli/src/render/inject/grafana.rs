//! `GrafanaInjection`s in `render`: the files of provisioning. Grafana's HTTP API is the operator's to speak.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use waxwing_core::{
    Secret,
    grafana::{Scope, api},
    inject::{Answer, Node, Reference},
    injection::{
        Fault,
        grafana::{self as core, Auth, Earlier, KIND, Spec},
    },
    seal::DataKey,
};
use waxwing_crds::{GrafanaInjectionSpec, GrafanaTargetKind, Reason};
use zeroize::Zeroizing;

use super::{
    Before, Checked, InjectionSpec, Key, Made, One, Outcome, Source, Traits, Wish,
    credentials::{Answers, Credentials},
    problems, refused,
    reload::Call,
    warnings,
};

/// A checked spec, and the documents of the others.
struct Grafana {
    key: Key,
    spec: Spec,
    others: Vec<Node>,
}

/// Checks a spec.
pub(super) fn check(one: &One<'_>, spec: &GrafanaInjectionSpec) -> Outcome<Box<dyn Checked>> {
    let spec = Spec::read(&one.key.name, spec)?;
    if spec.target.kind == GrafanaTargetKind::Api {
        let message = "target.kind API is for the operator: choose Mounted to get files".to_owned();
        return Err(Fault { reason: Reason::TargetUnsupported, message });
    }
    let others = documents(one.source).filter(|(key, _)| *key != one.key);
    let others = others.map(|(_, document)| document).collect();
    Ok(Box::new(Grafana { key: one.key.clone(), others, spec }))
}

/// The documents of all GrafanaInjections, as far as they make sense.
fn documents(source: &Source) -> impl Iterator<Item = (&Key, Node)> {
    let all = source.injections.iter().filter(|((kind, _), _)| *kind == KIND);
    let all = all.flat_map(|((_, key), objects)| objects.iter().map(move |object| (key, object)));
    all.filter_map(|(key, object)| match object.spec.as_ref().ok()? {
        InjectionSpec::Grafana(spec) => Some((key, Spec::read(&key.name, spec).ok()?.document)),
        InjectionSpec::Alertmanager(_) => None,
    })
}

/// What has Grafana forget all that stood in these files of an injection that is gone, as far as no other has it.
pub(super) fn farewell<'a>(
    source: &Source,
    injection: &Key,
    files: impl Iterator<Item = &'a Secret>,
) -> Wish {
    let before = Earlier { files: files.cloned().collect(), is_read: false };
    let mut around = core::Around { published: vec![before], ..core::Around::default() };
    documents(source).for_each(|(_, document)| around.add(&document));
    let scope = Scope { namespace: &injection.namespace, name: &injection.name };
    let (tombstones, files) = core::farewell(scope, &around);
    let mut wish = Wish::default();
    for mut file in files.into_iter().filter(|_| !tombstones.0.is_empty()) {
        if let Ok(key) = file.key.parse() {
            wish.labels.insert(file.kind.label().to_owned(), "1".to_owned());
            wish.files.insert(key, Secret::new(std::mem::take(&mut *file.content)));
        }
    }
    wish
}

impl Checked for Grafana {
    fn traits(&self) -> Traits {
        Traits { refresh: self.spec.refresh, goes_along: true, doubles_dollars: true }
    }

    fn secrets(&self) -> Vec<&str> {
        self.spec.target.carriers.iter().map(|carrier| carrier.name.as_str()).collect()
    }

    fn document(&self, _: &Credentials<'_>) -> Outcome<(Node, Vec<String>)> {
        Ok((self.spec.document.clone(), Vec::new()))
    }

    fn make(&self, document: &Node, answers: &Answers, before: Before) -> Outcome<Made> {
        let Before { files, is_read, values } = before;
        let mut around =
            core::Around { published: vec![Earlier { files, is_read }], ..core::Around::default() };
        self.others.iter().for_each(|other| around.add(other));
        let scope = Scope { namespace: &self.key.namespace, name: &self.key.name };
        let made = self.spec.make(scope, document, answers, &values, &around).map_err(|why| refused(&why))?;
        let mut secrets: BTreeMap<String, Wish> = BTreeMap::new();
        for mut file in made.files {
            let carriers = &self.spec.target.carriers;
            let Some(carrier) = carriers.iter().find(|carrier| carrier.kinds.contains(&file.kind)) else {
                continue;
            };
            let key: DataKey =
                file.key.parse().map_err(|_| Fault::spec("its name is too long for a file"))?;
            let wish = secrets.entry(carrier.name.clone()).or_default();
            wish.labels.extend(carrier.label.map(|label| (label.to_owned(), "1".to_owned())));
            wish.files.insert(key, Secret::new(std::mem::take(&mut *file.content)));
        }
        let (problems, reason) = problems(&made.receivers, &made.stale);
        Ok(Made { secrets, problems, reason, warnings: warnings(&made.warnings) })
    }

    fn calls(&self, credentials: &mut Credentials<'_>) -> Result<Vec<Call>, String> {
        let target = &self.spec.target;
        let (Some(url), Some(auth)) = (&target.url, &target.auth) else { return Ok(Vec::new()) };
        let answers = credentials.answers(auth.references().into_iter().cloned(), self.spec.refresh);
        let text = |reference: &Reference| match answers.get(reference) {
            // Why exposed: to log in with.
            Some(Answer::Value(value)) => match std::str::from_utf8(value.expose()) {
                Ok(text) => Ok(Zeroizing::new(text.to_owned())),
                Err(_) => Err(format!("{reference}: it is not UTF-8")),
            },
            Some(Answer::Unresolved(what)) => Err(format!("{reference}: {what}")),
            None => Err(format!("{reference}: it was not looked up")),
        };
        let authorization = match auth {
            Auth::Token(token) => Zeroizing::new(format!("Bearer {}", *text(token)?)),
            Auth::User(name, password) => {
                let account = Zeroizing::new(format!("{}:{}", *text(name)?, *text(password)?));
                Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(account.as_bytes())))
            }
        };
        let kinds = target.carriers.iter().flat_map(|carrier| carrier.kinds);
        let calls = kinds.map(|kind| {
            let url = format!("{}{}", url.trim_end_matches('/'), api::reload(*kind).path);
            Call::new(&url).with(&authorization)
        });
        Ok(calls.collect())
    }
}
