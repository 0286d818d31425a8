//! Why an injection publishes nothing.

use waxwing_crds::Reason;

use crate::{alertmanager::validate::Finding, inject::Problem};

/// Why nothing is published.
#[derive(Debug)]
pub enum Refused {
    /// Credentials cannot be had, and the policy or the document leaves nothing to publish without them.
    Unresolved(Vec<Problem>),
    /// Alertmanager or Grafana would refuse the configuration.
    Invalid(Vec<Finding>),
    /// The target cannot take it.
    Unsupported(Vec<Finding>),
    /// Alerts would go elsewhere than the tests say: name and failure of each.
    Misrouted(Vec<(String, String)>),
}

impl Refused {
    /// The reason that conditions and metrics show.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Unresolved(_) => Reason::CredentialUnresolved,
            Self::Invalid(_) => Reason::ConfigInvalid,
            Self::Unsupported(_) => Reason::TargetUnsupported,
            Self::Misrouted(_) => Reason::RouteTestFailed,
        }
    }

    /// What is wrong, each in a phrase; never a value.
    #[must_use]
    pub fn messages(&self) -> Vec<String> {
        match self {
            Self::Unresolved(problems) => problems
                .iter()
                .map(|problem| format!("{}: {}: {}", problem.at, problem.reference, problem.message))
                .collect(),
            Self::Invalid(findings) | Self::Unsupported(findings) => {
                findings.iter().map(|finding| format!("{}: {}", finding.at, finding.message)).collect()
            }
            Self::Misrouted(failures) => failures
                .iter()
                .map(|(name, failure)| format!("the alert of route test {name:?} {failure}"))
                .collect(),
        }
    }
}
