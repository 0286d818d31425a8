//! Runs every `tests/transcripts/*.txt`: each is a folder's worth of files, commands with their
//! input, and what came out, in one text.
//!
//! ```text
//! # A sentence about the case.
//! --- file secret.yaml
//! apiVersion: v1 …
//! --- run waxwing seal secret.yaml
//! --- stdin
//! --- stdout
//! --- stderr
//! --- status 0
//! --- cat sealed.yaml
//! ```
//! Each transcript is run in a fresh folder, and what really happened is compared with the whole
//! text, where everything random is masked. With `WAXWING_BLESS=1` the file is rewritten; look at
//! the difference before you commit it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

#[test]
fn every_transcript_happens_as_written() {
    let folder = root().join("tests/transcripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "txt"))
        .collect();
    paths.sort();
    let only = std::env::var("WAXWING_TRANSCRIPT").unwrap_or_default();
    paths.retain(|path| path.to_string_lossy().contains(&only));
    // It shows the options of every feature.
    paths.retain(|path| cfg!(feature = "cluster") || !path.ends_with("help.txt"));
    assert!(!paths.is_empty(), "no transcript in {}", folder.display());
    let bless = std::env::var_os("WAXWING_BLESS").is_some();
    let mut wrong = Vec::new();
    for path in paths {
        let written = fs::read_to_string(&path).unwrap();
        let happened = perform(&written);
        if written != happened {
            if bless {
                fs::write(&path, &happened).unwrap();
            }
            wrong.push(format!("{}:\n{}", path.display(), difference(&written, &happened)));
        }
    }
    assert!(bless || wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A fresh folder with the keys of the tests, as a place to run commands in.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

/// What came out of one command.
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: i32,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(place.path("work")).unwrap();
        for entry in fs::read_dir(root().join("tests/transcripts/keys")).unwrap() {
            let from = entry.unwrap().path();
            let to = place.path("keys").join(from.file_name().unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(&from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
        }
        place
    }

    /// With a configuration, a plaintext manifest and its sealed form.
    pub(crate) fn sealed() -> Self {
        let place = Self::new();
        place.write(".waxwing.yaml", &config(&[("prod", keys::CLUSTER)]));
        place.write("secret.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: db, namespace: web}\nstringData: {password: hunter2, user: admin}\n");
        let outcome = place.waxwing(&["seal", "secret.yaml", "-o", "db.yaml"], b"");
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        place
    }

    /// One opened value.
    pub(crate) fn open(&self, file: &str, key: &str) -> String {
        let identity = self.path("keys/cluster.txt");
        let outcome = self.waxwing(&["open", file, "--key", key, "-i", identity.to_str().unwrap()], b"");
        assert_eq!(outcome.status, 0, "{}", outcome.stderr);
        outcome.stdout
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path("work").join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    /// The command, with nothing of the caller's environment.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path("work")).env_clear().envs([
            ("HOME", self.path("home").to_str().unwrap()),
            ("PATH", "/usr/bin:/bin"),
            ("KEYS", self.path("keys").to_str().unwrap()),
            ("WAXWING", env!("CARGO_BIN_EXE_waxwing")),
        ]);
        command
    }

    pub(crate) fn waxwing(&self, args: &[&str], stdin: &[u8]) -> Outcome {
        let mut command = self.command(env!("CARGO_BIN_EXE_waxwing"));
        command.args(args);
        run(command, stdin)
    }

    fn mask(&self, text: &str) -> String {
        text.replace(self.folder.path().to_str().unwrap(), "$DIR")
    }
}

pub(crate) fn run(mut command: Command, stdin: &[u8]) -> Outcome {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that reads nothing may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    let output = child.wait_with_output().unwrap();
    Outcome {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        status: output.status.code().unwrap_or(-1),
    }
}

/// Performs a transcript and writes down what happened.
fn perform(written: &str) -> String {
    let place = Place::new();
    let mut masks = Masks::default();
    let mut sections = sections(written);
    let head = if written.starts_with('#') { sections.remove(0).1 } else { "" };
    let mut out = head.to_owned();
    let mut sections = sections.into_iter().peekable();
    while let Some((title, body)) = sections.next() {
        let (verb, rest) = title.split_once(' ').unwrap_or((title, ""));
        match verb {
            "file" => {
                place.write(rest, &place_names(body, &place));
                let _ = write!(out, "--- {title}\n{body}");
            }
            "run" => {
                let stdin = sections.next_if(|(title, _)| *title == "stdin").map(|(_, body)| body);
                let mut command = place.command("/bin/sh");
                let binary = env!("CARGO_BIN_EXE_waxwing");
                command.args(["-c", &format!("waxwing() {{ {binary} \"$@\"; }}\n{rest}")]);
                let outcome = run(command, stdin.unwrap_or_default().as_bytes());
                let _ = writeln!(out, "--- {title}");
                if let Some(stdin) = stdin {
                    let _ = write!(out, "--- stdin\n{stdin}");
                }
                for (name, text) in [("stdout", outcome.stdout), ("stderr", outcome.stderr)] {
                    if !text.is_empty() {
                        let text = masks.apply(&place.mask(&text));
                        let end = if text.ends_with('\n') { "" } else { "\n(no line feed)\n" };
                        let _ = write!(out, "--- {name}\n{text}{end}");
                    }
                }
                let _ = writeln!(out, "--- status {}", outcome.status);
            }
            "cat" => {
                let text =
                    fs::read_to_string(place.file(rest)).unwrap_or_else(|error| format!("({error})\n"));
                let _ = write!(out, "--- {title}\n{}", masks.apply(&masks.in_order(&place.mask(&text))));
            }
            // What came out last time; it is written anew.
            "stdout" | "stderr" | "status" => {}
            other => panic!("a transcript has no section {other:?}"),
        }
    }
    out
}

/// `$DIR` in a file of a transcript is the folder it is run in.
fn place_names(body: &str, place: &Place) -> String {
    body.replace("$DIR", place.folder.path().to_str().unwrap())
}

/// The sections with their title lines; what stands before the first has an empty title.
fn sections(text: &str) -> Vec<(&str, &str)> {
    let starts: Vec<usize> = text
        .match_indices("--- ")
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || text[..*at].ends_with('\n'))
        .collect();
    let mut found = Vec::new();
    if starts.first() != Some(&0) {
        found.push(("", &text[..starts.first().copied().unwrap_or(text.len())]));
    }
    for (index, start) in starts.iter().enumerate() {
        let end = starts.get(index + 1).copied().unwrap_or(text.len());
        let (title, body) = text[start + 4..end].split_once('\n').unwrap_or((&text[start + 4..end], ""));
        found.push((title, body));
    }
    found
}

