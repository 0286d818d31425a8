//! `AlertmanagerInjection`: its checked spec, its document, and the configuration that comes of it.

use std::{collections::BTreeMap, str::FromStr};

use waxwing_crds::{
    AfterDeletion, AlertmanagerInjectionSpec, AlertmanagerTargetKind, Include, OnLoadFailure, ProbeMode,
    Reason,
};
use zeroize::Zeroizing;

use super::{Canary, Fault, Origin, Policy, Refused, Set, include, plan, policy};
use crate::{
    Secret,
    alertmanager::{
        Version,
        capability::{self, OperatorVersion},
        render::{self, Answer, Problem, Receiver, Rendered},
        route::{self, RouteTest},
        validate::{Finding, Severity},
    },
    inject::{Node, Reference, to_yaml},
    seal::DataKey,
    yaml,
};

/// The kind, as `waxwing.dev/owned-by` names it.
pub const KIND: &str = "AlertmanagerInjection";
/// The key of the published Secret where the spec does not say.
const KEY: &str = "alertmanager.yaml";
/// Seconds that loading may take, where the spec does not say.
const WITHIN: i64 = 180;

/// A checked spec.
#[derive(Clone)]
pub struct Spec {
    /// Where the document is.
    pub source: Source,
    /// References to put into it.
    pub set: Vec<Set>,
    /// Which AlertReceivers are taken in.
    pub include: Vec<Include>,
    /// Seconds between two looks at the entries of stores.
    pub refresh: i64,
    /// Where the configuration goes.
    pub target: Target,
    /// What happens when credentials cannot be had.
    pub policy: Policy,
    /// How it is seen that the configuration was loaded.
    pub verify: Option<Verify>,
    /// How delivery is looked at.
    pub probes: ProbeMode,
    /// The canary alert, where one is sent.
    pub canary: Option<Canary>,
    /// Alerts and who is to get them.
    pub tests: Vec<RouteTest>,
}

/// Where a document is.
#[derive(Clone)]
pub enum Source {
    /// In the spec.
    Inline(Node),
    /// In an object beside it.
    From(Origin),
}

/// Where a configuration goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who reads it.
    pub kind: AlertmanagerTargetKind,
    /// The Secret.
    pub secret: String,
    /// The key in it.
    pub key: String,
    /// Which Alertmanager reads it.
    pub version: Version,
    /// Which prometheus-operator does.
    pub operator: OperatorVersion,
    /// The URL to post to when there is something new.
    pub reload: Option<String>,
    /// Whether the Secret goes with the injection.
    pub goes_along: bool,
}

/// How it is seen that a configuration was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verify {
    /// URLs of the servers.
    pub endpoints: Vec<String>,
    /// Seconds that loading may take.
    pub within: i64,
    /// Whether the last one that was loaded is published again after that.
    pub rolls_back: bool,
}

/// A configuration that may be published.
pub struct Made {
    /// The bytes of alertmanager.yaml. They hold credentials.
    pub bytes: Zeroizing<Vec<u8>>,
    /// How each receiver came out.
    pub receivers: Vec<Receiver>,
    /// Credentials outside of receivers whose last good value stands in.
    pub stale: Vec<Problem>,
    /// What somebody should know: literals in the place of credentials among it.
    pub warnings: Vec<Finding>,
}

impl Spec {
    /// Checks a spec.
    ///
    /// # Errors
    /// The first thing that makes no sense.
    pub fn read(spec: &AlertmanagerInjectionSpec) -> Result<Self, Fault> {
        let source = match (&spec.config, &spec.config_from) {
            (Some(config), None) => Source::Inline(
                Node::read(&config.0).map_err(|error| Fault::spec(format!("config: {error}")))?,
            ),
            (None, Some(from)) => Source::From(Origin::read(from)?),
            _ => return Err(Fault::spec("set either config or configFrom")),
        };
        let set = spec.set.iter().enumerate().map(|(index, set)| Set::read(index, set));
        Ok(Self {
            source,
            set: set.collect::<Result<_, _>>()?,
            include: spec.include.clone(),
            refresh: policy::refresh(spec.refresh_interval.as_deref())?,
            target: target(spec)?,
            policy: Policy::read(spec.policy.as_ref())?,
            verify: verify(spec)?,
            probes: spec.probes.as_ref().and_then(|probes| probes.mode).unwrap_or_default(),
            canary: Canary::read(spec.probes.as_ref())?,
            tests: spec.route_tests.iter().map(test).collect(),
        })
    }

    /// The object beside the injection that holds the document, if one does.
    #[must_use]
    pub fn origin(&self) -> Option<&Origin> {
        match &self.source {
            Source::Inline(_) => None,
            Source::From(origin) => Some(origin),
        }
    }

    /// The document with all references in their places. `text` is that of [`Spec::origin`], where there is one.
    ///
    /// # Errors
    /// The text is no document, or lacks a place for a reference.
    pub fn document(&self, text: Option<&str>) -> Result<Node, Fault> {
        let mut document = match (&self.source, text) {
            (Source::Inline(document), _) => document.clone(),
            (Source::From(origin), Some(text)) => read_text(origin, text)?,
            (Source::From(origin), None) => {
                return Err(Fault {
                    reason: Reason::DocumentMissing,
                    message: format!("there is no {origin}"),
                });
            }
        };
        for (index, set) in self.set.iter().enumerate() {
            set.apply(index, &mut document)?;
        }
        if let Some(canary) = &self.canary {
            canary.route(&mut document)?;
        }
        Ok(document)
    }

