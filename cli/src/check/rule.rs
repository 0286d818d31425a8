//! What can be found, each with the word that machines know it by.

use serde::{Serialize, Serializer};

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// Alertmanager would refuse it.
    ConfigInvalid,
    /// Alertmanager takes it, and somebody should know.
    ConfigWarning,
    /// The document cannot be read here.
    DocumentMissing,
    /// Grafana would refuse it, or not read it.
    GrafanaInvalid,
    /// Grafana takes it, and somebody should know.
    GrafanaWarning,
    /// A credential stands in the document.
    LiteralCredential,
    /// A template stands where a credential belongs.
    LiteralTemplate,
    /// An AlertReceiver that would not be taken in.
    ReceiverRefused,
    /// An AlertReceiver that nothing here takes in.
    ReceiverUnused,
    /// A ConfigMap that is not here.
    ReferenceMissingConfigMap,
    /// A key that its Secret or ConfigMap does not have.
    ReferenceMissingKey,
    /// A Secret that nothing here makes.
    ReferenceMissingSecret,
    /// A store that is not here.
    ReferenceMissingStore,
    /// A Secret that is in another namespace.
    ReferenceOtherNamespace,
    /// An alert would go elsewhere.
    RouteTestFailed,
    /// A resource that the operator would refuse.
    SpecInvalid,
    /// prometheus-operator would refuse or damage it.
    TargetUnsupported,
    /// A file that cannot be read.
    Unreadable,
    /// A version that is newer than what is known.
    VersionUnknown,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// It should not be merged.
    Error,
    /// Somebody should look at it.
    Warning,
}

impl Severity {
    /// The word that text, JSON and SARIF have for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Rule {
    /// Every rule, by its id.
    pub(crate) const ALL: [Self; 19] = [
        Self::ConfigInvalid,
        Self::ConfigWarning,
        Self::DocumentMissing,
        Self::GrafanaInvalid,
        Self::GrafanaWarning,
        Self::LiteralCredential,
        Self::LiteralTemplate,
        Self::ReceiverRefused,
        Self::ReceiverUnused,
        Self::ReferenceMissingConfigMap,
        Self::ReferenceMissingKey,
        Self::ReferenceMissingSecret,
        Self::ReferenceMissingStore,
        Self::ReferenceOtherNamespace,
        Self::RouteTestFailed,
        Self::SpecInvalid,
        Self::TargetUnsupported,
        Self::Unreadable,
        Self::VersionUnknown,
    ];

