//! One broker stands before each [`Provider`](crate::Provider), and is all that consumers see of it.
//!
//! Reads of one entry by many objects are one request, and so are up to [`Provider::batch`](crate::Provider::batch)
//! different ones. A broker keeps to the provider's pace, stops asking one that is in trouble, and says when it is back.

/// How old a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// A few seconds, so that objects that share it share the request.
    Shared,
    /// It must have been asked for after this call.
    Forced,
}

/// Stands before one provider. Clones share it.
#[derive(Clone)]
pub struct Broker {}
