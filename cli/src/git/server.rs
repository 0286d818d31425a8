//! Talking to the repository's server: what it has, what is fetched, what is pushed.
//!
//! What a server or the library says is repeated without control characters, cut, and without the credentials.

use std::cell::RefCell;

use git2::{
    AutotagOption, Cred, CredentialType, ErrorClass, ErrorCode, FetchOptions, Oid, ProxyOptions, PushOptions,
    Remote, RemoteCallbacks, RemoteRedirect, Repository,
};

use super::{
    branch::{Branch, HEADS},
    credentials::Credentials,
    place::Place,
};
use crate::{
    args::Context,
    error::{Exit, Failure, Result},
    printer::count,
};

/// A server, with what it is shown.
pub(super) struct Server<'a> {
    /// The clone.
    pub(super) repository: &'a Repository,
    /// Where it is.
    pub(super) place: &'a Place,
    /// What it is shown.
    pub(super) credentials: &'a Credentials,
    /// Where progress is told.
    pub(super) context: &'a Context,
}

/// What the server has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heads {
    /// The default branch: `refs/heads/NAME`.
    pub(super) default: String,
    /// Its commit.
    pub(super) base: Oid,
    /// The commit of our branch, if there is one.
    pub(super) tip: Option<Oid>,
}

/// How a push ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// The branch is what it shall be.
    Done,
    /// Somebody was faster.
    Moved,
}

/// What happened while the library called back.
#[derive(Default)]
struct Heard {
    /// Credentials were asked for so often.
    asked: usize,
    /// The server's words.
    said: Vec<u8>,
    /// Why it did not update the branch.
    status: Option<String>,
    /// The branch is not where it was.
    moved: bool,
}

