use super::*;

fn backup(keys: usize) -> Backup {
    let key = |number| Saved {
        identity: Identity::generate(),
        state: if number == 0 { "Active" } else { "OpenOnly" }.to_owned(),
        created_at: "2026-11-21T20:00:00Z".to_owned(),
    };
    let of = Origin {
        ring: "default".to_owned(),
        cluster: "0b6f1c5e-1111-4222-8333-444455556666".to_owned(),
        namespace: "waxwing-system".to_owned(),
        created_at: "2026-11-21T21:00:00Z".to_owned(),
    };
    Backup { of, keys: (0..keys).map(key).collect() }
}

fn encrypted(text: &str, recipient: &Recipient) -> Vec<u8> {
    let key = recipient.age() as &dyn age::Recipient;
    let encryptor = age::Encryptor::with_recipients(std::iter::once(key)).unwrap();
    let mut writer =
        encryptor.wrap_output(ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap()).unwrap();
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap().finish().unwrap()
}

#[test]
fn what_is_backed_up_comes_back_by_each_recovery_key_and_by_no_other() {
    let (first, second, other) = (Identity::generate(), Identity::generate(), Identity::generate());
    for keys in [0, 1, 120] {
        let backup = backup(keys);
        let file = backup.encrypt(&[first.recipient().clone(), second.recipient().clone()]).unwrap();
        assert!(file.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----\n"));
        assert_eq!(readers(&file), Ok(2));
        for identity in [&first, &second] {
            let opened = Backup::open(&file, &Identities::from_iter([identity.clone()])).ok().unwrap();
            assert_eq!(opened.of, backup.of);
            let recipients = |backup: &Backup| -> Vec<(String, String)> {
                let pair = |key: &Saved| (key.identity.recipient().to_string(), key.state.clone());
                backup.keys.iter().map(pair).collect()
            };
            assert_eq!(recipients(&opened), recipients(&backup));
        }
        let none = Backup::open(&file, &Identities::from_iter([other.clone()])).err();
        assert_eq!(none, Some(BackupError::NoMatchingKey));
    }
}

/// K32. Guard: everything goes through age (`Backup::encrypt`).
#[test]
fn no_private_key_stands_in_the_file() {
    let backup = backup(3);
    let file = backup.encrypt(&[Identity::generate().recipient().clone()]).unwrap();
    let mut plain = Vec::new();
    ArmoredReader::new(file.as_slice()).read_to_end(&mut plain).unwrap();
    for bytes in [file.as_slice(), plain.as_slice()] {
        assert!(!bytes.windows(15).any(|window| window == b"AGE-SECRET-KEY-"));
    }
}

#[test]
fn a_backup_for_nobody_is_not_made() {
    assert_eq!(backup(1).encrypt(&[]).err(), Some(BackupError::NoRecipients));
}

#[test]
fn a_changed_or_cut_file_is_refused() {
    let recovery = Identity::generate();
    let identities = Identities::from_iter([recovery.clone()]);
    let file = backup(2).encrypt(&[recovery.recipient().clone()]).unwrap();
    let text = String::from_utf8(file.clone()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let cut = [&lines[..lines.len() - 3], &lines[lines.len() - 1..]].concat().join("\n");
    assert!(Backup::open(cut.as_bytes(), &identities).is_err());
    let mut changed = file;
    let middle = changed.len() * 2 / 3;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    assert!(Backup::open(&changed, &identities).is_err());
    assert_eq!(Backup::open(b"hello", &identities).err(), Some(BackupError::NotAnAgeFile));
    assert_eq!(Backup::open(&vec![b'x'; FILE_BYTES + 1], &identities).err(), Some(BackupError::TooLarge));
}

/// K33. Guard: `Backup::read` derives each recipient from its private key, and `checked` lets no control character
/// pass: anybody can encrypt for the recovery recipient.
#[test]
fn what_somebody_else_encrypted_for_the_recovery_key_is_read_with_care() {
    let recovery = Identity::generate();
    let identities = Identities::from_iter([recovery.clone()]);
    let (one, other) = (Identity::generate(), Identity::generate());
    let private = String::from_utf8(one.to_text().expose().to_vec()).unwrap();
    let document = |ring: &str, version: u64, recipient: &Recipient, identity: &str| {
        format!(
            r#"{{"kind":"waxwing-backup","version":{version},"keyRing":"{ring}","createdAt":"now","keys":[{{"recipient":"{recipient}","state":"Active","identity":"{identity}"}}]}}"#
        )
    };
    let good = document("default", 1, one.recipient(), &private);
    let opened = Backup::open(&encrypted(&good, recovery.recipient()), &identities).ok().unwrap();
    assert_eq!(opened.keys[0].identity.recipient(), one.recipient());
    let doubled = good.replace("}]}", "},") + good.split("\"keys\":[").nth(1).unwrap();
    for (text, why) in [
        (document("default", 1, other.recipient(), &private), "belongs to another recipient"),
        (document("\\u001b[2J", 1, one.recipient(), &private), "not the JSON"),
        (document("a\u{7f}b", 1, one.recipient(), &private), "not plain"),
        (document("d\u{e9}fault", 1, one.recipient(), &private), "not plain"),
        (document("default", 2, one.recipient(), &private), "version is not known"),
        (document("default", 1, one.recipient(), "AGE-SECRET-KEY-1NOPE"), "malformed"),
        (good.replace("waxwing-backup", "other"), "kind is another"),
        (doubled, "twice"),
        ("[]".to_owned(), "not the JSON"),
    ] {
        let error = Backup::open(&encrypted(&text, recovery.recipient()), &identities).err().unwrap();
        let said = error.to_string();
        assert!(said.contains(why) && !said.contains("AGE-SECRET"), "{text}: {said}");
    }
}
