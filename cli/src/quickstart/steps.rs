//! The steps, in the order in which they are done. Each leaves one commit or more.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
};

use waxwing_core::{
    Secret,
    config::{Config, Member, Rule},
    keys::NamedRecipient,
    seal::{EnvelopeId, Sealed},
};

use super::{
    demo::{CONFIG, Demo, LastSet, SEALED, check, same},
    text::{without_envelope, without_value},
};
use crate::{
    error::{Explain, Failure, Result},
    identities,
    render::{Row, What},
    sealed_file::SealedFile,
    write::{self, Mode},
};

/// One step.
pub(super) struct Step {
    pub(super) title: &'static str,
    pub(super) run: fn(&mut Demo<'_>) -> Result<()>,
}

/// All steps on this machine.
pub(super) const HERE: &[Step] = &[
    Step { title: "Keys, and who can open what", run: keys },
    Step { title: "A Secret is sealed, committed, and opened where it is used", run: seal },
    Step { title: "A hand edit of the opened Secret is repaired", run: hand_edit },
    Step { title: "One value changes: one line, one new envelope, no other byte", run: change_one },
    Step { title: "A second cluster can open it", run: second_cluster },
    Step { title: "The cluster's key rotates; what is sealed stays as it is", run: rotate },
    Step { title: "A copied, a renamed and a swapped value are refused", run: refuse },
    Step { title: "git revert brings a value back, and is noticed", run: revert },
    Step { title: "A value is pulled from a store, and follows its source", run: pull },
    Step {
        title: "A receiver: from the sealed value to Alertmanager's and Grafana's configuration",
        run: super::receiver::receiver,
    },
    Step { title: "Break-glass: the recovery key opens everything without a cluster", run: break_glass },
];

/// All steps with a cluster: one cluster is there, and its keys are its own.
#[cfg(feature = "cluster")]
pub(super) const IN_A_CLUSTER: &[Step] = &[
    Step { title: "The cluster's recipients, and a recovery key", run: super::live::keys },
    Step { title: "A Secret is sealed, committed, and opened in the cluster", run: seal },
    Step { title: "A hand edit of the opened Secret is repaired", run: hand_edit },
    Step { title: "One value changes: one line, one new envelope, no other byte", run: change_one },
    Step { title: "A renamed and a swapped value are refused", run: refuse },
    Step { title: "git revert brings a value back, and is noticed", run: revert },
    Step { title: "Break-glass: the recovery key opens everything without the cluster", run: break_glass },
];

fn keys(demo: &mut Demo<'_>) -> Result<()> {
    let recipient = demo.waxwing(&["keys", "generate", "--file", "../keys/prod-eu.txt"])?;
    let recipient = format!("prod-eu={}", recipient.trim());
    demo.waxwing(&["init", "--recipient", &recipient, "--generate-recovery", "../keys/recovery.txt"])?;
    demo.commit("Say who can open what")?;
    let config = Config::parse(&demo.read(CONFIG)?)?;
    let recipients = config.recipients_for(SEALED, "default")?;
    check(recipients.iter().map(NamedRecipient::name).eq(["prod-eu", "recovery"]), "new seals are for both")?;
    for key in ["prod-eu.txt", "recovery.txt"] {
        let mode = fs::metadata(demo.path("keys").join(key))?.mode() & 0o777;
        check(mode == 0o600, "an identity is readable by its owner alone")?;
    }
    demo.ok("new seals are for prod-eu and the offline recovery key; both private keys lie outside the repository, mode 0600")
}

fn seal(demo: &mut Demo<'_>) -> Result<()> {
    let mut args = vec!["seal".to_owned()];
    args.extend(demo.sample.seal.clone());
    args.extend(["--output".to_owned(), SEALED.to_owned()]);
    demo.waxwing(&args.iter().map(String::as_str).collect::<Vec<_>>())?;
    if !demo.sample.is_own() {
        demo.show("rm ../secret.yaml")?;
        demo.sample.clear(&demo.path(""))?;
    }
    demo.commit("Add the credentials, sealed")?;
    let file = SealedFile::read(&demo.repo(SEALED), None)?;
    let mut secrets = Vec::new();
    for item in &file.items {
        let item = item.as_ref().map_err(Failure::clone)?;
        let binding = item.sealed.binding();
        let keys: Vec<_> = item.sealed.tokens().keys().map(ToString::to_string).collect();
        if let (true, Some(first), Some(last)) = (demo.keys.0.is_empty(), keys.first(), keys.last()) {
            demo.subject = (binding.namespace.clone(), binding.name.clone());
            demo.keys = (first.clone(), last.clone());
        }
        secrets.push(format!("{}/{}", binding.namespace, binding.name));
    }
    check(!demo.keys.0.is_empty(), "there is a value to work with")?;
    demo.publish()?;
    demo.expect(&secrets.iter().map(|secret| (What::Created, secret.as_str())).collect::<Vec<_>>())?;

    let rendered = demo.live()?;
    check(same(&rendered, &demo.opened("recovery.txt")?), "the rendered values are those that were sealed")?;
    let sample = &demo.sample.values;
    check(demo.sample.is_own() || same(&rendered, sample), "the rendered values are those of the sample")?;
    let text = demo.read(SEALED)?;
    // Why exposed: to be looked for where they must not be.
    let leaks = rendered.values().filter(|value| value.len() > 5).any(|value| {
        let plain = String::from_utf8_lossy(value.expose());
        text.contains(plain.as_ref())
    });
    check(!leaks, "no value stands in the sealed file")?;
    let private = if demo.is_live() { "" } else { ", mode 0600" };
    demo.ok(&format!("{SEALED} holds no plaintext; the Secret appeared with the right values{private}"))
}

fn hand_edit(demo: &mut Demo<'_>) -> Result<()> {
    let right = demo.live()?;
    demo.tamper()?;
    demo.expect(&[(What::Repaired, &demo.secret())])?;
    check(same(&demo.live()?, &right), "every value is as it was")?;
    demo.ok("the edit was noticed, told and undone")
}

fn change_one(demo: &mut Demo<'_>) -> Result<()> {
    let key = demo.keys.0.clone();
    set(demo, &key, "a-new-value-for-the-first-key", "Replace one credential")?;
    demo.show_diff()?;
    demo.ok("the diff is one data line and one envelope; every other byte is as it was")
}

/// Seals one new value, and checks each byte of the file and the rendered Secret.
pub(super) fn set(demo: &mut Demo<'_>, key: &str, value: &str, message: &'static str) -> Result<()> {
    let (text, sealed) = (demo.read(SEALED)?, demo.sealed()?);
    let choice = demo.choice()?;
    let mut args = vec!["set", SEALED, key];
    args.extend(choice.iter().map(String::as_str));
    let value = Secret::new(value.as_bytes().to_vec());
    demo.waxwing_with(&args, &value)?;
    let commit = demo.commit(message)?;
    demo.publish()?;
    demo.expect(&[(What::Updated, &demo.secret())])?;

    let (new_text, new) = (demo.read(SEALED)?, demo.sealed()?);
    let added: Vec<EnvelopeId> = difference(&new, &sealed);
    let removed: Vec<EnvelopeId> = difference(&sealed, &new);
    check(
        added.len() == 1 && removed.len() <= 1,
        "one envelope is new, and one that nothing needs any more went",
    )?;
    let bare = |text: &str, sealed: &Sealed, ids: &[EnvelopeId]| {
        let text = ids.iter().fold(text.to_owned(), |text, id| without_envelope(&text, id.as_str()));
        let token = sealed.tokens().get(key).map(ToString::to_string).unwrap_or_default();
        without_value(&text, &token)
    };
    let (before, after) = (bare(&text, &sealed, &removed), bare(&new_text, &new, &added));
    check(after.1 == 1 && before == after, "one data line and one envelope differ, and no other byte")?;
    let rendered = demo.live()?;
    check(rendered.get(key).is_some_and(|rendered| rendered.same_as(&value)), "the new value is rendered")?;
    demo.last_set = LastSet { key: key.to_owned(), text, commit, message };
    Ok(())
}

fn difference(left: &Sealed, right: &Sealed) -> Vec<EnvelopeId> {
    left.envelopes().keys().filter(|id| !right.envelopes().contains_key(*id)).copied().collect()
}

fn second_cluster(demo: &mut Demo<'_>) -> Result<()> {
    let recipient = demo.waxwing(&["keys", "generate", "--file", "../keys/prod-us.txt"])?;
    demo.show(&format!("$EDITOR {CONFIG}     # add prod-us, with that recipient"))?;
    configure(demo, "prod-us", recipient.trim())?;
    let (text, sealed) = (demo.read(SEALED)?, demo.all_sealed()?);
    demo.waxwing(&["rewrap", SEALED, "--identity", "../keys/prod-eu.txt"])?;
    demo.waxwing(&["verify", "."])?;
    demo.commit("Let prod-us open it, too")?;
    let (new_text, new) = (demo.read(SEALED)?, demo.all_sealed()?);
    let bare = |text: &str, sealed: &[Sealed]| {
        let ids = sealed.iter().flat_map(|sealed| sealed.envelopes().keys());
        ids.fold(text.to_owned(), |text, id| without_envelope(&text, id.as_str()))
    };
    check(text != new_text, "the envelopes were wrapped anew")?;
    check(bare(&text, &sealed) == bare(&new_text, &new), "only envelope lines differ")?;
    let tokens = |sealed: &[Sealed]| sealed.iter().map(|sealed| sealed.tokens().clone()).collect::<Vec<_>>();
    check(tokens(&sealed) == tokens(&new), "every token is as it was")?;
    demo.waxwing(&["render", ".", "--into", "../prod-us", "--identity", "../keys/prod-us.txt"])?;
    check(same(&demo.rendered("prod-us")?, &demo.live()?), "both clusters have the same values")?;
    demo.ok("only envelope lines changed, no value did; prod-us opens the same values with a key of its own")
}

/// Names a recipient in the configuration: a new one, or another key of a known one.
fn configure(demo: &Demo<'_>, name: &str, key: &str) -> Result<()> {
    let config = Config::parse(&demo.read(CONFIG)?)?;
    let mut members: Vec<Member> =
        config.members().iter().filter(|member| member.recipient.name() != name).cloned().collect();
    members.push(Member {
        recipient: NamedRecipient::new(name, key.parse()?)?,
        cluster: true,
        required: false,
    });
    let mut rules: Vec<Rule> = config.rules().to_vec();
    for rule in rules.iter_mut().filter(|rule| !rule.recipients.iter().any(|known| known == name)) {
        rule.recipients.push(name.to_owned());
    }
    demo.write(CONFIG, &Config::new(members, rules)?.render())
}

fn rotate(demo: &mut Demo<'_>) -> Result<()> {
    let before = demo.live()?;
    let recipient = demo.waxwing(&["keys", "generate", "--file", "../keys/prod-eu-2.txt"])?;
    demo.show(
        "cat ../keys/prod-eu-2.txt >> ../keys/prod-eu.txt     # the cluster keeps its old key, to open with",
    )?;
    let ring = demo.path("keys/prod-eu.txt");
    fs::copy(&ring, demo.path("keys/prod-eu-1.txt")).at(ring.display())?;
    let keys = [fs::read(&ring)?, fs::read(demo.path("keys/prod-eu-2.txt"))?].concat();
    write::replace(&ring, &keys, Mode::Private).at(ring.display())?;
    demo.show(&format!("$EDITOR {CONFIG}     # prod-eu has a new recipient"))?;
    configure(demo, "prod-eu", recipient.trim())?;
    demo.commit("Seal to the new key of prod-eu")?;
    let (first, last) = demo.keys.clone();
    check(demo.opens("prod-eu-1.txt", &first)?, "the old key opens what was sealed to it")?;
    check(!demo.opens("prod-eu-2.txt", &first)?, "what was sealed before is not for the new key")?;
    check(same(&demo.opened("prod-eu.txt")?, &before), "the cluster opens the old values")?;
    set(demo, &last, "a-new-value-for-the-last-key", "Replace another credential")?;
    check(!demo.opens("prod-eu-1.txt", &last)?, "what is sealed now is not for the old key")?;
    check(demo.opens("prod-eu-2.txt", &last)?, "what is sealed now is for the new key")?;
    check(identities::read(&ring)?.len() == 2, "the cluster has both keys")?;
    demo.ok("old values still open with the old key, the new value with the new key alone; no old line was touched")
}

fn refuse(demo: &mut Demo<'_>) -> Result<()> {
    let good = demo.read(SEALED)?;
    let before = demo.live()?;
    let (namespace, name) = demo.subject.clone();
    let (first, last) = demo.keys.clone();
    let mut bad = BTreeSet::new();
    let mut place = |demo: &Demo<'_>, file: &str, namespace: &str, name: &str, what: &str| -> Result<()> {
        demo.show(&format!("cp {SEALED} {file} && $EDITOR {file}     # {what}"))?;
        bad.insert(format!("{namespace}/{name}"));
        demo.write(file, &demo.moved(namespace, name)?)
    };
    if !demo.is_live() {
        place(demo, "copied.yaml", "another-team", &name, "into another namespace")?;
    }
    place(demo, "renamed.yaml", &namespace, "renamed", "to another name")?;
    if first == last {
        demo.tell("there is one key only, so no two values to swap")?;
    } else {
        demo.show(&format!("$EDITOR {SEALED}     # {first} and {last} change places"))?;
        let sealed = demo.sealed()?;
        let token = |key: &str| sealed.tokens().get(key).map(ToString::to_string).unwrap_or_default();
        let swapped = good
            .replace(&token(&first), "…")
            .replace(&token(&last), &token(&first))
            .replace("…", &token(&last));
        demo.write(SEALED, &swapped)?;
        bad.insert(demo.secret());
    }
    let commit = demo.commit("Move values to where they do not belong")?;
    demo.publish()?;
    let rows = demo.expect(&bad.iter().map(|secret| (What::Refused, secret.as_str())).collect::<Vec<_>>())?;
    let reasons: Vec<Option<&str>> =
        rows.iter().filter(|row| row.what == What::Refused).map(|row| row.reason).collect();
    check(
        reasons.iter().all(|reason| *reason == Some("BindingMismatch")),
        "each is refused because it was moved",
    )?;
    check(same(&demo.live()?, &before), "the last good Secret stays")?;
    let made =
        (demo.is_live() || !demo.is_made("another-team", &name)?) && !demo.is_made(&namespace, "renamed")?;
    check(made, "nothing is made from a moved value")?;

