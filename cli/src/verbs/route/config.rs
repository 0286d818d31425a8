//! The configurations in files, native or in injections.

use std::path::Path;

use serde_json::Value;
use waxwing_core::{
    alertmanager::{
        Version,
        route::{Fault, Plan, RouteTest},
    },
    inject::Node,
    injection::{OriginKind, alertmanager::Spec, include},
    yaml,
};
use waxwing_crds::AlertmanagerInjection;

use crate::{
    args::Context,
    check::{Kind, Known, Object, Receivers, Tree},
    error::{Explain, Failure, Result},
    input,
};

/// A configuration.
pub(super) struct Config {
    /// Where it stands.
    pub(super) file: String,
    /// The injection that it is of.
    pub(super) resource: Option<String>,
    /// Where alerts go.
    pub(super) plan: Plan,
    /// The injection's own tests.
    pub(super) tests: Vec<RouteTest>,
    /// Where alerts go in those, if teams add something that they are not about.
    pub(super) tested: Option<Plan>,
}

/// The configurations of all files. Each file has one, or something for one of another.
pub(super) fn configs(paths: &[&Path], version: Version, context: &Context) -> Result<Vec<Config>> {
    let mut configs = Vec::new();
    let mut tree = Tree::default();
    for path in paths {
        let text = input::read(path)?;
        // A configuration may hold credentials, so what it says is never repeated.
        let text = std::str::from_utf8(text.expose())
            .map_err(|_| Failure::new("is not UTF-8").at(path.display()))?;
        let before = (configs.len(), tree.objects.len());
        for document in yaml::documents(text).at(path.display())? {
            if document.value.get("kind").is_none() && document.value.get("route").is_some() {
                configs.push(native(path, &document.value, version)?);
            }
        }
        tree.add(&path.to_string_lossy(), text, true, None);
        if (configs.len(), tree.objects.len()) == before {
            return Err(nothing_in(path));
        }
    }
    let (known, receivers) = (Known::new(&tree, Vec::new()), Receivers::of(&tree));
    for object in tree.objects.iter().filter(|object| object.kind == Kind::AlertmanagerInjection) {
        let title = format!("{}: {}", tree.files[object.file].name, object.title());
        configs.push(injection(&tree, object, version, &known, &receivers, context).at(title)?);
    }
    for config in &configs {
        for (at, warning) in config.plan.tree.warnings() {
            context.printer.warning(format!("{}: {at}: {warning}", config.file));
        }
    }
    if configs.is_empty() { Err(nothing_in(paths[0])) } else { Ok(configs) }
}

fn nothing_in(path: &Path) -> Failure {
    Failure::new("there is no Alertmanager configuration in it: it has no route").at(path.display())
}

fn native(path: &Path, value: &Value, version: Version) -> Result<Config> {
    let document = Node::read(value).at(path.display())?;
    let plan = Plan::read(&document, version).map_err(|faults| of_faults(&faults).at(path.display()))?;
    Ok(Config { file: path.display().to_string(), resource: None, plan, tests: Vec::new(), tested: None })
}

fn injection(
    tree: &Tree,
    object: &Object,
    version: Version,
    known: &Known,
    receivers: &Receivers,
    context: &Context,
) -> Result<Config> {
    let typed: AlertmanagerInjection = yaml::from_value(tree.value(object))?;
    let mut spec = Spec::read(&typed.spec)?;
    if typed.spec.target.version.is_none() {
        spec.target.version = version;
    }
    let text = match spec.origin() {
        None => None,
        Some(origin) => {
            let is_secret = origin.kind == OriginKind::Secret;
            let text = known.text(tree, is_secret, &object.namespace, &origin.name, &origin.key);
            let missing = || {
                Failure::new(format!("there is no {origin} in these files")).hint(format!(
                    "name the file that has the {}, too",
                    if is_secret { "plain Secret" } else { "ConfigMap" }
                ))
            };
            Some(text.ok_or_else(missing)?)
        }
    };
    let mut document = spec.document(text.as_ref().map(|text| text.as_str()))?;
    if !spec.include.is_empty() {
        let teams = receivers.teams(tree, &known.labels, object, &spec);
        let (indexes, teams): (Vec<usize>, Vec<_>) = teams.into_iter().unzip();
        for (team, fault) in include::include(&mut document, &teams, &spec.target) {
            let title = tree.objects[indexes[team]].title();
            context.printer.warning(format!("{title} is left out: {fault}"));
        }
    }
    let plan = Plan::read(&document, spec.target.version).map_err(|faults| of_faults(&faults))?;
    let tested = spec.tested(&document).transpose().map_err(|faults| of_faults(&faults))?;
    let file = tree.files[object.file].name.clone();
    Ok(Config { file, resource: Some(object.title()), plan, tests: spec.tests, tested })
}

fn of_faults(faults: &[Fault]) -> Failure {
    let first = faults.first().map(ToString::to_string).unwrap_or_default();
    let more = faults.iter().skip(1).map(|fault| format!("also {fault}"));
    more.fold(Failure::new(first), Failure::hint)
}
