//! The keys themselves, without an operator: what an administrator's program uses to open what it has rights to.

use std::sync::Arc;

use waxwing_core::Secret as Plaintext;
use waxwing_core::store::Kind;
use waxwing_core::store::endpoint::Allow;
use waxwing_crds::ProtectionKind;
use waxwing_providers::{Bond, Place, Protector, Rules, Wrapped, protect};
use waxwing_tests::block_on;
use waxwing_tests::faults::Fault;
use waxwing_tests::kept::Kept;

use super::*;

fn protector(spec: Value, kind: ProtectionKind, kept: Arc<Kept>) -> Arc<dyn Protector> {
    let place = Place {
        namespace: None,
        store: "keyring-default".to_owned(),
        ambient: true,
        rules: Rules::new(Allow::parse(["http://127.0.0.1"]).unwrap()),
    };
    let spec = serde_json::from_value(spec).unwrap();
    protect::connect(&spec, kind, &place, kept).unwrap()
}

fn bond(ring: &str, recipient: &str) -> Bond {
    Bond { ring: ring.to_owned(), recipient: recipient.to_owned() }
}

/// What is wrapped for one ring and recipient opens for these and no others, and only as long as it is whole.
async fn check(protector: &dyn Protector, own: &Bond) -> Wrapped {
    let identity = Plaintext::new(b"AGE-SECRET-KEY-1CANARY".to_vec());
    let wrapped = protector.wrap(&identity, own).await.unwrap();
    assert!(!wrapped.text.contains("CANARY"));
    assert!(protector.unwrap(&wrapped, own).await.unwrap().same_as(&identity));
    let other = protector.wrap(&identity, own).await.unwrap();
    assert_ne!(other.text, wrapped.text);
    for other in [bond("other", &own.recipient), bond(&own.ring, "age1other"), bond("", "")] {
        let refused = protector.unwrap(&wrapped, &other).await.err().unwrap();
        assert_eq!(refused.kind, Kind::Rejected, "{other:?}: {refused}");
        assert!(refused.to_string().contains("did not wrap this"), "{refused}");
    }
    let mut damaged = wrapped.clone();
    let last = if damaged.text.pop() == Some('A') { 'B' } else { 'A' };
    damaged.text.insert(damaged.text.len() - 8, last);
    assert!(protector.unwrap(&damaged, own).await.is_err());
    wrapped
}

