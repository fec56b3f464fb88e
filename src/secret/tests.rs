//! The known answers were computed by a second implementation, from RFC 5869, RFC 8439 and
//! draft-irtf-cfrg-xchacha alone: they pin the stored format, not this crate's opinion of it.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::key_file::KeyFile;
use super::*;

fn vault() -> Vault {
    Vault::new(&std::array::from_fn(|i| u8::try_from(i).unwrap()))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |all, b| format!("{all}{b:02x}"))
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

#[test]
fn derivations_never_change() {
    let vault = vault();
    let link: LinkId = "lnk_0193f3a07c007a2b8c3d4e5f60718293".parse().unwrap();
    assert_eq!(hex(&vault.fingerprint()), "29ed60a8c244da02");
    let tokens = [
        "jEfbZheaxIm7bFS05Td8IucAjG_VhcXN_6U80dzq-3E",
        "5uq4pNad_MyOKn-rpwH7FlbOKhvWnFgpvYVzBEyiQ0Q",
        "zZFMxrIGU46xtHi5YFBbRm6uxUdqALkDlDqXmWq_9q8",
    ];
    for (pair, token) in (1..).zip(tokens) {
        assert_eq!(vault.token(link, pair), token);
    }
    assert_eq!(
        hex(&token_hash(tokens[0])),
        "198a2436873666fffde368601f7a47461fedb8f3d06aefb9b030db0116545e7c"
    );
    assert_eq!(
        hex(&vault.key_hash("s3cret")),
        "48a31ffeff625558221cc0a8e067ccb0a013a54979b13bc52db875e68fe76bc8"
    );
    assert_eq!(
        hex(&vault.blind("email", "jo@example.com")),
        "d0723327a0a8adb16453131e1fc3cb13b81e74c52eec9515a6409b702cbcecf6"
    );
    assert_eq!(
        hex(&vault.cookie_mac("form", b"abc")),
        "f1529b050f6e22eac72a76e9ba6175316b9360eb1a7b48a49d725a15675b5528"
    );
}

#[test]
fn what_was_sealed_once_opens_for_ever() {
    let sealed = unhex(concat!(
        "01",
        "6465666768696a6b6c6d6e6f707172737475767778797a7b",
        "5d41eb8840e36ba43ec5313e90cf65686921314b4326b134df04c0d8346f"
    ));
    let plain = vault().open(&sealed, "link.billing:lnk_1");
    assert_eq!(plain.as_deref(), Ok(b"jo@example.com".as_slice()));
}

#[test]
fn two_secrets_share_nothing() {
    let (one, two) = (Vault::new(&[1; 32]), Vault::new(&[2; 32]));
    let link: LinkId = "lnk_0193f3a07c007a2b8c3d4e5f60718293".parse().unwrap();
    assert_ne!(one.fingerprint(), two.fingerprint());
    assert_ne!(one.token(link, 1), two.token(link, 1));
    assert_ne!(one.key_hash("a"), two.key_hash("a"));
    assert_ne!(one.blind("email", "a"), two.blind("email", "a"));
    let sealed = one.seal(b"a", "c", &Random::seeded(1));
    assert_eq!(two.open(&sealed, "c"), Err(Unsealed));
}

#[test]
fn the_field_is_part_of_the_index() {
    let vault = vault();
    assert_ne!(vault.blind("email", "x"), vault.blind("phone", "x"));
    assert_ne!(vault.blind("a", "bc"), vault.blind("ab", "c"));
}

#[test]
fn nothing_secret_is_printed() {
    let key = MasterKey::random(&Random::seeded(7));
    assert_eq!(format!("{key:?}"), "MasterKey(***)");
    assert_eq!(format!("{:?}", vault()), "Vault(***)");
}

