//! The operator's program; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    waxwing_operator::run::main()
}