    match (&demo.git, commit) {
        (Some(git), Some(commit)) => {
            demo.show("git revert --no-edit HEAD")?;
            git.revert(&commit)?;
        }
        _ => {
            demo.show(&format!("rm -f copied.yaml renamed.yaml && cp before.yaml {SEALED}"))?;
            for moved in ["copied.yaml", "renamed.yaml"]
                .map(|name| demo.repo(name))
                .iter()
                .filter(|path| path.exists())
            {
                fs::remove_file(moved)?;
            }
            demo.write(SEALED, &good)?;
        }
    }
    demo.publish()?;
    if first != last {
        demo.expect(&[(What::Recovered, &demo.secret())])?;
    }
    check(demo.read(SEALED)? == good, "the sealed file is as it was")?;
    demo.ok("each was refused with BindingMismatch, and the last good Secret stayed all the while")
}

fn revert(demo: &mut Demo<'_>) -> Result<()> {
    let LastSet { key, text, commit, message } = demo.last_set.clone();
    match (&demo.git, commit) {
        (Some(git), Some(commit)) => {
            demo.show(&format!("git revert --no-edit {}     # \"{message}\"", &commit[..10]))?;
            git.revert(&commit)?;
        }
        _ => {
            demo.show(&format!("cp before.yaml {SEALED}     # the file as it was before its last change"))?;
            demo.write(SEALED, &text)?;
        }
    }
    demo.publish()?;
    let rows = demo.expect(&[(What::Updated, &demo.secret())])?;
    check(demo.read(SEALED)? == text, "the sealed file is as it was before the change")?;
    check(
        rows.iter().any(|row: &Row| row.rolled_back.contains(&key)),
        "the older value is told as RolledBack",
    )?;
    check(same(&demo.live()?, &demo.opened("recovery.txt")?), "the earlier value is rendered")?;
    demo.ok(
        "the earlier value is back; RolledBack is told, because a replay would look the same (policy Warn)",
    )
}

