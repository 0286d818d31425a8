//! The command `waxwing`, also as `kubectl waxwing`. Only this function ends the process.

mod args;
mod cache;
mod check;
#[cfg(feature = "cluster")]
mod cluster;
mod error;
#[cfg(feature = "git")]
mod forge;
#[cfg(feature = "git")]
mod git;
mod identities;
mod import;
mod input;
mod json;
mod merge;
mod origin;
mod parallel;
mod printer;
mod protect;
mod quickstart;
mod render;
mod repository;
mod revocations;
mod ring;
mod sealed_file;
mod stores;
mod verbs;
mod work_tree;
mod write;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(args::run(std::env::args_os()) as u8)
}
