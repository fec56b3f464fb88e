//! How often Klarna is asked about open links, where callbacks come and where reads come late.

use super::shop::Shop;

/// So many changes are judged by.
const JUDGED: usize = 32;

#[tokio::test]
async fn reads_are_spared_where_they_come_late_and_callbacks_are_known_to_arrive() {
    let shop = Shop::opens().await;
    let early = shop.offers("telesales", 1_000).await;
    shop.passes(40);
    shop.works().await;
    shop.passes(15);
    shop.works().await;
    assert_eq!(
        shop.reads_of(&early).await,
        2,
        "late, and nothing is known of callbacks: the quick step"
    );
    for _ in 0..JUDGED {
        let link = shop.offers("telesales", 1_000).await;
        shop.passes(5);
        shop.buyer_pays_and_klarna_calls(&link).await;
        shop.works().await;
        assert_eq!(shop.link(&link).await["status"], "completed");
    }
    let in_time = shop.offers("telesales", 1_000).await;
    for _ in 0..2 {
        shop.passes(15);
        shop.works().await;
    }
    assert_eq!(
        shop.reads_of(&in_time).await,
        2,
        "there is room for every read: the quick step"
    );
    let late = shop.offers("telesales", 1_000).await;
    shop.passes(40);
    for (seconds, reads) in [(0, 1), (15, 1), (584, 1), (1, 2)] {
        shop.passes(seconds);
        shop.works().await;
        assert_eq!(shop.reads_of(&late).await, reads, "after {seconds} s more");
    }
    // and a callback is as quick as ever
    shop.passes(5);
    shop.buyer_pays_and_klarna_calls(&late).await;
    shop.works().await;
    assert_eq!(shop.link(&late).await["status"], "completed");
    shop.closes().await;
}
