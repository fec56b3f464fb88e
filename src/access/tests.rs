use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::key::crc32;
use super::*;
use crate::random::Random;
use crate::secret::Vault;

/// The page's table as it stands there: roles across, one row per verb. `-` nothing, `o` own,
/// `s` store, `a` all. "yes" of a role that is bound to a store means: in its store.
const TABLE: &[(Verb, [char; 6])] = &[
    //             agent superv. integr. tablet auditor admin
    (Verb::Create, ['s', 's', 's', 'o', '-', 'a']),
    (Verb::Read, ['s', 's', 's', 'o', 's', 'a']),
    (Verb::List, ['s', 's', 's', '-', 's', 'a']),
    (Verb::Reveal, ['s', 's', 's', '-', '-', 'a']),
    (Verb::Export, ['-', 's', 's', '-', 's', 'a']),
    (Verb::Money, ['-', 's', 's', '-', '-', 'a']),
    (Verb::Integrate, ['-', '-', 's', '-', '-', 'a']),
    (Verb::IntegrateRead, ['-', '-', 's', '-', 's', 'a']),
    (Verb::Administer, ['-', '-', '-', '-', '-', 'a']),
];

#[test]
fn the_whole_table_is_the_contracts() {
    assert_eq!(
        TABLE.iter().map(|row| row.0).collect::<Vec<_>>(),
        Verb::ALL,
        "every verb has its row"
    );
    for (verb, row) in TABLE {
        for (role, cell) in Role::ALL.iter().zip(row) {
            let reach = match cell {
                '-' => Reach::Nothing,
                'o' => Reach::Own,
                's' => Reach::Store,
                _ => Reach::All,
            };
            assert_eq!(role.reach(*verb), reach, "{role:?} {verb:?}");
            let caller = key(*role, "north").0.caller();
            assert_eq!(caller.may(*verb), reach != Reach::Nothing);
        }
    }
}

#[test]
fn roles_have_words() {
    for role in Role::ALL {
        assert_eq!(Role::from_word(role.as_str()), Some(*role));
    }
    assert_eq!(Role::from_word("Admin"), None);
    assert_eq!(Role::from_word(""), None);
}

