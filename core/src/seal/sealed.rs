//! The sealed part of one resource: tokens and the envelopes that they point to.

use std::collections::{BTreeMap, BTreeSet};

use waxwing_crds::{SealedSecretSpec, names};
use zeroize::Zeroizing;

use super::{
    Binding, DataKey, Envelope, EnvelopeId, FORMAT, FormatError, OpenError, SealError, Token, dek::Dek,
    envelope::Tries, limits, padding,
};
use crate::{
    Secret,
    keys::{Identities, KeyId, NamedRecipient},
};

/// Parsed and within limits. Holding one proves nothing about what is inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    binding: Binding,
    envelopes: BTreeMap<EnvelopeId, Envelope>,
    tokens: BTreeMap<DataKey, Token>,
}

/// One opened value.
pub struct OpenedValue {
    /// The plaintext.
    pub value: Secret,
    /// The token's sequence number.
    pub seq: u64,
    /// Short id of the identity that opened its envelope.
    pub opened_by: KeyId,
}

/// All opened values of one resource, and the binding under which every one of them opened:
/// evidence that they may be written there and nowhere else.
pub struct Opened {
    binding: Binding,
    values: BTreeMap<DataKey, OpenedValue>,
}

impl Opened {
    /// Where the values belong.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The values by key.
    pub fn values(&self) -> &BTreeMap<DataKey, OpenedValue> {
        &self.values
    }

    /// The values by key, taken out.
    pub fn into_values(self) -> BTreeMap<DataKey, OpenedValue> {
        self.values
    }
}

impl Sealed {
    /// Nothing sealed yet.
    pub fn empty(binding: Binding) -> Self {
        Self { binding, envelopes: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    /// Reads the sealed part of a spec: limits, then grammar, then references. No cryptography.
    ///
    /// # Errors
    /// The first [`FormatError`] found; a text that parses is written back byte for byte.
    pub fn parse(spec: &SealedSecretSpec, namespace: &str, name: &str) -> Result<Self, FormatError> {
        if spec.format != FORMAT {
            return Err(FormatError::UnsupportedFormat);
        }
        check_limits(spec)?;
        let binding = Binding {
            scope: spec.scope.parse()?,
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            secret_type: checked_type(&spec.secret_type)?,
        };
        let mut envelopes = BTreeMap::new();
        for (id, envelope) in &spec.envelopes {
            let id = id.parse()?;
            envelopes.insert(id, Envelope::parse(id, envelope)?);
        }
        let mut tokens = BTreeMap::new();
        for (key, token) in &spec.data {
            let key: DataKey = key.parse()?;
            let Ok(token) = token.parse::<Token>() else {
                return Err(FormatError::MalformedToken { key });
            };
            if !envelopes.contains_key(&token.envelope) {
                return Err(FormatError::UnknownEnvelope { key, envelope: token.envelope });
            }
            tokens.insert(key, token);
        }
        let padded = tokens.values().map(Token::padded_len).sum::<usize>();
        // Padding adds at most 12 % above 1 KiB and 64 bytes to a small value.
        if padded > limits::OPENED_BYTES / 8 * 9 + 64 * tokens.len() {
            return Err(FormatError::Limit { what: "sealed data", limit: limits::OPENED_BYTES });
        }
        Ok(Self { binding, envelopes, tokens })
    }

    /// What the values are bound to.
    pub fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The tokens by key.
    pub fn tokens(&self) -> &BTreeMap<DataKey, Token> {
        &self.tokens
    }

    /// The envelopes by id, also those that no token refers to.
    pub fn envelopes(&self) -> &BTreeMap<EnvelopeId, Envelope> {
        &self.envelopes
    }

    /// The envelopes that a token refers to.
    pub fn envelopes_in_use(&self) -> impl Iterator<Item = (&EnvelopeId, &Envelope)> {
        let needed = self.needed();
        self.envelopes.iter().filter(move |(id, _)| needed.contains(id))
    }

    fn needed(&self) -> BTreeSet<EnvelopeId> {
        self.tokens.values().map(Token::envelope).collect()
    }

    /// Seals `values` in one act: one new envelope, one token a value; other tokens stay as they
    /// are, and envelopes that no token needs any more are dropped. Needs no private key.
    ///
    /// `now` is unix seconds; each sequence number is `max(now, previous + 1)`.
    ///
    /// # Errors
    /// Nothing is changed if it fails.
    pub fn seal(
        &mut self,
        values: &[(DataKey, Secret)],
        recipients: &[NamedRecipient],
        now: i64,
    ) -> Result<(), SealError> {
        if values.is_empty() {
            return Ok(());
        }
        let dek = Dek::generate()?;
        let envelope = Envelope::wrap(&dek, recipients)?;
        let mut next = self.clone();
        for (key, value) in values {
            if value.len() > limits::OPENED_BYTES {
                let limit = limits::OPENED_BYTES;
                return Err(SealError::Limit { what: "bytes of data", limit });
            }
            // A number that no reader accepts is no floor: somebody wrote it into the text by hand, or a clock was
            // wrong, and going on from it would make a value that nobody opens.
            let known = next.tokens.get(key).map(|token| token.seq);
            let floor = known.filter(|seq| *seq <= latest_seq(now)).map_or(0, |seq| seq + 1);
            let seq = floor.max(u64::try_from(now).unwrap_or(0));
            if seq >= limits::SEQ {
                return Err(SealError::SeqExhausted { key: key.clone() });
            }
            let token = dek.seal(&next.binding, key, seq, value)?;
            next.tokens.insert(key.clone(), token);
        }
        next.envelopes.insert(dek.id(), envelope);
        next.drop_unreferenced();
        next.check_size()?;
        *self = next;
        Ok(())
    }

    /// Removes one key, and its envelope if nothing else needs it. Whether it was there.
    pub fn unset(&mut self, key: &DataKey) -> bool {
        let found = self.tokens.remove(key).is_some();
        self.drop_unreferenced();
        found
    }

    /// Opens every value, or none.
    ///
    /// # Errors
    /// The first check that fails; see [`OpenError`] for their order.
    pub fn open(&self, identities: &Identities, now: i64) -> Result<Opened, OpenError> {
        let mut tries = Tries::new();
        let mut keys = BTreeMap::new();
        for id in self.needed() {
            keys.insert(id, self.envelope(id).unwrap(id, identities, &mut tries)?);
        }
        let mut values = BTreeMap::new();
        let mut size = 0;
        for (key, token) in &self.tokens {
            let (dek, opened_by) = &keys[&token.envelope];
            let value = self.open_value(dek, key, token, now)?;
            size += value.len();
            if size > limits::OPENED_BYTES {
                return Err(OpenError::TooLarge);
            }
            let opened = OpenedValue { value, seq: token.seq, opened_by: *opened_by };
            values.insert(key.clone(), opened);
        }
        Ok(Opened { binding: self.binding.clone(), values })
    }

    /// Opens one value only.
    ///
    /// # Errors
    /// As [`Self::open`], or [`OpenError::UnknownKey`].
    pub fn open_key(
        &self,
        key: &DataKey,
        identities: &Identities,
        now: i64,
    ) -> Result<OpenedValue, OpenError> {
        let token = self.tokens.get(key).ok_or_else(|| OpenError::UnknownKey { key: key.clone() })?;
        let (dek, opened_by) =
            self.envelope(token.envelope).unwrap(token.envelope, identities, &mut Tries::new())?;
        let value = self.open_value(&dek, key, token, now)?;
        Ok(OpenedValue { value, seq: token.seq, opened_by })
    }

    /// For a holder of an identity: the one of `candidates` under which the value of `key` would
    /// open. The operator never asks this: guessing would leak names and burn CPU.
    pub fn sealed_for<'a>(
        &self,
        key: &DataKey,
        identities: &Identities,
        candidates: impl IntoIterator<Item = &'a Binding>,
    ) -> Option<&'a Binding> {
        let token = self.tokens.get(key)?;
        let envelope = self.envelope(token.envelope);
        let (dek, _) = envelope.unwrap(token.envelope, identities, &mut Tries::new()).ok()?;
        candidates.into_iter().find(|binding| dek.open(binding, key, token).is_some())
    }

