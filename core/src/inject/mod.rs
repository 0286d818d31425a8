//! Native documents with references in the place of credentials: what Alertmanager and Grafana are fed with.

mod fill;
mod leaf;
mod tree;
mod write;

pub use fill::{Answer, Filled, Problem, Receiver, State, Values, fill, leaves, replaced};
pub use leaf::{LeafError, Reference};
pub use tree::{MAX_DEPTH, Node, Step, Steps, StepsError, TreeError};
pub use write::to_yaml;