fn vault() -> Vault {
    Vault::new(&[9; 32])
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn key(role: Role, store: &str) -> (ApiKey, String) {
    minted(role, store, Mode::Live, None, 1)
}

fn minted(
    role: Role,
    store: &str,
    mode: Mode,
    expires_at: Option<Timestamp>,
    seed: u64,
) -> (ApiKey, String) {
    let new = NewKey {
        name: "till 3".into(),
        role,
        store: store.into(),
        mode,
        expires_at,
    };
    let (key, text) = ApiKey::mint(new, &vault(), now(), &Random::seeded(seed));
    (key, text.expose_secret().to_owned())
}

#[test]
fn a_store_is_seen_by_its_own_and_by_admins() {
    for role in Role::ALL {
        let caller = key(*role, "north").0.caller();
        assert!(caller.sees("north"));
        assert_eq!(caller.sees("south"), *role == Role::Admin, "{role:?}");
        assert_eq!(caller.home, "north");
    }
}

#[test]
fn a_tablet_sees_its_own_links_only() {
    let (tablet, _) = minted(Role::Tablet, "north", Mode::Live, None, 1);
    let (other, _) = minted(Role::Tablet, "north", Mode::Live, None, 2);
    let (agent, _) = minted(Role::Agent, "north", Mode::Live, None, 3);
    let (foreign, _) = minted(Role::Agent, "south", Mode::Live, None, 4);
    let (auditor, _) = minted(Role::Auditor, "north", Mode::Live, None, 5);
    let (admin, _) = minted(Role::Admin, "default", Mode::Live, None, 6);
    let link = link(Actor::Key(tablet.id), "north");
    assert!(tablet.caller().sees_link(&link));
    assert!(!other.caller().sees_link(&link));
    assert!(agent.caller().sees_link(&link));
    assert!(!foreign.caller().sees_link(&link));
    assert!(auditor.caller().sees_link(&link));
    assert!(admin.caller().sees_link(&link));
    let mut moved = link;
    moved.store = "south".into();
    assert!(!tablet.caller().sees_link(&moved));
}

fn link(created_by: Actor, store: &str) -> Link {
    use crate::link::{KlarnaView, LinkId, Page, Sale, Stage, Tree, UseCase};
    Link {
        id: LinkId::new(now(), &Random::seeded(8)),
        version: 1,
        sequence: 1,
        store: store.into(),
        mode: Mode::Live,
        agent: None,
        created_by,
        sale: Sale {
            reference: "SO-1".into(),
            use_case: UseCase::InStore,
            country: "GB".into(),
            currency: "GBP".into(),
            locale: "en-GB".into(),
            order_amount: 100,
            order_tax_amount: 0,
            lines: Vec::new(),
            billing: None,
            shipping: None,
            customer: None,
            extras: Tree::Map(Vec::new()),
        },
        page: Page::default(),
        auto_capture: true,
        metadata: Vec::new(),
        stage: Stage::Creating { pairs_tried: 0 },
        wanted_end: None,
        klarna: KlarnaView::default(),
        closing_reason: None,
        closing_note: None,
        renewed_from: None,
        renewed_by: None,
        viewed: false,
        mismatch: false,
        acknowledged: false,
        created_at: now(),
        updated_at: now(),
    }
}

#[test]
fn store_names() {
    for good in ["default", "a", "north-2_b", &"x".repeat(32)] {
        assert_eq!(store_name(good).as_deref(), Ok(good));
    }
    for bad in ["", "North", "a b", "é", "a/b", &"x".repeat(33)] {
        assert_eq!(store_name(bad), Err(NotAStore), "{bad:?}");
    }
}

#[test]
fn the_checksum_is_the_usual_crc32() {
    assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(crc32(b""), 0);
}

#[test]
fn a_key_has_the_promised_form() {
    for (mode, prefix) in [(Mode::Live, "plk_live_"), (Mode::Test, "plk_test_")] {
        let (key, text) = minted(Role::Agent, "default", mode, None, 3);
        let rest = text.strip_prefix(prefix).unwrap();
        let (id, secret) = rest.split_once('_').unwrap();
        assert_eq!(format!("key_{id}"), key.id.to_string());
        assert_eq!(secret.len(), 43 + 6);
        assert!(secret.bytes().all(|b| b.is_ascii_alphanumeric()));
        assert!(!format!("{key:?}").contains(&secret[..43]));
        assert!(!format!("{:?}", Presented::parse(&text).unwrap()).contains(&secret[..43]));
    }
}

#[test]
fn a_key_admits_its_holder_until_its_end() {
    let end = now() + SignedDuration::from_hours(1);
    let (mut key, text) = minted(Role::Agent, "default", Mode::Live, Some(end), 3);
    let holder = Presented::parse(&text).unwrap();
    let just_before = end - SignedDuration::from_micros(1);
    assert!(key.admits(&holder, &vault(), now()));
    assert!(key.admits(&holder, &vault(), just_before));
    assert!(!key.admits(&holder, &vault(), end));
    key.revoked_at = Some(now());
    assert!(!key.admits(&holder, &vault(), just_before), "revoked");
}

#[test]
fn a_key_admits_nobody_else() {
    let (key, text) = minted(Role::Agent, "default", Mode::Live, None, 3);
    let (other, other_text) = minted(Role::Agent, "default", Mode::Live, None, 4);
    let holder = Presented::parse(&text).unwrap();
    let stranger = Presented::parse(&other_text).unwrap();
    assert!(!key.admits(&stranger, &vault(), now()));
    assert!(!other.admits(&holder, &vault(), now()));
    assert!(
        !key.admits(&holder, &Vault::new(&[8; 32]), now()),
        "the pepper counts"
    );

    let mut renamed = key.clone();
    renamed.id = other.id;
    assert!(
        !renamed.admits(&holder, &vault(), now()),
        "a hash moved to another row"
    );
    let mut live = key;
    live.mode = Mode::Test;
    assert!(!live.admits(&holder, &vault(), now()), "of the other mode");
}

#[test]
fn what_is_no_key_is_told_without_a_row() {
    let (_, text) = key(Role::Agent, "default");
    assert!(Presented::parse(&text).is_some());
    for bad in [
        String::new(),
        "plk_".into(),
        "plk_live__".into(),
        text[..text.len() - 1].into(),
        format!("{text} "),
        format!(" {text}"),
        text.to_uppercase(),
        text.replace("live", "test"),
        text.replace("plk", "pik"),
        text.replace("plk_live", "plk_prod"),
    ] {
        assert!(Presented::parse(&bad).is_none(), "{bad:?}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        prop_assert!(Presented::parse(&text).is_none());
    }

    #[test]
    fn nor_one_that_looks_like_a_key(text in "plk_(live|test)_[0-9a-f]{30,34}_[0-9A-Za-z_é]{40,52}") {
        // one in 2^32 of these would be well formed
        prop_assert!(Presented::parse(&text).is_none());
    }

    #[test]
    fn every_minted_key_parses_and_admits(seed in any::<u64>(), live in any::<bool>()) {
        let mode = if live { Mode::Live } else { Mode::Test };
        let (key, text) = minted(Role::Integrator, "s", mode, None, seed);
        let holder = Presented::parse(&text).unwrap();
        prop_assert_eq!(holder.id, key.id);
        prop_assert_eq!(holder.mode, mode);
        prop_assert!(key.admits(&holder, &vault(), now()));
    }

    #[test]
    fn one_wrong_or_two_swapped_characters_are_noticed(
        seed in any::<u64>(), at in any::<prop::sample::Index>(), put in "[0-9A-Za-z_]",
    ) {
        let (_, text) = minted(Role::Agent, "s", Mode::Live, None, seed);
        let at = at.index(text.len());
        let mut typed = text.clone();
        typed.replace_range(at..=at, &put);
        prop_assert_eq!(Presented::parse(&typed).is_some(), typed == text);
        if at > 0 {
            let mut swapped = text.clone().into_bytes();
            swapped.swap(at - 1, at);
            let swapped = String::from_utf8(swapped).unwrap();
            prop_assert_eq!(Presented::parse(&swapped).is_some(), swapped == text);
        }
    }
}
