//! Grafana by HTTP: what the target `API` is written by, and the call that makes Grafana read its files again.
//!
//! Of an answer nothing but its status is ever shown: Grafana's errors repeat what it was sent, credentials included.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use waxwing_core::{
    grafana::{
        Entry, FileKind, Inventory, Kind,
        api::{self, Current, Delivery, Look, Method, Options, Refusal, Request, looks, plan},
        fits,
    },
    inject::{Answer, Reference},
    injection::grafana::{Auth, Made},
};
use waxwing_providers::{
    Rules,
    server::{self, Sent, Server},
};
use zeroize::Zeroizing;

/// Every replica of one Grafana, and an account there.
pub(crate) struct Grafana {
    /// There is at least one.
    replicas: Vec<Server>,
    /// The value of `Authorization`.
    account: Zeroizing<String>,
}

/// Why something came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// In words that are safe to show.
    pub(crate) message: String,
    /// Whether the same may succeed at another time.
    pub(crate) is_passing: bool,
}

impl Trouble {
    fn passing(message: String) -> Self {
        Self { message, is_passing: true }
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self { message: refusal.to_string(), is_passing: refusal.is_passing() }
    }
}

/// What came of writing a document.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Settled {
    /// What Grafana does not have now, and why.
    pub(crate) troubles: Vec<Trouble>,
    /// What somebody had changed in Grafana and is put right.
    pub(crate) corrected: BTreeSet<Entry>,
}

/// The value of `Authorization`.
///
/// # Errors
/// Which credential there is not, or why it is none.
pub(crate) fn account(
    auth: &Auth,
    answers: &BTreeMap<Reference, Answer>,
) -> Result<Zeroizing<String>, String> {
    let text = |reference: &Reference| {
        let unfit = |why: String| format!("target.auth: {reference}: {why}");
        let value = match answers.get(reference) {
            Some(Answer::Value(value)) => value,
            Some(Answer::Unresolved(why)) => return Err(unfit(why.clone())),
            None => return Err(unfit("it was not looked up".to_owned())),
        };
        // To log in with it.
        let text =
            std::str::from_utf8(value.expose()).map_err(|_| unfit("it is not UTF-8".to_owned()))?.to_owned();
        let text = Zeroizing::new(text);
        fits(Kind::Text, &text).map_err(|misfit| unfit(misfit.to_string()))?;
        Ok(text)
    };
    Ok(match auth {
        Auth::Token(token) => Zeroizing::new(format!("Bearer {}", *text(token)?)),
        Auth::User(name, password) => {
            let both = Zeroizing::new(format!("{}:{}", *text(name)?, *text(password)?));
            let coded = Zeroizing::new(BASE64_STANDARD.encode(both.as_bytes()));
            Zeroizing::new(format!("Basic {}", *coded))
        }
    })
}

impl Grafana {
    /// Finds the replicas behind a URL.
    ///
    /// # Errors
    /// When the URL may not be used, or its name has no address.
    pub(crate) async fn find(
        rules: &Arc<Rules>,
        namespace: &str,
        url: &str,
        account: Zeroizing<String>,
    ) -> Result<Self, Trouble> {
        let replicas = server::replicas(rules, namespace, url).await.map_err(|failure| Trouble {
            message: format!("grafana: {}", failure.what),
            is_passing: failure.kind.is_outage(),
        })?;
        if replicas.is_empty() {
            return Err(Trouble::passing("grafana: its name has no address".to_owned()));
        }
        Ok(Self { replicas, account })
    }

    /// Asks all that has to be asked.
    ///
    /// # Errors
    /// The first answer that is none.
    pub(crate) async fn look(&self, looks: &[Look]) -> Result<Current, Trouble> {
        let mut current = Current::default();
        for look in looks {
            let answer = self.ask(&look.request).await?;
            current.take(look, api::Answer { status: answer.status, body: &answer.body })?;
        }
        Ok(current)
    }

    /// Makes Grafana what a document says, and looks whether it is. One entry that is refused keeps no other back.
    pub(crate) async fn settle(&self, made: &Made, is_editable: bool) -> Settled {
        let mut settled = Settled::default();
        let current = match self.look(&looks(&made.document, &made.tombstones)).await {
            Ok(current) => current,
            Err(trouble) => {
                settled.troubles.push(trouble);
                return settled;
            }
        };
        let options = Options { is_editable, rotated: made.changed.clone() };
        let first = plan(&made.document, &current, &made.tombstones, &options);
        let mut refused = BTreeSet::new();
        for write in &first.writes {
            match self.ask(&write.request).await {
                Err(trouble) => {
                    // Nobody answers the next one either.
                    settled.troubles.push(trouble);
                    return settled;
                }
                Ok(answer) if write.is_deletion && answer.status == 404 => {}
                Ok(answer) => match (api::Answer { status: answer.status, body: &answer.body }).done() {
                    Ok(()) if !write.is_deletion && !made.changed.contains(&write.entry) => {
                        settled.corrected.insert(write.entry.clone());
                    }
                    Ok(()) => {}
                    Err(refusal) => {
                        refused.insert(write.entry.clone());
                        let Trouble { message, is_passing } = refusal.into();
                        let message = format!("{}: {message}", write.entry);
                        settled.troubles.push(Trouble { message, is_passing });
                    }
                },
            }
        }
        match self.look(&looks(&made.document, &Inventory::default())).await {
            Ok(now) => settled.troubles.extend(missing(made, &now, &refused)),
            Err(trouble) => settled.troubles.push(trouble),
        }
        settled
    }

