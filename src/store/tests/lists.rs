//! Lists, filters and search on either database.

use super::*;
use crate::link::{Channel, Payment, Status};

async fn references(f: &Fixture, filter: Filter) -> Vec<String> {
    let listed = f.read(move |tx| tx.list(&filter, None, 100)).await;
    listed
        .items
        .into_iter()
        .map(|(link, _)| link.sale.reference)
        .collect()
}

async fn found(f: &Fixture, question: &str) -> Vec<String> {
    let q = Some(Query::new(question).unwrap());
    references(
        f,
        Filter {
            q,
            ..Filter::default()
        },
    )
    .await
}

on_both! {

async fn pages_join_without_seam(f: &Fixture) {
    let mut expected = Vec::new();
    for n in 0..7 {
        // three share each moment
        if n % 3 == 0 { f.clock.advance(SignedDuration::from_secs(1)); }
        let link = f.born(&format!("SO-{n}")).await;
        expected.push((link.created_at, link.id));
    }
    expected.sort();
    expected.reverse();
    for q in [None, Query::new("bloggs")] {
        let (mut seen, mut cursor) = (Vec::new(), None::<Cursor>);
        loop {
            let filter = Filter { q: q.clone(), ..Filter::default() };
            let page = f.read(move |tx| tx.list(&filter, cursor.as_ref(), 2)).await;
            assert!(page.items.len() <= 2);
            seen.extend(page.items.iter().map(|(link, _)| (link.created_at, link.id)));
            match page.next {
                None => break,
                Some(next) => cursor = Some(Cursor::parse(&next.to_string()).unwrap()),
            }
        }
        assert_eq!(seen, expected);
    }
    for nonsense in ["", "x", "AAAAAAAAAAA", "☃"] {
        assert_eq!(Cursor::parse(nonsense), None);
    }
}

async fn a_page_brings_each_links_deliveries(f: &Fixture) {
    let (one, two) = (f.born("SO-1").await, f.born("SO-2").await);
    let delivery = f.delivery(&one, email("jo@example.com"));
    let copy = delivery.clone();
    f.write(move |tx| tx.insert_delivery(&copy)).await;
    let listed = f.read(|tx| tx.list(&Filter::default(), None, 10)).await;
    for (link, deliveries) in listed.items {
        if link.id == two.id { assert!(deliveries.is_empty()) } else { assert_eq!(deliveries, std::slice::from_ref(&delivery)) }
    }
}

async fn each_filter_narrows(f: &Fixture) {
    let one = f.born("SO-1").await;
    f.clock.advance(SignedDuration::from_secs(10));
    let mut two = f.new_link("SO-2");
    two.store = "north".into();
    two.agent = Some("al".into());
    two.sale.use_case = UseCase::InStore;
    two.created_by = Actor::Paylink;
    let two = f.store_link(two).await;
    let delivery = f.delivery(&two, sms("+447700900123"));
    f.write(move |tx| tx.insert_delivery(&delivery)).await;
    let at = f.later(5);
    f.change(two.id, move |link| { link.stage = Stage::Expired { pair: None, at }; link.updated_at = at; }).await;
    let only = |filter: Filter, expected: &'static str| async move {
        assert_eq!(references(f, filter.clone()).await, [expected], "{filter:?}");
    };
    let all = Filter::default;
    only(Filter { status: vec![Status::Creating], ..all() }, "SO-1").await;
    only(Filter { status: vec![Status::Expired, Status::Failed], ..all() }, "SO-2").await;
    only(Filter { reference: Some("SO-2".into()), ..all() }, "SO-2").await;
    only(Filter { store: Some("north".into()), ..all() }, "SO-2").await;
    only(Filter { agent: Some("jo".into()), ..all() }, "SO-1").await;
    only(Filter { channel: Some(Channel::Sms), ..all() }, "SO-2").await;
    only(Filter { use_case: Some(UseCase::InStore), ..all() }, "SO-2").await;
    only(Filter { created_after: Some(two.created_at), ..all() }, "SO-2").await;
    only(Filter { created_before: Some(two.created_at), ..all() }, "SO-1").await;
    only(Filter { updated_after: Some(at), ..all() }, "SO-2").await;
    only(Filter { actor: Some(one.created_by), ..all() }, "SO-1").await;
    only(Filter { q: Query::new("bloggs"), store: Some("north".into()), ..all() }, "SO-2").await;
    assert!(references(f, Filter { channel: Some(Channel::Email), ..all() }).await.is_empty());
}

async fn a_question_finds_what_people_search_by(f: &Fixture) {
    let link = f.born("Bestellung 12/A").await;
    let mut other = f.new_link("SO-2");
    other.sale.billing = None;
    let other = f.store_link(other).await;
    for question in [
        "Bestellung 12/A", "jo@example.com", "JO@Example.com", "+447700900123", "+44 (0)7700 900-123",
        "07700 900123", "0044 7700 900123", "0123", "bloggs", "BLOGGS", "möller", "Jo Bloggs", "bloggs jo",
        "Jo Bloggs-Möller",
    ] {
        assert_eq!(found(f, question).await, ["Bestellung 12/A"], "{question}");
    }
    for question in ["blogg", "Bestellung", "Jo Smith", "jo@example.org", "9999", "12/a", "+44", "…"] {
        assert!(found(f, question).await.is_empty(), "{question}");
    }
    assert_eq!(found(f, &link.id.to_string()).await, ["Bestellung 12/A"]);

    let at = f.later(1);
    f.change(other.id, move |link| {
        let mut payment = Payment::authorized();
        payment.buyer = Some(crate::link::Buyer { billing: Some(address()), shipping: None, payment_method: None });
        link.stage = Stage::Completed { pair: pair(), at, payment: Box::new(payment) };
        link.klarna.reference = Some("KREF9".into());
    }).await;
    for question in ["Order-1", "order-1", "session-1", "kref9"] {
        assert_eq!(found(f, question).await, ["SO-2"], "{question}");
    }
    assert_eq!(found(f, "bloggs").await.len(), 2, "the buyer as Klarna's page left him");
    let delivery = f.delivery(&link, sms("+447700900456"));
    f.write(move |tx| tx.insert_delivery(&delivery)).await;
    assert_eq!(found(f, "0456").await, ["Bestellung 12/A"]);
    assert_eq!(Query::new("  "), None);
}

}
