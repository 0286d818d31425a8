//! `waxwing route`: where Alertmanager sends an alert, and what a change of its configuration would change about that.
//!
//! Nothing is asked but the files: neither a cluster nor an Alertmanager nor a store.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use waxwing_core::{
    alertmanager::{
        Version,
        matcher::{Labels, Matcher, Operator},
        route::{self, Route, Tree},
    },
    inject::Node,
    yaml,
};

use crate::{
    args::Context,
    error::{Exit, Explain, Failure, Result},
    input,
    printer::{Format, Tone, count},
};

/// Say where Alertmanager sends alerts, before it does.
#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Test(Test),
    Diff(Diff),
}

/// Say which receivers an alert with these labels goes to, in the order of the tree.
///
/// FILE is a native alertmanager.yaml, or a manifest with an AlertmanagerInjection; - is standard input.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  waxwing route test alertmanager.yaml team=db severity=critical\n  waxwing route test alertmanager.yaml team=db --expect db-pager,chat"
)]
struct Test {
    /// Files, and labels of the alert
    #[arg(required = true, value_name = "FILE|LABEL=VALUE")]
    arguments: Vec<String>,
    /// Fail unless the alert goes to exactly these receivers, in this order
    #[arg(long, value_name = "RECEIVERS", value_delimiter = ',')]
    expect: Vec<String>,
    #[command(flatten)]
    common: Common,
}

/// Say which alerts would go to other receivers after a change.
///
/// The labels that are tried come out of the matchers of both files. Each difference is shown by the fewest labels that
/// show it; exit code 3 says that there is one.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  git show main:alertmanager.yaml | waxwing route diff - alertmanager.yaml"
)]
struct Diff {
    /// The configuration so far
    base: PathBuf,
    /// The configuration to be
    head: PathBuf,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The version of Alertmanager, where the file does not say it
    #[arg(long, value_name = "VERSION", default_value_t = Version::NEWEST)]
    alertmanager: Version,
    /// Form of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
}

/// Where one alert goes by one file.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tested {
    file: String,
    receivers: Vec<String>,
    routes: Vec<Row>,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_expected: Option<bool>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    receiver: String,
    route: String,
    matchers: Vec<String>,
    group_by: Vec<String>,
    group_wait_seconds: f64,
    group_interval_seconds: f64,
    repeat_interval_seconds: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Differences {
    differences: Vec<Difference>,
    tried: usize,
    complete: bool,
}

#[derive(Serialize)]
struct Difference {
    labels: Labels,
    base: Vec<String>,
    head: Vec<String>,
}

pub(crate) fn run(args: Args, context: &Context) -> Result {
    match args.what {
        What::Test(args) => test(&args, context),
        What::Diff(args) => diff(&args, context),
    }
}

