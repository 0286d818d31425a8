//! What is measured: one operator with its kind of sealed object.

use anyhow::Result;
use serde_json::Value;
use waxwing_tests::process::Process;

use crate::load::{Kind, Place};

/// One operator.
pub(crate) trait Side {
    /// Its kind of object.
    const KIND: Kind;
    /// How it is called here.
    const NAME: &'static str;

    /// Seals so many objects of three values, and gives each as JSON.
    fn objects(&mut self, count: usize) -> Result<Vec<String>>;

    /// Edits of one value each, of so many of the objects that were sealed last, spread evenly. Each turn edits
    /// another key of the same objects.
    fn edits(&mut self, count: usize, turn: usize) -> Result<Vec<Edit>>;

    /// Starts it; it need not be ready when this returns.
    fn start(&mut self) -> Result<()>;

    /// Ends it as a rollout does.
    async fn stop(&mut self) -> Result<()>;

    /// The process, to be asked after a start.
    fn process(&mut self) -> Result<&mut Process>;

    /// The name by which the API server knows it.
    fn user(&self) -> String;
}

/// A change of one value, to be merged into an object.
pub(crate) struct Edit {
    pub(crate) place: Place,
    pub(crate) patch: Value,
    /// The key in the Secret, and what it has to be then.
    pub(crate) key: &'static str,
    pub(crate) value: String,
}