    /// The keys whose sequence number lies further ahead of `now` than any reader accepts.
    pub fn keys_ahead_of(&self, now: i64) -> impl Iterator<Item = &DataKey> {
        let latest = latest_seq(now);
        self.tokens.iter().filter(move |(_, token)| token.seq > latest).map(|(key, _)| key)
    }

    /// Wraps the same data keys to new recipients; tokens stay byte for byte. Envelopes that name exactly these
    /// recipients, and have as many stanzas, are taken to be for them: they stay, and only get their hints written anew
    /// where a name or the order differs. Says how many were changed.
    ///
    /// # Errors
    /// Nothing is changed if one envelope can't be opened.
    pub fn rewrap(
        &mut self,
        identities: &Identities,
        recipients: &[NamedRecipient],
    ) -> Result<usize, OpenError> {
        self.wrap_those(identities, recipients, |envelope| !envelope.says_it_is_for(recipients))
    }

    /// As [`Self::rewrap`], and believes no hint: every envelope is wrapped anew.
    ///
    /// # Errors
    /// Nothing is changed if one envelope can't be opened.
    pub fn rewrap_all(
        &mut self,
        identities: &Identities,
        recipients: &[NamedRecipient],
    ) -> Result<usize, OpenError> {
        self.wrap_those(identities, recipients, |_| true)
    }

