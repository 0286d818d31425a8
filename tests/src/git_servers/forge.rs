//! GitHub and GitLab as a stub plays them, at one address: neither can be run here.

use std::ops::Deref;

use anyhow::Result;
use serde_json::{Value, json};

use crate::stub::Stub;

/// The token that is taken, and that must never be shown.
pub const TOKEN: &str = "Fg3kTokenCanaryPq81";

/// The stub; [`Stub`] has more.
pub struct Forge {
    stub: Stub,
}

impl Forge {
    /// Starts one; `name` names its folder in this run's.
    ///
    /// # Errors
    /// When it ends, or takes too long.
    pub async fn start(name: &str) -> Result<Self> {
        let forge = Self { stub: Stub::start("forge", name, false).await? };
        forge.take(TOKEN).await?;
        Ok(forge)
    }

    /// Takes this token from now on, and no other.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn take(&self, token: &str) -> Result<()> {
        self.tell("token", json!({"token": token})).await.map(drop)
    }

    /// Every request for a merge: number, source, target, title, body, open.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn requests(&self) -> Result<Value> {
        self.tell("requests", json!({})).await
    }

    /// Somebody closes one.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn close(&self, number: u64) -> Result<()> {
        self.tell("close", json!({"number": number})).await.map(drop)
    }

    /// Somebody asks from a fork, from a branch with this name, before everybody else.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn fork(&self, branch: &str) -> Result<()> {
        self.tell("fork", json!({"source": branch, "target": "main"})).await.map(drop)
    }

    /// Every call is led to another server.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn move_to(&self, url: &str) -> Result<()> {
        self.tell("moved", json!({"url": url})).await.map(drop)
    }

    /// Every call is answered with this status; with none, as usual.
    ///
    /// # Errors
    /// When the stub does not answer.
    pub async fn fail_with(&self, status: Option<u16>) -> Result<()> {
        self.tell("failing", json!({"status": status})).await.map(drop)
    }
}

impl Deref for Forge {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}
