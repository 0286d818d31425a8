//! The ways into Vault that a test opens: policies, tokens, auth methods.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{ROOT_TOKEN, Vault, text};
use crate::certs::Identity;
use crate::control_plane::ControlPlane;
use crate::slapd::{self, Slapd};

/// What one logs in with: the ids of an AppRole, or a name and a password.
#[derive(Clone, Debug)]
pub struct Login {
    /// The role's id, or the user.
    pub id: String,
    /// The secret id, or the password.
    pub secret: String,
}

impl Vault {
    /// Makes a policy from lines such as `path "secret/data/*" { capabilities = ["read"] }`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn policy(&self, name: &str, rules: &str) -> Result<()> {
        self.write(&format!("sys/policies/acl/{name}"), json!({"policy": rules})).await?;
        Ok(())
    }

    /// A token with one policy. `ttl` is such as `1h`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn token(&self, policy: &str, ttl: &str) -> Result<String> {
        let body = json!({"policies": [policy], "ttl": ttl, "no_default_policy": false});
        let answer = self.write("auth/token/create-orphan", body).await?;
        text(&answer["auth"]["client_token"])
    }

    /// Enables an auth method, once: a second time is no error.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn enable_auth(&self, mount: &str, method: &str) -> Result<()> {
        let path = format!("sys/auth/{mount}");
        let answer = self.request(ROOT_TOKEN, "POST", &path, &json!({"type": method})).await?;
        if answer.status == 400 && answer.text().contains("path is already in use") {
            return Ok(());
        }
        answer.ok().with_context(|| format!("enable {method} at {mount}"))?;
        Ok(())
    }

    /// AppRole at `mount`: a role with one policy. Tokens live as long as `ttl` says.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn approle(&self, mount: &str, role: &str, policy: &str, ttl: &str) -> Result<Login> {
        self.enable_auth(mount, "approle").await?;
        let path = format!("auth/{mount}/role/{role}");
        self.write(&path, json!({"token_policies": [policy], "token_ttl": ttl})).await?;
        let id = text(&self.read(&format!("{path}/role-id")).await?["data"]["role_id"])?;
        let secret = self.write(&format!("{path}/secret-id"), json!({})).await?;
        Ok(Login { id, secret: text(&secret["data"]["secret_id"])? })
    }

    /// Users with passwords at `mount`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn userpass(&self, mount: &str, user: &str, policy: &str) -> Result<Login> {
        self.enable_auth(mount, "userpass").await?;
        let secret = format!("password of {user}");
        let body = json!({"password": secret, "token_policies": [policy]});
        self.write(&format!("auth/{mount}/users/{user}"), body).await?;
        Ok(Login { id: user.to_owned(), secret })
    }

    /// Kubernetes at `mount`: the ServiceAccount's tokens for `audience` log in as `role`. Vault asks the API server by
    /// TokenReview, as an account of its own.
    ///
    /// # Errors
    /// When Vault or the API server refuses.
    pub async fn kubernetes(
        &self,
        plane: &ControlPlane,
        mount: &str,
        role: &str,
        (namespace, account): (&str, &str),
        audience: &str,
        policy: &str,
    ) -> Result<()> {
        let reviewer = reviewer(plane).await?;
        self.enable_auth(mount, "kubernetes").await?;
        let config = json!({
            "kubernetes_host": plane.url, "kubernetes_ca_cert": plane.certs.ca_pem, "token_reviewer_jwt": reviewer,
            "disable_local_ca_jwt": true,
        });
        self.write(&format!("auth/{mount}/config"), config).await?;
        let body = json!({
            "bound_service_account_names": [account], "bound_service_account_namespaces": [namespace],
            "audience": audience, "token_policies": [policy], "token_ttl": "1h",
        });
        self.write(&format!("auth/{mount}/role/{role}"), body).await?;
        Ok(())
    }

    /// JWT at `mount`: tokens that the API server signed for `audience` and this subject log in as `role`. Vault checks
    /// them by the public key alone.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn jwt(
        &self,
        plane: &ControlPlane,
        mount: &str,
        role: &str,
        (namespace, account): (&str, &str),
        audience: &str,
        policy: &str,
    ) -> Result<()> {
        self.enable_auth(mount, "jwt").await?;
        let key = std::fs::read_to_string(&plane.certs.sa_pub)?;
        let config = json!({"jwt_validation_pubkeys": [key], "jwt_supported_algs": ["ES256"]});
        self.write(&format!("auth/{mount}/config"), config).await?;
        let body = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": [audience],
            "bound_subject": format!("system:serviceaccount:{namespace}:{account}"),
            "token_policies": [policy], "token_ttl": "1h",
        });
        self.write(&format!("auth/{mount}/role/{role}"), body).await?;
        Ok(())
    }

    /// LDAP at `mount`: everybody in the directory logs in with one policy, and who is in the group `readers` with the
    /// policy of that name, too.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn ldap(&self, directory: &Slapd, mount: &str, policy: &str) -> Result<()> {
        self.enable_auth(mount, "ldap").await?;
        let config = json!({
            "url": directory.url, "userdn": slapd::PEOPLE, "userattr": "uid", "groupdn": slapd::GROUPS,
            "binddn": slapd::ADMIN, "bindpass": slapd::ADMIN_PASSWORD, "token_policies": [policy],
        });
        self.write(&format!("auth/{mount}/config"), config).await?;
        Ok(())
    }

    /// TLS certificates at `mount`: a certificate of this name by the CA of `certs` logs in as `role`. It is to be shown
    /// to `tls_url` or `mtls_url`.
    ///
    /// # Errors
    /// When Vault refuses.
    pub async fn cert(&self, mount: &str, role: &str, common_name: &str, policy: &str) -> Result<Identity> {
        self.enable_auth(mount, "cert").await?;
        let body = json!({
            "certificate": self.certs.ca_pem, "allowed_common_names": [common_name], "token_policies": [policy],
        });
        self.write(&format!("auth/{mount}/certs/{role}"), body).await?;
        self.certs.client(common_name)
    }
}

/// A token that may ask for TokenReviews.
async fn reviewer(plane: &ControlPlane) -> Result<String> {
    let name = "vault-token-reviewer";
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": name}}))?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "system:auth-delegator"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "default"}],
    }))?;
    let made = Api::namespaced(plane.admin.clone(), "default").create(&PostParams::default(), &account).await;
    unless_there(made)?;
    unless_there(Api::all(plane.admin.clone()).create(&PostParams::default(), &binding).await)?;
    plane.token("default", name, &[]).await
}

/// Two tests may make the same object.
fn unless_there<T>(made: kube::Result<T>) -> Result<()> {
    match made {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        made => Ok(made.map(drop)?),
    }
}
