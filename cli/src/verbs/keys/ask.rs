//! Asks before something that a slip of the hand must not do.

use std::io::{self, BufRead, IsTerminal};

use crate::{
    args::Context,
    error::{Failure, Result},
};

/// Goes on only if `answer` was typed, or given with `--yes`.
pub(super) fn to_type(what: &str, answer: &str, given: Option<&str>, context: &Context) -> Result<()> {
    let refused =
        || Failure::new("not confirmed; nothing was changed").hint(format!("the answer is {answer}"));
    if let Some(given) = given {
        return if given == answer { Ok(()) } else { Err(refused()) };
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::usage(format!("{what}: this has to be confirmed, and there is nobody to ask"))
            .hint(format!("confirm with --yes {answer}")));
    }
    context.printer.note(format!("{what}. Type {answer} to go on"));
    let mut typed = String::new();
    io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == answer { Ok(()) } else { Err(refused()) }
}