/// Names for what is random, the same name for the same thing within a transcript.
#[derive(Default)]
struct Masks {
    names: BTreeMap<String, String>,
}

impl Masks {
    fn apply(&mut self, text: &str) -> String {
        self.learn(text);
        text.split_inclusive('\n').map(|line| self.line(line)).collect()
    }

    /// A file with its envelopes in the order in which the transcript has met them, because their
    /// own order is random.
    fn in_order(&self, text: &str) -> String {
        let Some((head, rest)) = text.split_once("  envelopes:\n") else { return text.to_owned() };
        let end = rest.find("\n  data:").map_or(rest.len(), |end| end + 1);
        let mut blocks: Vec<Vec<&str>> = Vec::new();
        for line in rest[..end].split_inclusive('\n') {
            match blocks.last_mut() {
                Some(block) if line.starts_with("      ") => block.push(line),
                _ => blocks.push(vec![line]),
            }
        }
        let age = |block: &Vec<&str>| {
            block
                .iter()
                .find_map(|line| line.trim().strip_prefix("age: "))
                .unwrap_or_default()
                .trim_matches('"')
                .to_owned()
        };
        blocks.sort_by_key(|block| self.names.get(&age(block)).cloned().unwrap_or_else(|| "new".to_owned()));
        format!("{head}  envelopes:\n{}{}", blocks.concat().concat(), &rest[end..])
    }