    /// Deletes entries. One that is gone already is no trouble.
    pub(crate) async fn delete(&self, tombstones: &Inventory) -> Vec<Trouble> {
        let nothing = waxwing_core::inject::Node::Null;
        let current = match self.look(&looks(&nothing, tombstones)).await {
            Ok(current) => current,
            Err(trouble) => return vec![trouble],
        };
        let mut troubles = Vec::new();
        for write in plan(&nothing, &current, tombstones, &Options::default()).writes {
            let done = match self.ask(&write.request).await {
                Err(trouble) => Err(trouble),
                Ok(answer) if answer.status == 404 => Ok(()),
                Ok(answer) => {
                    (api::Answer { status: answer.status, body: &answer.body }).done().map_err(Trouble::from)
                }
            };
            troubles.extend(done.err().map(|Trouble { message, is_passing }| Trouble {
                message: format!("{}: {message}", write.entry),
                is_passing,
            }));
        }
        troubles
    }

    /// Makes every replica read its files again.
    ///
    /// # Errors
    /// The first that does not.
    pub(crate) async fn reload(&self, kinds: &[FileKind]) -> Result<(), Trouble> {
        for replica in &self.replicas {
            for kind in kinds {
                let answer = self.ask_one(replica, &api::reload(*kind)).await?;
                let done = (api::Answer { status: answer.status, body: &answer.body }).done();
                done.map_err(|refusal| {
                    let Trouble { message, is_passing } = refusal.into();
                    Trouble { message: format!("reload of {}: {message}", kind.folder()), is_passing }
                })?;
            }
        }
        Ok(())
    }

    /// How the contact points of an organisation fared.
    ///
    /// # Errors
    /// When Grafana does not say.
    pub(crate) async fn deliveries(&self, org: i64) -> Result<Vec<Delivery>, Trouble> {
        let answer = self.ask(&api::deliveries(org)).await?;
        Ok(api::deliveries_of(api::Answer { status: answer.status, body: &answer.body })?)
    }

    /// What files were to delete and is still there.
    ///
    /// # Errors
    /// When Grafana does not say.
    pub(crate) async fn remaining(&self, tombstones: &Inventory) -> Result<Inventory, Trouble> {
        let current = self.look(&api::looks_for(tombstones)).await?;
        Ok(current.remaining(tombstones))
    }

    /// The answer of the first replica that gives one: they share a database.
    async fn ask(&self, request: &Request) -> Result<server::Answer, Trouble> {
        let mut trouble = None;
        for replica in &self.replicas {
            match self.ask_one(replica, request).await {
                Ok(answer) => return Ok(answer),
                Err(other) => trouble = Some(other),
            }
        }
        Err(trouble.unwrap_or_else(|| Trouble::passing("grafana: its name has no address".to_owned())))
    }

    async fn ask_one(&self, replica: &Server, request: &Request) -> Result<server::Answer, Trouble> {
        let own = request.headers().into_iter().filter(|(name, _)| *name != "content-type");
        let mut headers: Vec<_> = own.map(|(name, value)| (name, Zeroizing::new(value))).collect();
        headers.push(("authorization", self.account.clone()));
        let body = request.body.clone().map(|body| ("application/json", body));
        let method = match request.method {
            Method::Delete => server::Method::DELETE,
            Method::Get => server::Method::GET,
            Method::Post => server::Method::POST,
            Method::Put => server::Method::PUT,
        };
        replica.ask(method, &request.path, Sent { headers, body }).await.map_err(|failure| Trouble {
            message: format!("grafana: {}", failure.what),
            is_passing: failure.kind.is_outage(),
        })
    }
}

/// What Grafana does not have although it has taken it: of credentials only whether there is one.
fn missing(made: &Made, now: &Current, refused: &BTreeSet<Entry>) -> Vec<Trouble> {
    let after = plan(&made.document, now, &Inventory::default(), &Options::default());
    let gone = after.writes.into_iter().filter(|write| !refused.contains(&write.entry));
    let gone = gone.map(|write| format!("{}: grafana does not have it as it was written", write.entry));
    let of_files = after.drift.into_iter().filter(|drift| drift.is_of_a_file);
    let of_files = of_files.map(|drift| {
        format!("{}: it belongs to a provisioning file of Grafana, and is not changed", drift.at)
    });
    gone.chain(of_files).map(|message| Trouble { message, is_passing: false }).collect()
}

#[cfg(test)]
mod tests {
    use waxwing_core::Secret;

    use super::*;

    fn reference(key: &str) -> Reference {
        Reference::Secret { name: "grafana".to_owned(), key: key.to_owned() }
    }

    fn answers(values: &[(&str, &str)]) -> BTreeMap<Reference, Answer> {
        let value = |text: &str| Answer::Value(Secret::new(text.as_bytes().to_vec()));
        values.iter().map(|(key, text)| (reference(key), value(text))).collect()
    }

    #[test]
    fn an_account_is_a_token_or_a_name_with_a_password() {
        let answers = answers(&[("token", "glsa_canary"), ("user", "admin"), ("password", "p:w")]);
        let token = account(&Auth::Token(reference("token")), &answers).unwrap();
        assert_eq!(*token, "Bearer glsa_canary");
        let user = account(&Auth::User(reference("user"), reference("password")), &answers).unwrap();
        assert_eq!(*user, "Basic YWRtaW46cDp3");
    }

    #[test]
    fn an_account_that_cannot_be_used_is_told_by_its_reason() {
        let answers = answers(&[("token", "canary\n")]);
        let broken = account(&Auth::Token(reference("token")), &answers).unwrap_err();
        assert_eq!(broken, "target.auth: Secret/grafana, key token: it ends in a line break");
        assert!(account(&Auth::Token(reference("other")), &answers).is_err());
    }
}
