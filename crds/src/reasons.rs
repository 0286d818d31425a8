//! Every reason that a condition, an event or a metric can carry. Free text never becomes one.
//!
//! Each reason answers the same questions in one table: what it means, what to do, who can do it, whether time alone
//! can help. `docs/reference/reasons.md` is generated from it.

use std::fmt;

/// When an object is looked at again, apart from a change of what it depends on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Retry {
    /// At once or within seconds: the next try is likely to succeed.
    Soon,
    /// With exponential backoff up to the ceiling.
    Backoff,
    /// When something that it depends on has changed; at the ceiling of the backoff all the same.
    OnChange,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Who {
    /// Whoever wrote the object, by a commit.
    Author,
    /// Whoever runs the cluster.
    Platform,
    /// Nobody has to: Waxwing does it, or a defect of Waxwing is to be reported.
    Waxwing,
}

impl Who {
    /// The word for documents and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Author => "author",
            Self::Platform => "platform",
            Self::Waxwing => "waxwing",
        }
    }
}

impl Retry {
    /// The words for documents and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Soon => "soon",
            Self::Backoff => "with backoff",
            Self::OnChange => "on a change",
        }
    }
}

/// Builds the enum and its one table; each row is: name, stalled or not, retry, who, cause, advice.
macro_rules! reasons {
    ($($name:ident $stalled:ident $retry:ident $who:ident $cause:literal $advice:literal)*) => {
        /// Why an object is in the state it is in. The words are stable: conditions, events and metrics carry them.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        #[non_exhaustive]
        pub enum Reason {
            $(#[doc = $cause] #[doc = ""] #[doc = $advice] $name,)*
        }

        impl Reason {
            /// The word in conditions, events and metrics.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// Every reason.
            #[must_use]
            pub const fn all() -> &'static [Self] {
                &[$(Self::$name,)*]
            }

            /// Whether only a commit or a person can help, so that `Stalled` is true.
            #[must_use]
            pub const fn stalled(self) -> bool {
                match self { $(Self::$name => reasons!(@$stalled),)* }
            }

            /// When to look again.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self { $(Self::$name => Retry::$retry,)* }
            }

            /// Who can do something about it.
            #[must_use]
            pub const fn who(self) -> Who {
                match self { $(Self::$name => Who::$who,)* }
            }

            /// What has happened, in one or two sentences.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)* }
            }

            /// What to do next, in one sentence.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
    (@stalled) => { true };
    (@moving) => { false };
}