    /// Envelope ids look like any word of eight letters: they are known by where they stand.
    fn learn(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
            let next = next.trim().trim_start_matches('"');
            let begins = next.starts_with("commit") || next.starts_with("age");
            let opens = line.trim().trim_end_matches(" {").strip_suffix(':');
            if let Some(id) = opens.filter(|_| begins) {
                self.name("envelope", id.trim_matches('"'));
            }
        }
        for (at, before) in text.match_indices("wax1.").chain(text.match_indices("envelope ")) {
            let id = text.get(at + before.len()..at + before.len() + 8).unwrap_or_default();
            let ends =
                text.get(at + before.len() + 8..).is_some_and(|rest| rest.starts_with(['.', ':', ' ', ',']));
            let base32 = |b: u8| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b);
            if id.len() == 8 && ends && id.bytes().all(base32) {
                self.name("envelope", id);
            }
        }
    }

    fn name(&mut self, kind: &str, text: &str) -> String {
        let next = self.names.values().filter(|name| name.starts_with(kind)).count() + 1;
        self.names.entry(text.to_owned()).or_insert_with(|| format!("{kind}{next}")).clone()
    }

    /// Masks the words of a line, and drops the quotes around what is masked: whether a random text
    /// needs them depends on how it begins.
    fn line(&mut self, line: &str) -> String {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_+/=.".contains(c);
        let mut out = String::new();
        let mut rest = line;
        while let Some(start) = rest.find(is_word) {
            out.push_str(&rest[..start]);
            let end = rest[start..].find(|c| !is_word(c)).map_or(rest.len(), |end| start + end);
            let (word, behind) = (&rest[start..end], &rest[end..]);
            let before = out.trim_end_matches('"').trim_end_matches(": ").trim_end_matches('"');
            let masked = self.word(word, before.ends_with("commit"));
            let quoted = masked != word && out.ends_with('"') && behind.starts_with('"');
            if quoted {
                out.pop();
            }
            out.push_str(&masked);
            rest = if quoted { &behind[1..] } else { behind };
        }
        out + rest
    }

    fn word(&mut self, word: &str, commit: bool) -> String {
        let parts: Vec<&str> = word.split('.').collect();
        if let ["wax1", envelope, _, blob] = parts[..]
            && blob.len() > 100
        {
            return format!("wax1.{}.SEQ.{}", self.name("envelope", envelope), self.name("blob", blob));
        }
        if word.starts_with("YWdlLWVuY3J5cHRpb24ub3JnL3Yx") {
            return self.name("age", word);
        }
        if commit && word.len() == 43 {
            return self.name("commit", word);
        }
        if word.starts_with("age1")
            && word.len() == 62
            && ![keys::CLUSTER, keys::SECOND, keys::RECOVERY].contains(&word)
        {
            return self.name("recipient", word);
        }
        self.names.get(word).cloned().unwrap_or_else(|| word.to_owned())
    }
}

/// The recipients of the keys under `tests/transcripts/keys`.
pub(crate) mod keys {
    pub(crate) const CLUSTER: &str = "age1ge9hs2thcxuepja3nhngm998qrpmx0hkryluwytlqw3787vkevlsy0wkr3";
    pub(crate) const SECOND: &str = "age14jxrcpf9cakhqyjfm478lshjdkc04a7cn6xf4984qmucy4paveaqde55lw";
    pub(crate) const RECOVERY: &str = "age1v3xs0uwqt7efkrnqq8elpm9qyt0pamzgg9m6llea8hj794zd2qmqed32kx";
}

/// A configuration by which these clusters can open everything.
pub(crate) fn config(clusters: &[(&str, &str)]) -> String {
    let recipients: String =
        clusters.iter().map(|(name, key)| format!("  {name}: {{key: {key}, cluster: true}}\n")).collect();
    let names: Vec<&str> = clusters.iter().map(|(name, _)| *name).collect();
    format!("version: 1\nrecipients:\n{recipients}rules:\n- recipients: [{}]\n", names.join(", "))
}

fn difference(written: &str, happened: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (written.lines().collect(), happened.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let from = same.saturating_sub(3);
    let mut out = String::new();
    for line in &old[from..same] {
        let _ = writeln!(out, "  {line}");
    }
    for line in old[same..].iter().take(20) {
        let _ = writeln!(out, "- {line}");
    }
    for line in new[same..].iter().take(20) {
        let _ = writeln!(out, "+ {line}");
    }
    out
}