impl Server<'_> {
    /// Fetches the default branch and ours, and says where both are.
    pub(super) fn fetch(&self, branch: &Branch) -> Result<Heads> {
        let heard = RefCell::default();
        let mut callbacks = self.callbacks(&heard);
        callbacks.transfer_progress(|progress| {
            let (done, all) = (progress.received_objects(), progress.total_objects());
            if done == all || done % 256 == 0 {
                self.progress(&format!("fetched {done} of {}", count(all, "object")));
            }
            true
        });
        let mut options = FetchOptions::new();
        let headers = self.headers();
        options
            .remote_callbacks(callbacks)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false)
            .follow_redirects(RemoteRedirect::None)
            .proxy_options(proxy())
            .custom_headers(&headers.iter().map(String::as_str).collect::<Vec<_>>());
        self.progress("asking the server");
        let mut remote = self.remote()?;
        let specs = [format!("+HEAD:{DEFAULT}"), format!("+{}:{TIP}", branch.reference())];
        let fetched = remote.fetch(&specs, Some(&mut options), None);
        drop(options);
        fetched.map_err(|error| self.explain(&error, &heard.borrow(), "fetching"))?;
        let default =
            remote.default_branch().map_err(|error| no_default(self.place).hint(self.say(&error)))?;
        let default = String::from_utf8_lossy(&default).into_owned();
        let all = remote.list().map_err(|error| self.explain(&error, &heard.borrow(), "fetching"))?;
        let of = |name: &str| all.iter().find(|head| head.name() == name).map(git2::RemoteHead::oid);
        let base =
            of(&default).filter(|_| default.starts_with(HEADS)).ok_or_else(|| no_default(self.place))?;
        Ok(Heads { base, tip: of(&branch.reference()), default })
    }

    /// Makes the branch what `commit` is, if the server has it where `heads` says.
    pub(super) fn push(&self, heads: &Heads, branch: &Branch, commit: Oid) -> Result<Pushed> {
        let reference = branch.reference();
        self.repository.reference(OURS, commit, true, "waxwing rewrap")?;
        let now = self.fetch(branch)?;
        branch.guard(&reference, &now.default)?;
        if now != *heads {
            return Ok(Pushed::Moved);
        }
        self.progress("pushing");
        let heard = RefCell::default();
        let expected = heads.tip.unwrap_or(Oid::ZERO_SHA1);
        let mut callbacks = self.callbacks(&heard);
        callbacks.push_negotiation(|updates| {
            // The lease: the server compares what it has with what it has told us here.
            let right = |update: &git2::PushUpdate<'_>| {
                update.dst_refname().is_ok_and(|name| name == reference) && update.dst() == commit
            };
            match updates {
                [update] if right(update) && update.src() == expected => Ok(()),
                [update] if right(update) => {
                    heard.borrow_mut().moved = true;
                    Err(git2::Error::from_str("the branch has moved"))
                }
                _ => Err(git2::Error::from_str("another branch would be pushed")),
            }
        });
        callbacks.push_update_reference(|_, status| {
            heard.borrow_mut().status = status.map(str::to_owned);
            Ok(())
        });
        let mut options = PushOptions::new();
        let headers = self.headers();
        options
            .remote_callbacks(callbacks)
            .follow_redirects(RemoteRedirect::None)
            .proxy_options(proxy())
            .custom_headers(&headers.iter().map(String::as_str).collect::<Vec<_>>());
        let pushed = self.remote()?.push(&[format!("+{OURS}:{reference}")], Some(&mut options));
        drop(options);
        let heard = heard.into_inner();
        if heard.moved {
            return Ok(Pushed::Moved);
        }
        let refused = match (pushed, &heard.status) {
            (Ok(()), None) => return Ok(Pushed::Done),
            (Ok(()), Some(status)) => self.refused(branch, status, &heard),
            (Err(error), _) => self.explain(&error, &heard, "pushing"),
        };
        // A server says in many words that somebody else was faster; its branches say it in one.
        match self.fetch(branch) {
            Ok(now) if now.tip == Some(commit) => Ok(Pushed::Done),
            Ok(now) if now != *heads => Ok(Pushed::Moved),
            _ => Err(refused),
        }
    }

    fn refused(&self, branch: &Branch, status: &str, heard: &Heard) -> Failure {
        let failure = Failure::new(format!("the server refused {}: {}", branch.name(), self.clean(status)));
        let said = String::from_utf8_lossy(&heard.said).into_owned();
        let lines = said.split(['\n', '\r']).map(|line| self.clean(line)).filter(|line| !line.is_empty());
        let failure = lines
            .take(MOST_LINES)
            .fold(failure, |failure, line| failure.hint(format!("the server said: {line}")));
        failure.hint("nothing was changed there; the next run tries again")
    }

    /// A failure that says what to do.
    fn explain(&self, error: &git2::Error, heard: &Heard, doing: &str) -> Failure {
        let place = self.place;
        let failure = match (error.code(), place) {
            (ErrorCode::Certificate, Place::Ssh { .. }) => Failure::new("the key of the ssh server is not in known_hosts, or is another one")
                .hint("compare the key that ssh-keyscan HOST prints with what the server's administrator published, before you add it"),
            (ErrorCode::Certificate, _) => Failure::new("the certificate of the server is not trusted")
                .hint("put the certificate of its CA into the file ca.crt of --git-credentials"),
            _ if heard.asked > 1 => Failure::new("the server refused the credentials")
                .hint("--git-credentials names the folder; what is in it may have expired, or may not be for this repository"),
            _ if heard.asked == 1 && !self.has_any() => Failure::new("the server wants credentials").hint("name a folder with them: --git-credentials DIR"),
            _ if error.message().contains("known_hosts") => Failure::new(self.say(error))
                .hint("the file known_hosts of --git-credentials is not as ssh-keyscan writes it"),
            (ErrorCode::Auth, _) => Failure::new("the server refused the credentials").hint(self.say(error)),
            _ if is_of_clone(error) => Failure::from(OfClone(self.say(error))),
            _ => Failure::new(self.say(error)),
        };
        failure.at(doing).at(place).exit(Exit::Error)
    }

    fn has_any(&self) -> bool {
        let Credentials { password, bearer, identity, .. } = self.credentials;
        password.is_some() || bearer.is_some() || identity.is_some()
    }

    fn say(&self, error: &git2::Error) -> String {
        self.clean(error.message())
    }

    /// One line, not too long, without credentials.
    fn clean(&self, text: &str) -> String {
        plain(&self.credentials.mask(text))
    }

    fn remote(&self) -> Result<Remote<'_>> {
        let url = self.place.url();
        let remote = self
            .repository
            .remote_anonymous(&url)
            .map_err(|error| Failure::new(self.say(&error)).at(self.place))?;
        if remote.url().ok() != Some(url.as_str()) || remote.pushurl().ok().flatten().is_some() {
            return Err(Failure::new("a configuration of Git's leads to another server").at(self.place));
        }
        Ok(remote)
    }

    fn headers(&self) -> Vec<String> {
        match self.place {
            Place::Web { tls: true, .. } => self
                .credentials
                .bearer
                .iter()
                .map(|token| format!("Authorization: Bearer {}", token.as_str()))
                .collect(),
            _ => Vec::new(),
        }
    }

    fn progress(&self, text: &str) {
        self.context.printer.progress(text);
    }

    fn callbacks<'c>(&'c self, heard: &'c RefCell<Heard>) -> RemoteCallbacks<'c> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks.credentials(move |url, _, allowed| {
            if url != self.place.url() {
                return Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "another server asked"));
            }
            if allowed.contains(CredentialType::USERNAME)
                && let Place::Ssh { user, .. } = self.place
            {
                return Cred::username(user);
            }
            // It asks again when one was refused.
            heard.borrow_mut().asked += 1;
            if heard.borrow().asked > 1 {
                return Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "refused"));
            }
            self.credential(allowed)
        });
        callbacks.sideband_progress(move |words| {
            let mut heard = heard.borrow_mut();
            let room = MOST_WORDS.saturating_sub(heard.said.len());
            heard.said.extend_from_slice(&words[..words.len().min(room)]);
            true
        });
        callbacks
    }

    fn credential(&self, allowed: CredentialType) -> std::result::Result<Cred, git2::Error> {
        let credentials = self.credentials;
        match self.place {
            Place::Ssh { user, .. } if allowed.contains(CredentialType::SSH_KEY) => {
                if let Some(identity) = &credentials.identity {
                    return Cred::ssh_key(
                        user,
                        None,
                        identity,
                        credentials.password.as_ref().map(|text| text.as_str()),
                    );
                }
            }
            Place::Web { tls: true, .. } if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) => {
                if let (Some(name), Some(password)) = (&credentials.username, &credentials.password) {
                    return Cred::userpass_plaintext(name, password);
                }
            }
            _ => {}
        }
        Err(git2::Error::new(ErrorCode::Auth, ErrorClass::Callback, "there is no credential of this kind"))
    }
}

