//! One file a verb.

pub(crate) mod completion;
pub(crate) mod keys;
pub(crate) mod open;
pub(crate) mod reference;
pub(crate) mod render;
pub(crate) mod unset;
