//! What happens to money by itself as time passes.

use paylink::link::OperationKind;
use serde_json::{Value, json};

use super::shop::Shop;

const DAY: i64 = 86_400;

async fn told(shop: &Shop, link: &Value, kind: &str) -> usize {
    let events = shop.events(link).await;
    events.iter().filter(|event| event["type"] == kind).count()
}

#[tokio::test]
async fn the_seller_is_reminded_seven_and_two_days_before_the_end() {
    let shop = Shop::opens().await;
    let link = shop.sells(50_000).await;
    shop.does(&link, "capture", &json!({"amount": 1_000})).await;
    for (days, reminders) in [(20, 0), (1, 1), (4, 1), (1, 2), (1, 2)] {
        shop.passes(days * DAY);
        shop.works().await;
        assert_eq!(told(&shop, &link, "payment.expiring").await, reminders);
    }
    // its end came: Klarna is asked what is left
    shop.passes(2 * DAY);
    shop.works().await;
    let payment = shop.link(&link).await["payment"].clone();
    assert_eq!(payment["remaining_amount"], 0, "{payment}");
    assert_eq!(told(&shop, &link, "payment.expiring").await, 2);
    shop.closes().await;
}

#[tokio::test]
async fn who_has_captured_everything_or_more_time_is_not_reminded() {
    let shop = Shop::opens().await;
    let (captured, extended) = (shop.sells(50_000).await, shop.sells(50_000).await);
    shop.does(&captured, "capture", &json!({})).await;
    shop.passes(20 * DAY);
    shop.does(&extended, "extend", &json!({})).await;
    shop.works().await;
    for _ in 0..8 {
        shop.passes(DAY);
        shop.works().await;
    }
    for link in [&captured, &extended] {
        assert_eq!(told(&shop, link, "payment.expiring").await, 0);
    }
    // the new end has reminders of its own
    shop.passes(14 * DAY);
    shop.works().await;
    assert_eq!(told(&shop, &extended, "payment.expiring").await, 1);
    shop.closes().await;
}

#[tokio::test]
async fn after_twenty_hours_klarnas_books_decide() {
    let shop = Shop::opens().await;
    let link = shop.sells(50_000).await;
    for (amount, fault) in [(100, "drop_after"), (200, "drop_before")] {
        shop.klarna_breaks("capture", fault, 0).await;
        shop.does(&link, "capture", &json!({ "amount": amount }))
            .await;
        shop.passes(19 * 3_600);
        shop.works().await;
        shop.klarna_mends().await;
        // Klarna is well again only when the key is too old to be used
        shop.passes(2 * 3_600);
        shop.works().await;
    }
    let captures = shop.listed(&link, "captures").await;
    let known: Vec<_> = captures
        .iter()
        .map(|it| (&it["amount"], &it["status"], &it["failure"]["code"]))
        .collect();
    assert_eq!(
        known,
        [
            (&json!(100), &json!("done"), &Value::Null),
            (&json!(200), &json!("failed"), &json!("gave_up")),
        ]
    );
    let booked = shop.klarnas_order(&link).await["captures"].clone();
    assert_eq!(booked.as_array().unwrap().len(), 1);
    assert_eq!(shop.link(&link).await["payment"]["captured_amount"], 100);
    // what failed is not held back from others
    shop.does(&link, "capture", &json!({"amount": 49_900}))
        .await;
    assert_eq!(shop.link(&link).await["payment"]["status"], "captured");
    shop.closes().await;
}

#[tokio::test]
async fn what_should_be_captured_at_once_is_captured_by_us_where_klarna_does_not() {
    let shop = Shop::opens().await;
    // while Klarna checks, it captures nothing by itself
    let link = shop.sells_in_store(50_000).await;
    let payment = shop.link(&link).await["payment"].clone();
    assert_eq!(payment["captured_amount"], 0, "{payment}");
    shop.passes(3_600);
    shop.works().await;
    assert_eq!(shop.listed(&link, "captures").await, Vec::<Value>::new());
    shop.klarna_decides(&link, "ACCEPTED").await;
    shop.passes(601);
    shop.works().await;
    let captures = shop.listed(&link, "captures").await;
    assert_eq!(captures.len(), 1, "{captures:?}");
    assert_eq!(
        (
            &captures[0]["created_by"],
            &captures[0]["amount"],
            &captures[0]["status"]
        ),
        (&json!("paylink"), &json!(50_000), &json!("done"))
    );
    shop.passes(3_600);
    shop.works().await;
    assert_eq!(shop.listed(&link, "captures").await.len(), 1);
    shop.closes().await;
}

#[tokio::test]
async fn an_extension_whose_answer_was_lost_is_found_by_its_new_end() {
    let shop = Shop::opens().await;
    let link = shop.sells(50_000).await;
    shop.passes(DAY);
    shop.klarna_breaks("extend", "drop_after", 1).await;
    // a repeat would be refused, and must not be what decides
    shop.klarna_breaks("extend", "status:403", 0).await;
    shop.does(&link, "extend", &json!({})).await;
    shop.refreshes(&link).await;
    shop.works().await;
    shop.passes(10);
    shop.works().await;
    let outcomes = shop.outcomes(&link, OperationKind::Extend).await;
    assert_eq!(outcomes, ["done"]);
    assert_eq!(told(&shop, &link, "payment.extended").await, 1);
    shop.closes().await;
}