    fn wrap_those(
        &mut self,
        identities: &Identities,
        recipients: &[NamedRecipient],
        is_due: impl Fn(&Envelope) -> bool,
    ) -> Result<usize, OpenError> {
        let mut next = self.clone();
        next.drop_unreferenced();
        let mut tries = Tries::new();
        let mut changed = 0;
        for (id, envelope) in &mut next.envelopes {
            if is_due(envelope) {
                let (dek, _) = envelope.unwrap(*id, identities, &mut tries)?;
                *envelope = Envelope::wrap(&dek, recipients)?;
                changed += 1;
            } else if envelope.write_hints(recipients) {
                changed += 1;
            }
        }
        next.check_size()?;
        *self = next;
        Ok(changed)
    }

    /// Brings all values into one new envelope, with new tokens.
    ///
    /// # Errors
    /// Nothing is changed if one value can't be opened.
    pub fn compact(
        &mut self,
        identities: &Identities,
        recipients: &[NamedRecipient],
        now: i64,
    ) -> Result<(), OpenError> {
        let opened = self.open(identities, now)?;
        let values: Vec<_> =
            opened.into_values().into_iter().map(|(key, opened)| (key, opened.value)).collect();
        Ok(self.seal(&values, recipients, now)?)
    }

    /// Writes format, scope, type, envelopes and data in canonical text; leaves the rest.
    pub fn write_into(&self, spec: &mut SealedSecretSpec) {
        spec.format = FORMAT.to_owned();
        spec.scope = self.binding.scope.to_string();
        spec.secret_type = self.binding.secret_type.clone();
        spec.envelopes =
            self.envelopes.iter().map(|(id, envelope)| (id.to_string(), envelope.spec())).collect();
        spec.data = self.tokens.iter().map(|(key, token)| (key.to_string(), token.to_string())).collect();
    }

    fn envelope(&self, id: EnvelopeId) -> &Envelope {
        // Kept by `parse` (UnknownEnvelope) and by every method that drops envelopes.
        self.envelopes.get(&id).expect("every token's envelope is present")
    }

    fn open_value(&self, dek: &Dek, key: &DataKey, token: &Token, now: i64) -> Result<Secret, OpenError> {
        let plain: Zeroizing<Vec<u8>> = dek
            .open(&self.binding, key, token)
            .ok_or_else(|| OpenError::BindingMismatch { key: key.clone() })?;
        let value = padding::unpad(&plain).ok_or_else(|| OpenError::BadPadding { key: key.clone() })?;
        if token.seq > latest_seq(now) {
            return Err(OpenError::SeqInFuture { key: key.clone(), seq: token.seq });
        }
        Ok(value)
    }

    fn drop_unreferenced(&mut self) {
        let needed = self.needed();
        self.envelopes.retain(|id, _| needed.contains(id));
    }

    /// Refuses to produce what [`Self::parse`] would refuse to read.
    fn check_size(&self) -> Result<(), SealError> {
        let mut spec = SealedSecretSpec::default();
        self.write_into(&mut spec);
        match Self::parse(&spec, &self.binding.namespace, &self.binding.name) {
            Err(FormatError::Limit { what, limit }) => Err(SealError::Limit { what, limit }),
            _ => Ok(()),
        }
    }
}

/// The highest sequence number that a reader accepts at this time.
fn latest_seq(now: i64) -> u64 {
    u64::try_from(now).unwrap_or(0).saturating_add(limits::SEQ_AHEAD_SECONDS)
}

/// Sizes and counts, before anything is parsed.
fn check_limits(spec: &SealedSecretSpec) -> Result<(), FormatError> {
    let check = |what, size: usize, limit: usize| {
        if size > limit { Err(FormatError::Limit { what, limit }) } else { Ok(()) }
    };
    check("keys", spec.data.len(), limits::KEYS)?;
    check("envelopes", spec.envelopes.len(), limits::ENVELOPES)?;
    let wrapped: usize = spec.envelopes.values().map(|envelope| envelope.age.len() / 4 * 3).sum();
    check("bytes of envelopes", wrapped, limits::ENVELOPES_BYTES)?;
    let hints: usize = spec.envelopes.values().flat_map(|e| &e.to).map(String::len).sum();
    let data: usize = spec.data.iter().map(|(key, token)| key.len() + token.len()).sum();
    let template: usize = spec.template.iter().map(template_bytes).sum();
    check("bytes of text", wrapped / 3 * 4 + hints + data + template, limits::SPEC_BYTES)
}

fn template_bytes(template: &waxwing_crds::SealedTemplate) -> usize {
    let metadata = template.metadata.iter().flat_map(|m| m.labels.iter().chain(&m.annotations));
    template.data.iter().chain(metadata).map(|(key, value)| key.len() + value.len()).sum()
}

fn checked_type(secret_type: &str) -> Result<String, FormatError> {
    let printable = secret_type.bytes().all(|b| b.is_ascii_graphic());
    if secret_type.is_empty() || secret_type.len() > 253 || !printable {
        return Err(FormatError::MalformedType);
    }
    match names::REFUSED_SECRET_TYPES.iter().find(|refused| **refused == secret_type) {
        Some(secret_type) => Err(FormatError::RefusedType { secret_type }),
        None => Ok(secret_type.to_owned()),
    }
}
