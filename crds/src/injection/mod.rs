//! `AlertmanagerInjection`, `GrafanaInjection` and `AlertReceiver`: native documents with references in the place of
//! credentials.

mod alertmanager;
mod grafana;
mod native;
mod receiver;
mod status;

pub use alertmanager::*;
pub use grafana::*;
pub use native::Native;
pub use receiver::*;
pub use status::*;
