//! Which hosts may be reached, and how connections to them are made.
