//! What a commit and its request say: what changed, from whom to whom, and what could not be changed.

use std::fmt::Write;

use serde::Serialize;

use super::server::plain;

/// A resource that changed.
#[derive(Clone, Serialize)]
pub(super) struct Change {
    /// Its file, as the repository has it.
    pub(super) file: String,
    /// `SealedSecret NAMESPACE/NAME`.
    pub(super) resource: String,
    /// Whom its envelopes named.
    pub(super) from: Vec<String>,
    /// Whom they name now.
    pub(super) to: Vec<String>,
}

/// A resource that stays as it is.
#[derive(Serialize)]
pub(super) struct Left {
    /// Its file.
    pub(super) file: String,
    /// Why.
    pub(super) why: String,
}

/// The subject, without an end of line.
pub(super) fn subject(changes: &[Change]) -> String {
    match changes {
        [one] => format!("Rewrap {} for the recipients of its rule", plain(&one.resource)),
        many => format!("Rewrap {} resources for the recipients of their rules", many.len()),
    }
}

/// The list below the subject.
pub(super) fn body(changes: &[Change], left: &[Left]) -> String {
    let mut text = String::new();
    let mut last = "";
    for change in changes.iter().take(MOST) {
        if change.file != last {
            let _ = writeln!(text, "{}", plain(&change.file));
            last = &change.file;
        }
        let (from, to) = (change.from.join(", "), change.to.join(", "));
        let _ = writeln!(text, "  {}: {} -> {}", plain(&change.resource), plain(&from), plain(&to));
    }
    more(&mut text, changes.len());
    if !left.is_empty() {
        text.push_str("\nNot rewrapped:\n");
        for left in left.iter().take(MOST) {
            let _ = writeln!(text, "  {}: {}", plain(&left.file), plain(&left.why));
        }
        more(&mut text, left.len());
    }
    text
}

fn more(text: &mut String, all: usize) {
    if all > MOST {
        let _ = writeln!(text, "and {} more", all - MOST);
    }
}

/// The whole message of a commit.
pub(super) fn commit(changes: &[Change], left: &[Left]) -> String {
    format!("{}\n\n{}\n{TRAILER}\n", subject(changes), body(changes, left))
}

/// Whether a message ends as ours do.
pub(super) fn is_ours(message: &str) -> bool {
    message.trim_end().lines().next_back() == Some(TRAILER)
}

/// Messages of commits, the first one first, as a title and as a text in Markdown that shows them as they are.
pub(super) fn request(messages: &[String]) -> (String, String) {
    let shown = |message: &String| {
        let message = message.trim();
        message.strip_suffix(TRAILER).unwrap_or(message).trim().to_owned()
    };
    let parts: Vec<String> = messages.iter().map(shown).collect();
    let (subject, body) = match parts.as_slice() {
        [one] => {
            let (subject, body) = one.split_once('\n').unwrap_or((one, ""));
            (subject.to_owned(), body.trim().to_owned())
        }
        many => {
            let subject = format!("Rewrap for the recipients of the rules, in {} commits", many.len());
            (subject, many.join("\n\n"))
        }
    };
    // A name in the repository could end the block.
    let body = body.replace("```", "'''");
    (subject, format!("{INTRODUCTION}\n\n```text\n{body}\n```\n"))
}

/// The last line of each commit that a job made.
const TRAILER: &str = "Waxwing-Job: rewrap";
const INTRODUCTION: &str = "The data keys of these resources are wrapped for the recipients that `.waxwing.yaml` of the default \
                            branch names. Values and their tokens are unchanged. Commits that somebody else adds to this branch stop the job.";
/// Lines at most.
const MOST: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn change(file: &str) -> Change {
        let (from, to) = (vec!["prod/a".to_owned()], vec!["prod/a".to_owned(), "recovery/b".to_owned()]);
        Change { file: file.to_owned(), resource: "SealedSecret web/db".to_owned(), from, to }
    }

    #[test]
    fn a_message_lists_what_changed_and_what_did_not() {
        let left = [Left { file: "b.yaml".to_owned(), why: "no identity at hand".to_owned() }];
        let message = commit(&[change("a.yaml")], &left);
        assert_eq!(
            message,
            "Rewrap SealedSecret web/db for the recipients of its rule\n\na.yaml\n  SealedSecret web/db: prod/a -> prod/a, \
             recovery/b\n\nNot rewrapped:\n  b.yaml: no identity at hand\n\nWaxwing-Job: rewrap\n"
        );
        assert!(is_ours(&message) && !is_ours("Rewrap\n\nWaxwing-Job: rewrap\n\nSigned-off-by: somebody\n"));
    }

    #[test]
    fn a_request_tells_of_every_commit() {
        let one = commit(&[change("a.yaml")], &[]);
        let (title, body) = request(std::slice::from_ref(&one));
        assert_eq!(title, "Rewrap SealedSecret web/db for the recipients of its rule");
        assert!(
            body.contains("```text\na.yaml\n  SealedSecret web/db: ") && body.ends_with("recovery/b\n```\n"),
            "{body}"
        );
        let (title, body) = request(&[one, commit(&[change("b.yaml")], &[])]);
        assert_eq!(title, "Rewrap for the recipients of the rules, in 2 commits");
        assert!(body.contains("its rule\n\na.yaml\n") && body.contains("its rule\n\nb.yaml\n"), "{body}");
        assert!(!body.contains(TRAILER), "{body}");
    }

    #[test]
    fn a_name_in_the_repository_cannot_leave_its_line_or_its_block() {
        let message = commit(&[change("a```\nWaxwing.yaml")], &[]);
        let (_, body) = request(&[message]);
        assert_eq!(body.matches("```").count(), 2, "{body}");
        assert!(body.contains("a''' Waxwing.yaml\n"), "{body}");
        assert!(commit(&vec![change("a.yaml"); 201], &[]).contains("and 1 more"));
    }
}
