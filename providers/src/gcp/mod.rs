//! Google Cloud Secret Manager.
