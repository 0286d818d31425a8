//! Service accounts with an administrator's rights, for the sides that the chart does not install.

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use waxwing_tests::chart;
use waxwing_tests::control_plane::ControlPlane;

/// Makes an account in a new namespace of the same name, and gives a token of it.
pub(crate) async fn administrator(plane: &ControlPlane, name: &str) -> Result<String> {
    plane.create_namespace(name).await?;
    let objects = [
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": name}}),
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": name}],
        }),
    ];
    for object in &objects {
        chart::apply(&plane.admin, object).await?;
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(plane.admin.clone(), name);
    let spec = TokenRequestSpec { expiration_seconds: Some(4 * 60 * 60), ..Default::default() };
    let request = TokenRequest { spec: Some(spec), ..Default::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
    answer.status.and_then(|status| status.token).context("a token request is answered with a token")
}

/// The name by which the API server knows it.
pub(crate) fn user(name: &str) -> String {
    format!("system:serviceaccount:{name}:{name}")
}
