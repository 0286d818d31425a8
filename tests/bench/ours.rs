//! Waxwing, as the chart installs it: with its ServiceAccount, its arguments and its RBAC.

use anyhow::{Context, Result};
use serde_json::json;
use waxwing_core::keys::{Identity, NamedRecipient};
use waxwing_crds::{SealedSecret, names};
use waxwing_tests::control_plane::ControlPlane;
use waxwing_tests::operator::{Operator, Release};
use waxwing_tests::process::Process;
use waxwing_tests::ring::Ring;

use crate::load::{self, KEYS, Kind, Place};
use crate::side::{Edit, Side};

/// One release in a cluster.
pub(crate) struct Ours {
    release: Release,
    ring: Ring,
    running: Option<Operator>,
    starts: usize,
    sealed: Vec<SealedSecret>,
}

impl Ours {
    /// Installs the chart and waits for the first key. No operator runs when this returns.
    pub(crate) async fn install(plane: &'static ControlPlane) -> Result<Self> {
        let release = Release::install(plane, "bench", None, &["operator.logLevel=info"]).await?;
        let mut operator = release.start("first")?;
        operator.until_ready().await?;
        let mut recipients = Ring::published(&plane.admin, &release.ring).await.recipients().to_vec();
        // As `waxwing init` asks for it.
        recipients.push(NamedRecipient::new("recovery", Identity::generate().recipient().clone())?);
        operator.terminate().await?;
        Ok(Self { release, ring: Ring::of(recipients), running: None, starts: 0, sealed: Vec::new() })
    }
}

impl Side for Ours {
    const KIND: Kind =
        Kind { group: names::GROUP, version: names::VERSION, kind: "SealedSecret", plural: "sealedsecrets" };
    const NAME: &'static str = "waxwing";

    fn objects(&mut self, count: usize) -> Result<Vec<String>> {
        let seal = |number| {
            let Place { namespace, name } = Place::of(number);
            let values: Vec<_> = (0..KEYS.len()).map(|key| load::value(number, key, 0)).collect();
            let values: Vec<_> = KEYS.into_iter().zip(values.iter().map(String::as_str)).collect();
            self.ring.seal(&namespace, &name, &values)
        };
        self.sealed = (0..count).map(seal).collect();
        self.sealed.iter().map(|object| Ok(serde_json::to_string(object)?)).collect()
    }

    fn edits(&mut self, count: usize, turn: usize) -> Result<Vec<Edit>> {
        let step = self.sealed.len() / count;
        let edit = |round| {
            let number = round * step;
            let key = (round + turn) % KEYS.len();
            let (key, value) = (KEYS[key], load::value(number, key, turn + 1));
            self.ring.set(&mut self.sealed[number], &[(key, &value)]);
            let spec = &self.sealed[number].spec;
            let patch = json!({"spec": {"data": spec.data, "envelopes": spec.envelopes}});
            Edit { place: Place::of(number), patch, key, value }
        };
        Ok((0..count).map(edit).collect())
    }

    fn start(&mut self) -> Result<()> {
        self.starts += 1;
        self.running = Some(self.release.start(&format!("replica-{}", self.starts))?);
        Ok(())
    }

    async fn stop(&mut self) -> Result<()> {
        if let Some(mut operator) = self.running.take() {
            operator.terminate().await?;
        }
        Ok(())
    }

    fn process(&mut self) -> Result<&mut Process> {
        Ok(self.running.as_mut().context("the operator is not started")?.process_mut())
    }

    fn user(&self) -> String {
        self.release.user()
    }
}
