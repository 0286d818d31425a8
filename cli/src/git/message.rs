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
        text.push_str(LEFT);
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
    let mut parts: Vec<String> = messages.iter().map(shown).collect();
    // What one job has left another may have done: the last one knows.
    if let Some((_, earlier)) = parts.split_last_mut() {
        for part in earlier {
            part.truncate(part.find(LEFT).unwrap_or(part.len()));
        }
    }
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
    let mut body = body.replace("```", "'''");
    if body.len() > MOST_BYTES {
        let end = body.floor_char_boundary(MOST_BYTES);
        body.truncate(body[..end].rfind('\n').unwrap_or(end));
        body.push_str("\nand more: see the commits");
    }
    (subject, format!("{INTRODUCTION}\n\n```text\n{body}\n```\n"))
}

/// What stands before the list of what stays as it is.
const LEFT: &str = "\nNot rewrapped:\n";
/// The last line of each commit that a job made.
const TRAILER: &str = "Waxwing-Job: rewrap";
const INTRODUCTION: &str = "The data keys of these resources are wrapped for the recipients that `.waxwing.yaml` of the default \
                            branch names. Values and their tokens are unchanged. Commits that somebody else adds to this branch stop the job.";
/// Lines at most.
const MOST: usize = 200;
/// Of the list in a request. GitHub takes 65,536 characters for the whole text.
const MOST_BYTES: usize = 60_000;

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
    fn a_request_is_no_longer_than_a_forge_takes() {
        let left = |file: &str| [Left { file: file.to_owned(), why: "no identity".to_owned() }];
        let messages = [("a.yaml", "us.yaml"), ("b.yaml", "third.yaml")]
            .map(|(file, of_another)| commit(&[change(file)], &left(of_another)));
        let (_, body) = request(&messages);
        assert!(body.contains("a.yaml\n") && body.contains("b.yaml\n"), "{body}");
        assert!(!body.contains("us.yaml") && body.contains("Not rewrapped:\n  third.yaml: "), "{body}");

        let name = "ä".repeat(100);
        let long: Vec<Change> = (0..200).map(|number| change(&format!("{number}{name}.yaml"))).collect();
        let messages = vec![commit(&long, &[]); 9];
        assert!(messages.iter().map(String::len).sum::<usize>() > 100_000);
        let (_, body) = request(&messages);
        assert!(
            body.len() < 61_000 && body.ends_with("recovery/b\nand more: see the commits\n```\n"),
            "{body}"
        );
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