fn proxy<'a>() -> ProxyOptions<'a> {
    let mut proxy = ProxyOptions::new();
    proxy.auto();
    proxy
}

fn no_default(place: &Place) -> Failure {
    Failure::new("the repository has no default branch with a commit")
        .at(place)
        .hint("its HEAD must name a branch that exists")
}

/// What went wrong in the clone, not at the server.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct OfClone(String);

/// Whether it is the clone's. What can't be told apart counts as the clone's, which can be made anew.
fn is_of_clone(error: &git2::Error) -> bool {
    match error.class() {
        // Of these, two come from connections.
        ErrorClass::Os => {
            !["failed to connect", "SSL error"].iter().any(|words| error.message().contains(words))
        }
        ErrorClass::Net | ErrorClass::Ssh | ErrorClass::Http | ErrorClass::Ssl | ErrorClass::Callback => {
            false
        }
        _ => true,
    }
}

/// One line without control characters, and not too long.
pub(crate) fn plain(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(MOST_LETTERS)
        .collect();
    line.truncate(line.trim_end().len());
    line.trim_start().to_owned()
}

/// Where the clone keeps the server's default branch.
const DEFAULT: &str = "refs/waxwing/default";
/// And our branch as the server has it.
const TIP: &str = "refs/waxwing/tip";
/// And our branch as it shall be.
const OURS: &str = "refs/waxwing/ours";
const MOST_WORDS: usize = 4096;
const MOST_LINES: usize = 10;
const MOST_LETTERS: usize = 300;