proptest! {
    #[test]
    fn opens_what_it_sealed_and_only_there(
        plain in proptest::collection::vec(any::<u8>(), 0..200),
        context in "[a-z.:_]{0,20}",
        seed in any::<u64>(),
    ) {
        let vault = vault();
        let random = Random::seeded(seed);
        let sealed = vault.seal(&plain, &context, &random);
        prop_assert_eq!(sealed.len(), plain.len() + 41);
        prop_assert_eq!(vault.open(&sealed, &context), Ok(plain.clone()));
        prop_assert_eq!(vault.open(&sealed, &format!("{context}x")), Err(Unsealed));
        prop_assert_ne!(vault.seal(&plain, &context, &random), sealed);
    }

    #[test]
    fn one_changed_bit_or_a_cut_is_refused(seed in any::<u64>(), at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let vault = vault();
        let mut sealed = vault.seal(b"+447700900123", "c", &Random::seeded(seed));
        let at = at.index(sealed.len());
        prop_assert_eq!(vault.open(&sealed[..at], "c"), Err(Unsealed));
        sealed[at] ^= 1 << bit;
        prop_assert_eq!(vault.open(&sealed, "c"), Err(Unsealed));
    }

    #[test]
    fn rubbish_is_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
        prop_assert_eq!(vault().open(&bytes, ""), Err(Unsealed));
    }

    #[test]
    fn a_key_survives_its_text(seed in any::<u64>()) {
        let key = MasterKey::random(&Random::seeded(seed));
        let text = key.to_base64().to_string();
        let url_safe = text.replace('+', "-").replace('/', "_");
        for spelling in [text.clone(), url_safe, text.trim_end_matches('=').to_owned(), format!(" {text}\n")] {
            prop_assert_eq!(&MasterKey::parse(&spelling), &Ok(key.clone()));
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        if let Ok(key) = MasterKey::parse(&text) {
            prop_assert_eq!(key.bytes().len(), 32);
        }
    }
}

#[test]
fn faults_of_a_key_are_told_apart() {
    assert_eq!(MasterKey::parse(""), Err(KeyFault::Length(0)));
    assert_eq!(MasterKey::parse("c2hvcnQ="), Err(KeyFault::Length(5)));
    assert_eq!(MasterKey::parse("not base64!"), Err(KeyFault::NotBase64));
    assert_eq!(
        MasterKey::parse(&"A".repeat(88)),
        Err(KeyFault::Length(66)),
        "a hex key or a longer one is not cut silently"
    );
    assert_eq!(
        KeyFault::Length(5).to_string(),
        "5 bytes long instead of 32"
    );
}

/// A folder of its own that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let name = format!("paylink-secret-{}", Random::os().uuid().simple());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_key_file_is_made_once_and_read_ever_after() {
    let folder = Folder::new();
    let path = KeyFile::beside(&folder.0.join("paylink.db"));
    let made = KeyFile::open_or_create(&path, &Random::os()).unwrap();
    assert!(made.created);
    assert_eq!(folder.names(), ["paylink.db.key"], "no draft is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let bits = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits, 0o600);
    }
    let read = KeyFile::open_or_create(&path, &Random::os()).unwrap();
    assert!(!read.created);
    assert_eq!(read.key, made.key);
}

#[test]
fn many_at_once_get_one_key() {
    let folder = Folder::new();
    let path = KeyFile::beside(&folder.0.join("paylink.db"));
    let found: Vec<KeyFile> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| KeyFile::open_or_create(&path, &Random::os()).unwrap()))
            .collect();
        threads.into_iter().map(|it| it.join().unwrap()).collect()
    });
    assert_eq!(found.iter().filter(|it| it.created).count(), 1);
    assert!(found.iter().all(|it| it.key == found[0].key));
    assert_eq!(folder.names().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_key_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.0.join("k.key");
    fs::write(&path, [b'A'; 43]).unwrap();
    for mode in [0o640, 0o604, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let fault = KeyFile::open_or_create(&path, &Random::os())
            .unwrap_err()
            .to_string();
        assert!(fault.contains("chmod 600"), "{fault}");
        assert!(fault.contains(&format!("{mode:04o}")), "{fault}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(KeyFile::open_or_create(&path, &Random::os()).is_ok());
}

#[cfg(unix)]
#[test]
fn what_is_not_a_key_is_never_overwritten() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.0.join("k.key");
    for content in ["", "hello", "c2hvcnQ=", "\u{fffd}"] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let fault = KeyFile::open_or_create(&path, &Random::os()).unwrap_err();
        assert!(
            fault.to_string().contains("restore it from its backup"),
            "{fault}"
        );
        assert!(
            content.is_empty() || !fault.to_string().contains(content),
            "the content is not quoted"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let fault = KeyFile::open_or_create(&path, &Random::os()).unwrap_err();
    assert!(fault.to_string().contains("is not a file"), "{fault}");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = Folder::new();
    let path = folder.0.join("missing").join("k.key");
    let fault = KeyFile::open_or_create(&path, &Random::os()).unwrap_err();
    assert!(fault.to_string().starts_with("cannot create"), "{fault}");
    assert!(std::error::Error::source(&fault).is_some());
}
