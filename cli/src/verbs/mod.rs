//! One file a verb.

pub(crate) mod bulk;
pub(crate) mod check;
pub(crate) mod compact;
pub(crate) mod completion;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod keys;
pub(crate) mod merge_driver;
pub(crate) mod open;
#[cfg(feature = "cluster")]
mod proposal;
pub(crate) mod quickstart;
pub(crate) mod recipients;
pub(crate) mod reference;
pub(crate) mod render;
pub(crate) mod revoke;
pub(crate) mod rewrap;
pub(crate) mod route;
pub(crate) mod seal;
pub(crate) mod set;
pub(crate) mod store;
pub(crate) mod textconv;
pub(crate) mod unset;
pub(crate) mod verify;
