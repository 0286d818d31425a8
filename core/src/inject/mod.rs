//! Native documents with references in the place of credentials: what Alertmanager and Grafana are fed with.

mod leaf;
mod tree;
mod write;

pub use leaf::{LeafError, Reference};
pub use tree::{MAX_DEPTH, Node, Step, Steps, StepsError, TreeError};
pub use write::to_yaml;
