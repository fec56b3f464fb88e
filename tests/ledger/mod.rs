//! The ledger of money against Klarna's, for any sequence of operations and faults: no operation
//! is done twice, none that was promised is forgotten, and our sums are Klarna's.

mod polling;
mod shop;
mod time;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use shop::Shop;

/// The sale of the shop, minor units.
const SALE: i64 = 50_000;

/// What happens to a paid link.
#[derive(Clone, Debug)]
enum Step {
    /// A call of the API: `capture`, `refunds` … with its amount, and what goes wrong with the
    /// calls to Klarna that it causes.
    Does(&'static str, Option<i64>, Option<(&'static str, u32)>),
    /// Somebody captures in Klarna's portal.
    Elsewhere(i64),
    /// The next reads go wrong.
    Unread(&'static str, u32),
    /// Klarna is well again.
    Mended,
    Pass(i64),
    /// The background work runs.
    Work,
}

const FAULTS: &[&str] = &[
    "drop_after",
    "drop_after",
    "drop_before",
    "garbage",
    "status:500",
    "status:503",
    "status:429",
    "status:401",
];
/// Around the waits of a retry, a breaker, and the age of Klarna's memory of a key.
const WAITS: &[i64] = &[1, 2, 6, 20, 60, 301, 3_600, 72_001, 90_000];

fn step() -> impl Strategy<Value = Step> {
    let fault = || (proptest::sample::select(FAULTS), 1u32..4);
    let ill = move || proptest::option::weighted(0.6, fault());
    // mostly parts, so that a second one would be granted too
    let part = || proptest::option::weighted(0.8, prop_oneof![3 => 1..=SALE / 5, 1 => 1..=SALE]);
    let moves = (
        proptest::sample::select(&["capture", "refunds"][..]),
        part(),
        ill(),
    );
    let ends = (
        proptest::sample::select(&["cancel", "release", "extend"][..]),
        ill(),
    );
    prop_oneof![
        12 => moves.prop_map(|(call, amount, ill)| Step::Does(call, amount, ill)),
        2 => ends.prop_map(|(call, ill)| Step::Does(call, None, ill)),
        1 => (1..=SALE / 5).prop_map(Step::Elsewhere),
        2 => fault().prop_map(|(fault, times)| Step::Unread(fault, times)),
        1 => Just(Step::Mended),
        4 => proptest::sample::select(WAITS).prop_map(Step::Pass),
        5 => Just(Step::Work),
    ]
}

async fn take(shop: &Shop, link: &Value, step: Step) {
    match step {
        Step::Does(call, amount, ill) => {
            if let Some((fault, times)) = ill {
                let op = if call == "refunds" { "refund" } else { call };
                shop.klarna_breaks(op, fault, times).await;
            }
            let body = amount.map_or(json!({}), |amount| json!({ "amount": amount }));
            shop.does(link, call, &body).await;
        }
        Step::Elsewhere(amount) => shop.captures_elsewhere(link, amount).await,
        Step::Unread(fault, times) => shop.klarna_breaks("om_get", fault, times).await,
        Step::Mended => shop.klarna_mends().await,
        Step::Pass(seconds) => shop.passes(seconds),
        Step::Work => shop.works().await,
    }
}

/// Time passes until nothing is pending; a read brings what was booked elsewhere.
async fn comes_to_rest(shop: &Shop, link: &Value) {
    shop.klarna_mends().await;
    for _ in 0..40 {
        shop.passes(700);
        shop.works().await;
        if shop
            .operations(link)
            .await
            .iter()
            .all(|it| it["status"] != "pending")
        {
            break;
        }
    }
    shop.refreshes(link).await;
    shop.works().await;
}

fn total(entries: &[Value], amount: &str) -> i64 {
    entries.iter().map(|it| it[amount].as_i64().unwrap()).sum()
}

async fn ledgers_agree(shop: &Shop, link: &Value) -> Result<(), TestCaseError> {
    let om = shop.klarnas_order(link).await;
    let payment = shop.link(link).await["payment"].clone();
    for (what, ours, booked, id, amount, sum) in [
        (
            "captures",
            shop.listed(link, "captures").await,
            &om["captures"],
            "capture_id",
            "captured_amount",
            "captured_amount",
        ),
        (
            "refunds",
            shop.listed(link, "refunds").await,
            &om["refunds"],
            "refund_id",
            "refunded_amount",
            "refunded_amount",
        ),
    ] {
        let booked = booked.as_array().expect("Klarna lists it");
        let state = || format!("{what}: ours {ours:#?}, Klarna's {booked:#?}, payment {payment}");
        prop_assert!(
            ours.iter().all(|it| it["status"] != "pending"),
            "{}",
            state()
        );
        let done: Vec<_> = ours
            .iter()
            .filter(|it| it["status"] == "done")
            .cloned()
            .collect();
        prop_assert_eq!(total(&done, "amount"), total(booked, amount), "{}", state());
        prop_assert_eq!(&payment[sum], &om[sum], "{}", state());
        for one in &ours {
            let name = one["id"].as_str().unwrap();
            let marked = |it: &&Value| it["reference"].as_str().is_some_and(|it| it.contains(name));
            let times = booked.iter().filter(marked).count();
            let expected = usize::from(one["status"] == "done" && one["created_by"] != "klarna");
            prop_assert_eq!(times, expected, "{} {}", name, state());
        }
        for one in booked {
            let same = |it: &&Value| it["klarna_id"] == one[id];
            prop_assert_eq!(done.iter().filter(same).count(), 1, "{} {}", one, state());
        }
    }
    prop_assert_eq!(
        &payment["remaining_amount"],
        &om["remaining_authorized_amount"]
    );
    Ok(())
}

#[test]
fn our_sums_are_klarnas_whatever_happens() {
    let cases = std::env::var("PAYLINK_TEST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(40);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let shop = runtime.block_on(Shop::opens());
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&prop::collection::vec(step(), 1..24), |steps| {
        runtime.block_on(async {
            let link = shop.sells(SALE).await;
            for step in steps {
                take(&shop, &link, step).await;
            }
            comes_to_rest(&shop, &link).await;
            ledgers_agree(&shop, &link).await
        })
    });
    runtime.block_on(shop.closes());
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