    /// Puts credentials into a document, and checks everything about what comes of it.
    ///
    /// Without any cluster, a document from [`render::with_dummies`] goes through the same checks.
    ///
    /// # Errors
    /// Why nothing may be published.
    pub fn make(
        &self,
        document: &Node,
        answers: &BTreeMap<Reference, Answer>,
        last_good: &BTreeMap<Reference, Secret>,
    ) -> Result<Made, Refused> {
        let version = self.target.version;
        let rendered = render::render(&render::Input {
            document,
            version,
            answers,
            last_good,
            on_unresolved: self.policy.on_unresolved,
            fallback: self.policy.fallback.as_deref(),
            refuses: self.refuses(),
        });
        let Rendered { config, receivers, stale, mut warnings } =
            rendered.map_err(|refused| match refused {
                render::Refused::Unresolved(problems) => Refused::Unresolved(problems),
                render::Refused::Invalid(findings) => Refused::Invalid(findings),
            })?;
        if self.target.kind == AlertmanagerTargetKind::PrometheusOperator {
            let (errors, more): (Vec<_>, Vec<_>) =
                capability::unsupported(&config, self.target.operator, version)
                    .into_iter()
                    .partition(|finding| finding.severity == Severity::Error);
            if !errors.is_empty() {
                return Err(Refused::Unsupported(errors));
            }
            warnings.extend(more);
        }
        self.route(&config)?;
        Ok(Made { bytes: to_yaml(&config), receivers, stale, warnings })
    }

    /// What a credential may not be, beyond what its field asks.
    fn refuses(&self) -> fn(&str) -> Option<&'static str> {
        match self.target.kind {
            AlertmanagerTargetKind::PrometheusOperator => |value| {
                capability::expands(value).then_some(
                    "has $(NAME) in it, for which the config reloader may put an environment variable",
                )
            },
            AlertmanagerTargetKind::Plain => |_| None,
        }
    }

    /// Where alerts go but for what teams add, which is no matter of the injection's tests: a team could have them fail, and
    /// nothing would be published. None where no teams are taken in.
    #[must_use]
    pub fn tested(&self, config: &Node) -> Option<Result<route::Plan, Vec<route::Fault>>> {
        let own = if self.include.is_empty() { None } else { include::platform(config) };
        own.map(|own| route::Plan::read(&own, self.target.version))
    }

    fn route(&self, config: &Node) -> Result<(), Refused> {
        let invalid = |faults: Vec<route::Fault>| {
            let finding = |fault: route::Fault| Finding {
                message: fault.what.to_string(),
                at: fault.at,
                rule: "route",
                severity: Severity::Error,
            };
            Refused::Invalid(faults.into_iter().map(finding).collect())
        };
        let mut plan = route::Plan::read(config, self.target.version).map_err(invalid)?;
        if let Some(tested) = self.tested(config) {
            plan = tested.map_err(invalid)?;
        }
        let failures: Vec<_> = self
            .tests
            .iter()
            .flat_map(|test| {
                let failures = plan.run(test).failures;
                failures.into_iter().map(|failure| (test.name.clone(), failure.to_string()))
            })
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(Refused::Misrouted(failures)) }
    }
}

/// The document in an object of somebody else. It may hold credentials, so nothing of it is shown.
fn read_text(origin: &Origin, text: &str) -> Result<Node, Fault> {
    let wrong = |what: String| Fault { reason: Reason::ConfigInvalid, message: format!("{origin}: {what}") };
    let mut documents = yaml::documents(text).map_err(|error| wrong(error.to_string()))?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Node::read(&document.value).map_err(|error| wrong(error.to_string())),
        _ => Err(wrong("is not one YAML document".to_owned())),
    }
}

fn target(spec: &AlertmanagerInjectionSpec) -> Result<Target, Fault> {
    let target = &spec.target;
    let key = target.key.as_deref().unwrap_or(KEY);
    if key.parse::<DataKey>().is_err() || key == plan::CREDENTIALS {
        return Err(Fault::spec("target.key: no Secret can have this key, or Waxwing needs it itself"));
    }
    Ok(Target {
        kind: target.kind.unwrap_or_default(),
        secret: target.secret_name.clone(),
        key: key.to_owned(),
        version: version(target.version.as_deref(), "target.version", Version::NEWEST)?,
        operator: version(
            target.operator_version.as_deref(),
            "target.operatorVersion",
            OperatorVersion::NEWEST,
        )?,
        reload: target.reload.as_ref().map(|reload| reload.url.clone()),
        goes_along: target.deletion_policy == Some(AfterDeletion::Delete),
    })
}

fn version<V: FromStr>(text: Option<&str>, field: &str, default: V) -> Result<V, Fault>
where
    V::Err: std::fmt::Display,
{
    let Some(text) = text else { return Ok(default) };
    text.parse().map_err(|error| Fault::spec(format!("{field}: {error}")))
}

fn verify(spec: &AlertmanagerInjectionSpec) -> Result<Option<Verify>, Fault> {
    let Some(verify) = &spec.verify else { return Ok(None) };
    Ok(Some(Verify {
        endpoints: verify.endpoints.clone(),
        within: policy::seconds(verify.within.as_deref(), "verify.within", WITHIN)?,
        rolls_back: verify.on_failure.unwrap_or_default() == OnLoadFailure::Rollback,
    }))
}

fn test(test: &waxwing_crds::RouteTest) -> RouteTest {
    RouteTest {
        name: test.name.clone(),
        labels: test.labels.clone(),
        at: test.at.as_ref().map(|at| at.0.as_second()),
        firing: test.firing.clone(),
        expected: route::Expected {
            receivers: test.expect.receivers.clone(),
            muted: test.expect.muted.clone(),
            inhibited: test.expect.inhibited,
        },
    }
}
