//! The options of every verb that reaches stores.

use std::sync::Arc;

use waxwing_core::store::endpoint::Allowed;
use waxwing_providers::Rules;

/// What an operator is told by flags of the same names.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Stores")]
#[group(skip)]
pub(crate) struct Options {
    /// A host that SecretStores may name besides Services of their namespace, as the operator's flag
    #[arg(
        long = "allow-endpoint",
        env = "WAXWING_ALLOW_ENDPOINTS",
        value_name = "HOST",
        value_delimiter = ','
    )]
    allow_endpoints: Vec<Allowed>,
    /// The operator's namespace, in which what a ClusterSecretStore refers to lies
    #[arg(long, value_name = "NAMESPACE", default_value = "waxwing-system")]
    operator_namespace: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { allow_endpoints: Vec::new(), operator_namespace: "waxwing-system".to_owned() }
    }
}

impl Options {
    /// Which hosts may be reached.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        Rules::new(self.allow_endpoints.iter().cloned().collect())
    }

    /// Where the references of ClusterSecretStores lie.
    pub(crate) fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }
}