reasons! {
    // What is well, or was repaired.
    Synced moving OnChange Waxwing
        "The Secret holds what the spec says."
        "Nothing is to be done."
    Progressing moving Soon Waxwing
        "The operator has begun with this generation."
        "Wait for the next condition."
    Suspended moving OnChange Author
        "The annotation `waxwing.dev/suspend` pauses this object; the Secret stays as it is."
        "Remove the annotation when the operator shall go on."
    Adopted moving OnChange Waxwing
        "An existing Secret allowed it, so Waxwing has taken over the keys that it has a value for."
        "Remove the annotation `waxwing.dev/adopt` from the Secret once all its keys are as wanted."
    DriftCorrected moving OnChange Platform
        "Somebody changed the produced Secret by hand, and Waxwing has restored it."
        "Make the change in Git, or find the other writer in the Secret's managed fields."

    // The spec.
    InvalidSpec stalled OnChange Author
        "The spec says something that makes no sense, or that this version does not know; the message names the field."
        "Correct the named field and commit; `waxwing verify` finds the same in the file of a SealedSecret."
    UnsupportedFormat stalled OnChange Author
        "`spec.format` is not one that this version can open."
        "Seal again with this version's CLI, or upgrade the operator first."
    LimitExceeded stalled OnChange Author
        "The object has more keys, bytes or other things than it may; the message names the limit."
        "Split the Secret; `waxwing compact` removes what a SealedSecret no longer needs."
    TypeRefused stalled OnChange Author
        "Secrets of this type give rights in the cluster, and Waxwing never produces them."
        "Choose another type; let the cluster itself make tokens."
    NameReserved stalled OnChange Author
        "In the operator's own namespace no Secret is produced whose name begins with `waxwing-`."
        "Choose another name, or another namespace."
    MetadataRefused stalled OnChange Author
        "The template sets a label or annotation under `waxwing.dev/`, which is Waxwing's own."
        "Remove that key from `template.metadata`."
    KeyCollision stalled OnChange Author
        "Two values would get the same key of the Secret, such as one in `data` and one in `template.data`."
        "Remove one of the two, or give it another key."
    TemplateError stalled OnChange Author
        "A template does not parse, or uses a name that is not one of the keys that it is given; the message names key and line."
        "Repair the template and try it with `waxwing render`."
    TemplateLimit stalled OnChange Author
        "A template ran too long or wrote too much."
        "Make the template simpler."

    // Opening.
    NoMatchingKey stalled OnChange Author
        "No identity of this cluster fits the envelope: it was sealed for other recipients, or the key is gone."
        "Seal for the recipients that the KeyRing publishes now, or restore the missing identity."
    BindingMismatch stalled OnChange Author
        "The value was sealed for another name, namespace, scope, type or key; kustomize's `namePrefix` and `namespace` move objects too."
        "Seal the value for the place where it is used, or choose a wider scope."
    CommitMismatch stalled OnChange Author
        "The envelope opens to a data key that its commitment does not name: it was altered or mixed up."
        "Restore the file from Git, or seal the value again."
    Corrupt stalled OnChange Author
        "An envelope or a value is damaged: its cryptographic check fails."
        "Restore the file from Git, or seal the value again."
    SeqInFuture stalled OnChange Author
        "A value's sequence number is more than a day ahead of the cluster's clock."
        "Check the clock of the machine that sealed it, and seal the value again."
    RolledBack stalled OnChange Author
        "A value is older than one that this object has already had: a revert, or a replay."
        "Seal the value again if it shall come back; with policy `Warn` it is applied all the same."
    ScopeDenied stalled OnChange Platform
        "The KeyRing's policy does not allow scope `cluster`."
        "Seal with scope `strict` or `namespace`, or have the KeyRing's `policy.clusterScope` changed."

    // The target.
    Conflict stalled OnChange Author
        "A Secret of this name exists and is not ours: another Waxwing object or another controller owns it, or nobody has allowed its adoption."
        "Rename one of them, or annotate the Secret with `waxwing.dev/adopt: \"true\"`."
    ImmutableTarget stalled OnChange Author
        "The Secret's type, or the data of an immutable Secret, would have to change, and Kubernetes does not allow that."
        "Delete the Secret; the operator makes it anew at once and never deletes it itself."
    OwnershipContested stalled Backoff Platform
        "Another writer takes the same fields of the Secret again and again."
        "Find it in the Secret's managed fields and stop it."
    TargetReplaced moving Soon Waxwing
        "The Secret was deleted and created anew while it was written; the write was refused."
        "Nothing is to be done: the operator looks at the new Secret."
    NamespaceTerminating moving Backoff Platform
        "The namespace is being deleted, so nothing can be made in it."
        "Wait until it is gone, or create it again."

    // The API server.
    ApiUnavailable moving Backoff Platform
        "The API server does not answer, or answers with a server error."
        "Look at the API server; the operator goes on by itself."
    ApiThrottled moving Backoff Platform
        "The API server asks for fewer requests."
        "Look at its load and flow control; the operator goes on by itself."
    ApiForbidden moving Backoff Platform
        "The operator's ServiceAccount may not do this here; the message names verb and resource."
        "Grant it by the chart's RBAC, or list this namespace among the operator's."
    ApiConflict moving Soon Waxwing
        "Another writer was faster."
        "Nothing is to be done: the operator reads the object anew."
    ApiRejected stalled Backoff Author
        "The API server, a quota or an admission policy refused the object; the message says which, or names the fields."
        "Change the named fields, the quota or the policy."
    InternalError moving Backoff Waxwing
        "The operator met a state that it has no rule for."
        "Report it with the operator's log; the last good Secret stays."

    // Stores and providers.
    StoreValid moving OnChange Waxwing
        "The store was reached and took the credentials."
        "Nothing is to be done."
    StoreNotFound moving Backoff Author
        "There is no store of this kind and name where the object may look for it."
        "Create the store, or correct `secretStoreRef`."
    InvalidStore stalled OnChange Author
        "The store's spec makes no sense, or asks for what this version does not support; the message names the field."
        "Correct the named field of the store."
    PathNotGranted stalled OnChange Platform
        "The ClusterSecretStore grants this namespace no such path."
        "Have `grants` of the ClusterSecretStore name the namespace and a pattern for the path."
    EndpointRefused stalled OnChange Platform
        "The store names a host that objects of this namespace may not reach."
        "Use a Service of the same namespace, or start the operator with `--allow-endpoint` for the host."
    CredentialMissing moving Backoff Author
        "A Secret, ConfigMap or ServiceAccount that the store refers to, or a key in it, is not there."
        "Create what the message names, in the store's own namespace (the operator's for a ClusterSecretStore)."
    ProviderUnauthenticated moving Backoff Platform
        "The provider did not accept the store's credentials."
        "Check the credentials and the role, and that they have not expired."
    ProviderForbidden moving Backoff Platform
        "The provider accepted the credentials and does not allow this with them."
        "Grant what the message names by the provider's policy; `waxwing store check` tries it."
    EntryMissing moving Backoff Author
        "The provider says that the entry does not exist; the Secret stays as it was."
        "Create the entry, or correct the key."
    MountMissing moving Backoff Author
        "What the entry would lie in does not exist: the mount, the vault, the project or the directory."
        "Correct the store's path, or create what the message names."
    PropertyMissing moving Backoff Author
        "The entry exists and does not have the property that the message names."
        "Correct `property`, or add it to the entry."
    NothingFound moving Backoff Author
        "No entry matches `find`; the Secret stays as it was."
        "Correct the pattern, the path or the tags, or grant listing them."
    InvalidValue moving Backoff Author
        "The value is not what the resource says that it is: it does not parse or decode; the message gives the position."
        "Correct the entry, or `property` and `decodingStrategy`."
    InvalidKey moving Backoff Author
        "A name that came from the provider is no key of a Secret."
        "Turn it into one by `rewrite`."
    ValueTooLarge moving Backoff Author
        "The value, or all values together, exceed what a Secret can hold."
        "Pick a part by `property`, or split the Secret."
    ProviderRejected moving Backoff Author
        "The provider says that the request itself is wrong."
        "Check the key, the version and the store's spec."
    ProviderUnavailable moving Backoff Platform
        "The provider does not answer, or answers that it is in trouble; the Secret stays as it was."
        "Look at the provider and the way to it; the operator goes on by itself."
    ProviderUntrusted moving Backoff Platform
        "The provider's certificate is not trusted, has expired, or is for another host."
        "Put its authority into the store's `caBundle` or `caProvider`, or repair the certificate."
    ProviderSealed moving Backoff Platform
        "Vault is sealed, so it answers nothing; the Secret stays as it was."
        "Unseal it; the operator goes on by itself."
    ProviderThrottled moving Backoff Platform
        "The provider asks for fewer requests; the Secret stays as it was."
        "Wait, or raise the quota; the operator goes on by itself."
    NotSupportedByProvider stalled OnChange Author
        "This provider cannot do what the object asks for."
        "Remove the named field, or use another provider."

    // ExternalSecrets.
    Refreshed moving OnChange Waxwing
        "The Secret was brought to the provider's present values."
        "Nothing is to be done."
    TargetMissing moving Backoff Author
        "`creationPolicy: Merge` needs a Secret that exists, and there is none."
        "Create the Secret, or choose `creationPolicy: Owner`."
    FieldConflict stalled Backoff Author
        "Another writer owns a key that this object would merge into the Secret; the Secret stays as it was."
        "Give one of the two another key."
    EntryDeleted moving OnChange Waxwing
        "The provider said twice, a refresh apart, that the entries do not exist, so the Secret was deleted as `deletionPolicy: Delete` asks."
        "Create the entries again when the Secret shall come back."
    RolloutStarted moving OnChange Waxwing
        "A workload is restarted because a value in its Secret has changed."
        "Nothing is to be done."
    RolloutFailed moving Backoff Author
        "A workload in `target.rollout` could not be restarted; the Secret has the new values."
        "Check its name and kind, and that the operator may patch it."
    LeaseEnded moving Soon Waxwing
        "A leased value could not be prolonged and was issued anew."
        "Nothing is to be done."
    NamespacesFailing moving Backoff Author
        "The ExternalSecret could not be made in every selected namespace; the status lists them."
        "Look at the reason of each: there may be an ExternalSecret of the same name that is not ours."

    // Injections.
    Published moving OnChange Waxwing
        "The configuration was published with every credential that it refers to."
        "Nothing is to be done."
    Loaded moving OnChange Waxwing
        "Every endpoint has loaded the published configuration."
        "Nothing is to be done."
    LoadPending moving Soon Platform
        "The configuration is published, and not every endpoint has loaded it yet."
        "Wait; a mounted Secret takes about a minute to arrive."
    NotLoaded stalled Backoff Platform
        "The published configuration was not loaded in time; with `onFailure: Rollback` the last loaded one is published again."
        "Read the server's log for why it refused, correct the configuration, or set a new value of `waxwing.dev/refresh` to try again."
    ConfigInvalid stalled OnChange Author
        "The configuration is one that the server would refuse; the message names the field. Nothing was published."
        "Correct the named field and commit; `waxwing check` finds the same before a merge."
    RouteTestFailed stalled OnChange Author
        "An alert of `routeTests` would go elsewhere than it says. Nothing was published."
        "Correct the route or the test; `waxwing route test` shows the way of an alert."
    TargetUnsupported stalled OnChange Author
        "The target cannot take a field of the configuration in the version that `target` names. Nothing was published."
        "Remove the named field, or upgrade the target and its version here."
    DocumentMissing moving Backoff Author
        "The ConfigMap or Secret of `configFrom`, or its key, is not there; what is published stays."
        "Create it, or correct `configFrom`."
    CredentialStale moving Backoff Author
        "A credential cannot be had now; its last good value stands in for it."
        "Look at the receivers in the status, which name Secret or store and what is wrong."
    CredentialExpired stalled Backoff Author
        "A credential could not be had for longer than `maxStale`; its last good value still stands in for it."
        "Look at the receivers in the status, which name Secret or store and what is wrong."
    CredentialUnresolved moving Backoff Author
        "A credential was never had, so the integrations that need it are left out, or nothing is published at all."
        "Look at the receivers in the status, which name Secret or store and what is wrong."
    LiteralCredential moving OnChange Author
        "A credential stands in the configuration itself."
        "Seal it, and refer to it with `$secret`."
    DeliveryFailing moving Backoff Author
        "Notifications through a receiver are refused by the other side, or fail."
        "Check the receiver's credentials; the status says which receiver it is."
    ReloadFailed moving Backoff Platform
        "The server was asked to read its configuration again and did not, or cannot be reached."
        "Look at the server, and at `reload`, `url` and `auth` of the target."
    GrafanaRefused stalled Backoff Author
        "Grafana refused a part of the document; the message names the part."
        "Correct that part; Grafana's own log says more."
    NotIncluded moving OnChange Author
        "The injection that this receiver names does not take it in."
        "Check `spec.injection`, and the selectors in `include` of that injection."
    ReceiverRefused stalled OnChange Author
        "The receiver or a route of it is one that an injection does not take in; the message names the field."
        "Correct the named field and commit; `waxwing check` finds the same before a merge."

    // The ring.
    KeyRingNotReady moving Backoff Platform
        "The KeyRing has no usable identity yet."
        "Look at the conditions of the KeyRing that the operator serves."
    RingNotServed moving OnChange Platform
        "Another KeyRing is the one that this operator serves."
        "Delete this KeyRing, or start an operator with `--keyring` for it."
    ProtectionUnavailable moving Backoff Platform
        "What wraps the identities at rest cannot be asked, or refuses; nothing else is done in its place."
        "Look at the server of `protection`, and at the rights of the operator there."
    UntrustedIdentities stalled OnChange Platform
        "Identities exist and none of them is trusted, so no key is made and none is used."
        "Check where they come from, then name their recipients in the KeyRing's `spec.trusted`."
    UntrustedIdentity moving OnChange Platform
        "An identity that the ring neither made nor trusts was found and is not used."
        "Delete its Secret, or name its recipient in the KeyRing's `spec.trusted`."
    MalformedIdentity moving OnChange Platform
        "A Secret of type `waxwing.dev/identity` holds no usable identity and is not used."
        "Delete the Secret, or restore it from the backup."
    IdentityMissing moving OnChange Platform
        "The KeyRing lists a key whose Secret is gone: what was sealed for it alone cannot be opened."
        "Restore the Secret from the backup."
    KeyCreated moving OnChange Waxwing
        "A new identity was made."
        "Run `waxwing keys backup`, which names its recipient in the KeyRing's `spec.backedUp`."
    KeyActivated moving OnChange Waxwing
        "A new key is published for new seals; the older ones open only."
        "Run `waxwing recipients diff` and commit the new recipient to `.waxwing.yaml`."
    KeyRetired moving OnChange Platform
        "A key is no longer used. Its private half stays until it is destroyed."
        "Run `waxwing keys destroy` only when no commit, branch or backup needs it any more."
    KeyDestroyed moving OnChange Platform
        "The private half of a retired key is gone from the cluster."
        "Nothing, if that was meant. Else restore it from the backup with `waxwing keys restore`."
    OlderKeysInUse moving OnChange Author
        "Values are still sealed for older keys of the ring, which go on opening them."
        "Run `waxwing rewrap` where they are kept, and commit the result; `waxwing keys status` names them."
    RequiredRecipientMissing moving OnChange Author
        "An envelope does not name a recipient that the KeyRing requires, such as the offline recovery key."
        "Add the recipient to `.waxwing.yaml`, run `waxwing rewrap` and commit the result."
    BackupAwaited moving OnChange Platform
        "A new key waits for its backup before it becomes active."
        "Run `waxwing keys backup`, which names its recipient in the KeyRing's `spec.backedUp`."
    RecipientsChanged moving OnChange Platform
        "The list of recipients that new seals are made for has changed."
        "Make sure that this was meant: whoever is on the list can read new seals."
    EnvelopesProposed moving OnChange Author
        "The status holds envelopes for the ring's present recipients."
        "Put them into the file in place of its own and commit it."
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_one_pascal_case_word_and_stands_once() {
        let words: BTreeSet<_> = Reason::all().iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::all().len());
        for word in words {
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(word.chars().all(|c| c.is_ascii_alphabetic()), "{word}");
        }
    }

    #[test]
    fn every_reason_says_what_happened_and_what_to_do_in_whole_sentences() {
        for reason in Reason::all() {
            for text in [reason.cause(), reason.advice()] {
                assert!(text.ends_with('.'), "{reason}: {text}");
                assert!(text.len() > 20 || *reason == Reason::ApiConflict, "{reason}: {text}");
            }
        }
    }

    #[test]
    fn what_only_a_person_can_repair_is_not_retried_soon_and_is_not_ours_to_repair() {
        for reason in Reason::all().iter().filter(|reason| reason.stalled()) {
            assert_ne!(reason.retry(), Retry::Soon, "{reason}");
            assert_ne!(reason.who(), Who::Waxwing, "{reason}");
        }
    }
}