    /// The word that machines know it by. It does not change.
    pub(crate) fn id(self) -> &'static str {
        self.facts().0
    }

    /// How bad it is.
    pub(crate) fn severity(self) -> Severity {
        match self {
            Self::ConfigWarning
            | Self::DocumentMissing
            | Self::GrafanaWarning
            | Self::LiteralTemplate
            | Self::ReceiverUnused
            | Self::ReferenceMissingConfigMap
            | Self::ReferenceMissingStore
            | Self::VersionUnknown => Severity::Warning,
            _ => Severity::Error,
        }
    }

    /// What is wrong, in a sentence.
    pub(crate) fn short(self) -> &'static str {
        self.facts().1
    }

    /// What to do about it.
    pub(crate) fn help(self) -> &'static str {
        self.facts().2
    }

    /// Its place among all of them.
    pub(crate) fn index(self) -> usize {
        Self::ALL.iter().position(|rule| *rule == self).unwrap_or_default()
    }

    fn facts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::ConfigInvalid => (
                "config-invalid",
                "Alertmanager would refuse this configuration.",
                "Mend the field that is named. The operator publishes nothing of such a configuration and leaves the last good one in place.",
            ),
            Self::ConfigWarning => (
                "config-warning",
                "Alertmanager takes this, and it may not do what its author means.",
                "Read what is said about the field, and change it if that is not what you want.",
            ),
            Self::DocumentMissing => (
                "document-missing",
                "The document of configFrom cannot be read here, so nothing about it was checked.",
                "Check the folder in which the ConfigMap lies as well, or what Helm or Kustomize makes of it: `helm template … | waxwing check - …`.",
            ),
            Self::GrafanaInvalid => (
                "grafana-invalid",
                "Grafana would refuse this, or do something else than it says.",
                "Mend the field that is named. docs/GRAFANA.md says what Grafana takes.",
            ),
            Self::GrafanaWarning => (
                "grafana-warning",
                "Grafana takes this, and it may not do what its author means.",
                "Read what is said about the field, and change it if that is not what you want.",
            ),
            Self::LiteralCredential => (
                "literal-credential",
                "A credential stands in a file, for everybody to read who can read the repository.",
                "Seal it with `waxwing set`, write {$secret: {name: …, key: …}} in its place, and replace the credential itself: history keeps it.",
            ),
            Self::LiteralTemplate => (
                "literal-template",
                "A template stands where a credential belongs, and the text around it is for everybody to read.",
                "What a reference gives is never run as a template, so this cannot be sealed as it is. If a part of it is a credential, put that part into a field of its own, such as http_config.authorization.credentials.",
            ),
            Self::ReceiverRefused => (
                "receiver-refused",
                "An AlertReceiver would not be taken into its injection.",
                "Mend what is named. The injection goes on without this receiver, so its team gets no alerts through it.",
            ),
            Self::ReceiverUnused => (
                "receiver-unused",
                "No injection here takes in this AlertReceiver.",
                "Name an injection that exists, and let its spec.include select this object; or check the folder in which that injection lies as well.",
            ),
            Self::ReferenceMissingConfigMap => (
                "reference-missing-config-map",
                "A ConfigMap is referred to and is not here.",
                "Check the folder in which it lies as well, or say with --elsewhere that somebody else makes it.",
            ),
            Self::ReferenceMissingKey => (
                "reference-missing-key",
                "A Secret or ConfigMap is referred to for a key that it does not have.",
                "Add the key with `waxwing set FILE KEY`, or correct the reference.",
            ),
            Self::ReferenceMissingSecret => (
                "reference-missing-secret",
                "A Secret is referred to and nothing here makes it.",
                "Add a SealedSecret or an ExternalSecret of this name in the same namespace, correct the reference, or say with --elsewhere that somebody else makes it.",
            ),
            Self::ReferenceMissingStore => (
                "reference-missing-store",
                "A store is referred to and is not here.",
                "Stores often lie in another repository: say so with --elsewhere, or check their folder as well.",
            ),
            Self::ReferenceOtherNamespace => (
                "reference-other-namespace",
                "A Secret of this name is here, and in another namespace.",
                "A reference always means the namespace of the object that it stands in. Put the Secret there: for a SealedSecret, seal it anew for that namespace.",
            ),
            Self::RouteTestFailed => (
                "route-test-failed",
                "An alert would go to other receivers than a route test says.",
                "`waxwing route test FILE LABEL=VALUE…` shows the routes that an alert takes. Correct the routes, or the test.",
            ),
            Self::SpecInvalid => (
                "spec-invalid",
                "The operator, or the API server before it, would refuse this resource.",
                "Mend the field that is named; docs/reference/api.md lists all of them.",
            ),
            Self::TargetUnsupported => (
                "target-unsupported",
                "prometheus-operator has no such field in this version, and would refuse the configuration or damage it.",
                "Leave the field out, or give the version that runs with spec.target.operatorVersion or --target prometheus-operator=VERSION.",
            ),
            Self::Unreadable => (
                "unreadable",
                "A file cannot be read as YAML or JSON.",
                "Correct it at the place that is named. Templates have to be rendered first: `helm template … | waxwing check -`.",
            ),
            Self::VersionUnknown => (
                "version-unknown",
                "The target is of a version that is newer than what this command knows; it was checked as the newest that is known.",
                "Get a newer waxwing, or try the configuration with the server itself.",
            ),
        }
    }
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_stand_in_order_and_say_what_to_do() {
        let ids: Vec<&str> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        for (index, rule) in Rule::ALL.into_iter().enumerate() {
            assert_eq!(rule.index(), index);
            assert!(rule.short().ends_with('.') && rule.help().ends_with(['.', '`']), "{}", rule.id());
        }
    }

    /// The page names each rule with its severity and its sentence.
    #[test]
    fn the_page_lists_every_rule() {
        let page = include_str!("../../../docs/CHECK.md");
        for rule in Rule::ALL {
            let row = format!("| `{}` | {} | {} |", rule.id(), rule.severity().word(), rule.short());
            assert!(page.contains(&row), "docs/CHECK.md lacks this row:\n{row}");
        }
        assert_eq!(page.matches("\n| `").count(), Rule::ALL.len(), "docs/CHECK.md has other rows too");
    }
}