/// K30. Guard: the associated data (`providers: vault::transit`).
#[test]
fn vault_opens_what_it_wrapped_for_the_same_ring_and_recipient_only() {
    block_on(async {
        let transit = Transit::new("keys").await.unwrap();
        let token = transit.vault.token(&transit.mount, "1h").await.unwrap();
        let kept = Kept::of("vault", [("token", token.as_str())]);
        let auth = json!({"tokenSecretRef": {"name": "vault", "key": "token"}});
        let with = |block: Value| {
            let spec = json!({"kind": "VaultTransit", "vaultTransit": block});
            protector(spec, ProtectionKind::VaultTransit, kept.clone())
        };
        let own = bond("default", "age1own");
        let vault = with(transit.block_with(auth.clone()));
        let wrapped = check(&*vault, &own).await;
        assert_eq!(wrapped.key, "waxwing");

        // The key is rotated in Vault: both versions open, until the older one is excluded.
        let key = format!("{}/keys/waxwing", transit.mount);
        transit.vault.write(&format!("{key}/rotate"), json!({})).await.unwrap();
        assert!(check(&*vault, &own).await.text.starts_with("vault:v2:"));
        assert!(vault.unwrap(&wrapped, &own).await.is_ok());
        transit.vault.write(&format!("{key}/config"), json!({"min_decryption_version": 2})).await.unwrap();
        let refused = vault.unwrap(&wrapped, &own).await.err().unwrap();
        assert!(refused.to_string().contains("min_decryption_version"), "{refused}");

        // A key that cannot hold anything to ring and recipient wraps nothing.
        let path = format!("{}/keys/rsa", transit.mount);
        transit.vault.write(&path, json!({"type": "rsa-2048"})).await.unwrap();
        let rules = format!("path \"{}/*\" {{ capabilities = [\"update\"] }}", transit.mount);
        transit.vault.policy(&transit.mount, &rules).await.unwrap();
        let mut block = transit.block_with(auth.clone());
        block["key"] = json!("rsa");
        let identity = Plaintext::new(b"AGE-SECRET-KEY-1CANARY".to_vec());
        assert_eq!(with(block).wrap(&identity, &own).await.err().unwrap().kind, Kind::Rejected);
        // A name that is none is sent nowhere.
        let calls = transit.proxy.calls().len();
        let odd = Wrapped { key: "../../sys/seal".to_owned(), ..wrapped.clone() };
        assert_eq!(vault.unwrap(&odd, &own).await.err().unwrap().kind, Kind::BadData);
        assert_eq!(transit.proxy.calls().len(), calls);

        // A moment's trouble is nobody's; longer ones are told, in our words.
        let wrapped = vault.wrap(&identity, &own).await.unwrap();
        let trouble = transit.proxy.inject(Fault::Reply(502, vec![], "canary".to_owned()), {
            let left = std::sync::atomic::AtomicU32::new(2);
            move |call| {
                let one_less = |left: u32| left.checked_sub(1);
                let order = std::sync::atomic::Ordering::SeqCst;
                call.path.contains("decrypt") && left.fetch_update(order, order, one_less).is_ok()
            }
        });
        assert!(vault.unwrap(&wrapped, &own).await.is_ok());
        assert_eq!(trouble.hits(), 2);
        drop(trouble);
        let _trouble =
            transit.proxy.inject(Fault::Reply(400, vec![], r#"{"errors":["canary"]}"#.to_owned()), |call| {
                call.path.contains("decrypt")
            });
        let refused = vault.unwrap(&wrapped, &own).await.err().unwrap();
        assert!(!format!("{refused} {refused:?}").contains("canary"));
    });
}

/// K30. Guard: the encryption context and the key's name (`providers: aws::kms`).
#[test]
fn kms_opens_what_it_wrapped_for_the_same_ring_and_recipient_only() {
    block_on(async {
        let kms = Kms::new("keys").await.unwrap();
        let kept = Kept::of("aws", [("id", "AKIAADMIN"), ("key", "key")]);
        let key = |key: &str| json!({"name": "aws", "key": key});
        let block = json!({
            "region": REGION, "keyId": kms.alias, "endpoint": kms.proxy.url,
            "auth": {"secretRef": {"accessKeyIDSecretRef": key("id"), "secretAccessKeySecretRef": key("key")}},
        });
        let spec = json!({"kind": "AwsKms", "awsKms": block});
        let aws = protector(spec, ProtectionKind::AwsKms, kept);
        let own = bond("default", "age1own");
        let wrapped = check(&*aws, &own).await;
        assert_eq!(wrapped.key, kms.arn);
        let made = kms.moto.call("TrentService.CreateKey", json!({})).await.unwrap();
        let other = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
        assert!(
            aws.unwrap(&Wrapped { key: other, ..wrapped.clone() }, &own).await.is_err(),
            "by another key"
        );

        for (fault, kind) in [
            (Fault::aws(400, "DisabledException", "canary"), Kind::Forbidden),
            (Fault::aws(400, "KMSInvalidStateException", "canary"), Kind::Forbidden),
            (Fault::aws(400, "NotFoundException", "canary"), Kind::EntryMissing),
            (Fault::aws(400, "AccessDeniedException", "canary"), Kind::Forbidden),
            (Fault::aws(500, "KMSInternalException", "canary"), Kind::Unavailable),
            (Fault::aws_throttling(), Kind::Throttled),
        ] {
            let _trouble = kms.proxy.inject(fault, |_| true);
            let refused = aws.unwrap(&wrapped, &own).await.err().unwrap();
            assert_eq!(refused.kind, kind, "{refused}");
            assert!(!format!("{refused} {refused:?}").contains("canary"), "{refused:?}");
        }
        assert!(aws.unwrap(&wrapped, &own).await.is_ok());
    });
}
