//! A directory of files.
