//! The pure middle of an ExternalSecret: from its spec to what is asked of which store, and from the answers to the
//! values of the Secret.

mod decode;
mod json;
mod key;
mod needs;
mod pattern;
mod property;

pub use decode::Decoding;
pub use json::JsonFault;
pub use key::{KeyFault, check_key, check_path};
pub use needs::{Answer, Answers, Ask, Need, StoreKind, StoreRef};
pub use pattern::Pattern;
pub use property::Property;