fn test(args: &Test, context: &Context) -> Result {
    let (labels, files): (Vec<&String>, Vec<&String>) =
        args.arguments.iter().partition(|argument| argument.contains('='));
    if files.is_empty() {
        return Err(Failure::usage("no file is named: what has a = is a label"));
    }
    let labels: Labels = labels.into_iter().filter_map(|label| label.split_once('=')).map(owned).collect();
    let mut tested = Vec::new();
    for file in files {
        for tree in trees(Path::new(file), args.common.alertmanager, context)? {
            let routes = tree.receivers(&labels);
            let receivers: Vec<String> = routes.iter().map(|route| route.receiver.clone()).collect();
            let as_expected = (!args.expect.is_empty()).then(|| receivers == args.expect);
            let routes = routes.into_iter().map(Row::of).collect();
            tested.push(Tested { file: file.clone(), receivers, routes, as_expected });
        }
    }
    let failed = tested.iter().filter(|tested| tested.as_expected == Some(false)).count();
    match args.common.output {
        Format::Json => context.printer.json(&tested)?,
        Format::Text => tested.iter().try_for_each(|tested| tested.print(context))?,
    }
    if failed > 0 {
        context.printer.note(format!("expected was {}", args.expect.join(", ")));
        return Ok(Exit::Found);
    }
    Ok(Exit::Done)
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

impl Row {
    fn of(route: &Route) -> Self {
        let mut group_by: Vec<String> = route.group_by.labels.iter().cloned().collect();
        if route.group_by.all {
            group_by = vec!["...".to_owned()];
        }
        Self {
            receiver: route.receiver.clone(),
            route: route.at.to_string(),
            matchers: route.matchers.iter().map(ToString::to_string).collect(),
            group_by,
            group_wait_seconds: route.group_wait.as_secs_f64(),
            group_interval_seconds: route.group_interval.as_secs_f64(),
            repeat_interval_seconds: route.repeat_interval.as_secs_f64(),
        }
    }
}

impl Tested {
    fn print(&self, context: &Context) -> Result<()> {
        let printer = &context.printer;
        let verdict = match self.as_expected {
            None => String::new(),
            Some(true) => format!("  {}", printer.toned(Tone::Good, "as expected")),
            Some(false) => format!("  {}", printer.toned(Tone::Bad, "not as expected")),
        };
        printer.line(format!("{}{verdict}", printer.toned(Tone::Strong, &self.file)))?;
        let width = self.receivers.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        for row in &self.routes {
            let matchers = if row.matchers.is_empty() {
                String::new()
            } else {
                format!(" {{{}}}", row.matchers.join(", "))
            };
            let by = format!("{}{matchers}", row.route);
            printer.line(format!("  {:width$}  {}", row.receiver, printer.toned(Tone::Faint, &by)))?;
        }
        Ok(())
    }
}

fn diff(args: &Diff, context: &Context) -> Result {
    let one = |path: &Path| {
        let trees = trees(path, args.common.alertmanager, context)?;
        <[Tree; 1]>::try_from(trees)
            .map(|[tree]| tree)
            .map_err(|_| Failure::usage("holds more than one configuration").at(path.display()))
    };
    let (base, head) = (one(&args.base)?, one(&args.head)?);
    let found = route::diff(&base, &head);
    let differences: Vec<Difference> = found.found.into_iter().map(Difference::of).collect();
    let printer = &context.printer;
    let is_same = differences.is_empty();
    match args.common.output {
        Format::Json => {
            printer.json(&Differences { differences, tried: found.tried, complete: !found.is_cut })?;
        }
        Format::Text => {
            for difference in &differences {
                let names = |names: &[String]| names.join(", ");
                printer.line(difference.labels())?;
                printer.line(format!("  - {}", printer.toned(Tone::Bad, &names(&difference.base))))?;
                printer.line(format!("  + {}", printer.toned(Tone::Good, &names(&difference.head))))?;
            }
            let tried = count(found.tried, "set");
            printer.note(format!("{} in {tried} of labels", count(differences.len(), "difference")));
        }
    }
    if found.is_cut {
        printer.warning("there is more to try than was tried: the trees are too large");
    }
    Ok(if is_same { Exit::Done } else { Exit::Found })
}

impl Difference {
    fn of(found: route::Difference) -> Self {
        Self { labels: found.labels, base: found.base, head: found.head }
    }

    /// As Alertmanager writes them: `{severity="page"}`.
    fn labels(&self) -> String {
        let label = |(name, value): (&String, &String)| {
            let matcher = Matcher::new(name, Operator::Equal, value);
            matcher.map(|matcher| matcher.to_string()).unwrap_or_default()
        };
        format!("{{{}}}", self.labels.iter().map(label).collect::<Vec<_>>().join(", "))
    }
}

/// The trees of all configurations in a file.
fn trees(path: &Path, version: Version, context: &Context) -> Result<Vec<Tree>> {
    let text = input::read(path)?;
    // A configuration may hold credentials, so what it says is never repeated.
    let text =
        std::str::from_utf8(text.expose()).map_err(|_| Failure::new("is not UTF-8").at(path.display()))?;
    let mut trees = Vec::new();
    for document in yaml::documents(text).at(path.display())? {
        let (config, version) = match document.value {
            Value::Object(mut object)
                if object.get("kind").and_then(Value::as_str) == Some("AlertmanagerInjection") =>
            {
                let mut spec = object.remove("spec").unwrap_or_default();
                let said =
                    spec["target"]["version"].as_str().map(str::parse).transpose().at("spec.target.version");
                (spec["config"].take(), said.at(path.display())?.unwrap_or(version))
            }
            Value::Object(object) if object.contains_key("route") => (Value::Object(object), version),
            _ => continue,
        };
        let config = Node::read(&config).at(path.display())?;
        let tree = Tree::read(&config, version).map_err(|faults| {
            let more = faults.iter().skip(1).map(|fault| format!("also {fault}"));
            let failure = Failure::new(faults[0].to_string()).at(path.display());
            more.fold(failure, Failure::hint)
        })?;
        for (at, warning) in tree.warnings() {
            context.printer.warning(format!("{}: {at}: {warning}", path.display()));
        }
        trees.push(tree);
    }
    if trees.is_empty() {
        return Err(
            Failure::new("there is no Alertmanager configuration in it: it has no route").at(path.display())
        );
    }
    Ok(trees)
}
