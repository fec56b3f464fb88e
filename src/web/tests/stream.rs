//! The event stream's wire form and who sees what of it.

use jiff::Timestamp;

use crate::access::{Caller, Role};
use crate::link::{Actor, EventId, EventKind, KeyId, Mode};
use crate::random::Random;
use crate::store::StoredEvent;
use crate::web::api::events::{is_kept, own, position};
use crate::web::live::{frame, may_see};

#[test]
fn an_event_is_one_block_of_three_lines() {
    assert_eq!(
        frame(7, "link.completed", r#"{"id":"evt_1"}"#),
        "id: 7\nevent: link.completed\ndata: {\"id\":\"evt_1\"}\n\n"
    );
}

#[test]
fn a_cursor_is_a_position_of_ours() {
    assert_eq!(position("0"), Ok(0));
    assert_eq!(position("17"), Ok(17));
    for foreign in ["", "-1", "+1", "1.0", "evt_019a", "99999999999999999999"] {
        assert!(position(foreign).is_err(), "{foreign}");
    }
}

#[test]
fn a_cursor_outside_of_what_is_kept_is_gone() {
    // 5 to 9 are kept
    assert!(is_kept(9, 9, Some(5)));
    assert!(is_kept(4, 9, Some(5)));
    assert!(!is_kept(3, 9, Some(5)));
    assert!(!is_kept(10, 9, Some(5)));
    assert!(is_kept(0, 0, None));
}

fn caller(role: Role, store: Option<&str>, actor: Actor) -> Caller {
    Caller {
        actor,
        role,
        store: store.map(Into::into),
        home: "north".into(),
        mode: Mode::Test,
        name: "till".into(),
    }
}

#[test]
fn a_caller_hears_of_its_own_store_and_a_tablet_of_its_own_links() {
    let random = Random::seeded(5);
    let key = || Actor::Key(KeyId::new(Timestamp::UNIX_EPOCH, &random));
    let (mine, other) = (key(), key());
    let event = StoredEvent {
        position: Some(1),
        id: EventId::new(Timestamp::UNIX_EPOCH, &random),
        kind: EventKind::LinkCreated,
        link: None,
        store: Some("north".into()),
        created_by: Some(mine),
        json: "{}".into(),
    };
    let hears = |role, store, actor| may_see(&own(&caller(role, store, actor)), &event);
    assert!(hears(Role::Agent, Some("north"), other));
    assert!(!hears(Role::Agent, Some("south"), other));
    assert!(hears(Role::Admin, None, other));
    assert!(hears(Role::Tablet, Some("north"), mine));
    assert!(!hears(Role::Tablet, Some("north"), other));
}