/// A store that is a directory, what it grants, and a Secret that is made from it.
const PULLED: &str = "\
apiVersion: waxwing.dev/v1alpha1
kind: ClusterSecretStore
metadata:
  name: quickstart
spec:
  provider:
    file:
      directory: ../store
  grants:
    - namespaces: [NAMESPACE]
      paths: [app/*]
---
apiVersion: waxwing.dev/v1alpha1
kind: ExternalSecret
metadata:
  name: quickstart-pulled
  namespace: NAMESPACE
spec:
  secretStoreRef:
    kind: ClusterSecretStore
    name: quickstart
  data:
    - secretKey: token
      remoteRef:
        key: app/token
";

fn pull(demo: &mut Demo<'_>) -> Result<()> {
    let namespace = demo.subject.0.clone();
    let secret = format!("{namespace}/quickstart-pulled");
    let source = demo.path("store/app/token");
    let folder = demo.path("store/app");
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).at(folder.display())?;
    let put = |value: &Secret| {
        // Why exposed: the file is the store's entry.
        write::replace(&source, value.expose(), Mode::Private).at(source.display())
    };
    let rendered = |demo: &Demo<'_>| -> Result<Option<Secret>> {
        let path = demo.path("prod-eu").join(format!("{secret}.yaml"));
        let mode = fs::metadata(&path).at(path.display())?.mode() & 0o777;
        check(mode == 0o600, "the pulled Secret is readable by its owner alone")?;
        Ok(demo.values_in(&path, "quickstart-pulled")?.remove("token"))
    };
    let value = |text: &str| Secret::new(text.as_bytes().to_vec());
    let (first, second) = (value("the-first-token-of-the-store"), value("the-second-token-of-the-store"));
    demo.show("$EDITOR ../store/app/token     # a value in a store: here a directory")?;
    put(&first)?;
    demo.write("pulled.yaml", &PULLED.replace("NAMESPACE", &namespace))?;
    demo.waxwing(&["store", "check", "pulled.yaml", "--key", "app/token"])?;
    demo.waxwing(&["verify", "pulled.yaml"])?;
    demo.commit("Pull a value from a store")?;
    demo.expect(&[(What::Created, &secret)])?;
    check(rendered(demo)?.is_some_and(|value| value.same_as(&first)), "the store's value is rendered")?;
    demo.show("$EDITOR ../store/app/token     # the value changes there, and nothing in Git")?;
    put(&second)?;
    demo.expect(&[(What::Updated, &secret)])?;
    check(rendered(demo)?.is_some_and(|value| value.same_as(&second)), "the new value is rendered")?;
    demo.ok("the Secret holds what the store has; Git holds neither value, only where they are")
}

fn break_glass(demo: &mut Demo<'_>) -> Result<()> {
    let choice = demo.choice()?;
    let mut args =
        vec!["open", SEALED, "--identity", "../keys/recovery.txt", "--output", "../break-glass.yaml"];
    args.extend(choice.iter().map(String::as_str));
    demo.waxwing(&args)?;
    let path = demo.path("break-glass.yaml");
    check(fs::metadata(&path)?.mode() & 0o777 == 0o600, "the opened file is readable by its owner alone")?;
    check(same(&demo.in_manifest(&path)?, &demo.live()?), "it holds the values that the cluster has")?;
    demo.show("rm ../break-glass.yaml")?;
    fs::remove_file(&path)?;
    demo.ok("the recovery key, which no cluster holds, opens every value")
}
