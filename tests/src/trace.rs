//! What a piece of code logs through `tracing`, whoever wrote the code.

use std::future::Future;
use std::io::Write;
use std::sync::{Arc, Mutex};

use tracing_subscriber::fmt::MakeWriter;

/// All that was logged.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Vec<u8>>>);

impl Trace {
    /// Runs a future on a thread of its own and gives what was logged meanwhile, at every level, with its result.
    ///
    /// # Errors
    /// The future's.
    ///
    /// # Panics
    /// When the future does.
    pub fn of<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<(String, T), E> {
        let trace = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(trace.clone())
            .finish();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime starts");
        let result = tracing::subscriber::with_default(subscriber, || runtime.block_on(future));
        let log = String::from_utf8_lossy(&trace.0.lock().unwrap()).into_owned();
        result.map(|value| (log, value))
    }
}

impl Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Trace {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
