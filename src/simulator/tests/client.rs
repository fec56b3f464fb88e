//! Paylink's own client against the simulator: the two were written apart from each other, and here
//! they must understand each other, operation by operation.

use serde_json::json;
use uuid::Uuid;

use super::{Sim, sim};
use crate::klarna::{Klarna, KlarnaError, KlarnaSettings, Movement};
use crate::link::{Line, LineKind, PaymentStatus, Tree};
use crate::random::Random;

fn client(sim: &Sim) -> Klarna {
    let base = sim.running.url().parse().unwrap();
    let settings = KlarnaSettings::new(base, "sim".into(), "sim".to_owned().into());
    Klarna::new(settings, sim.clock.clone(), Random::seeded(3)).unwrap()
}

fn mugs(quantity: i64) -> Line {
    Line {
        kind: LineKind::Physical,
        reference: Some("MUG-07".into()),
        name: "Stoneware mug".into(),
        quantity,
        quantity_unit: Some("pcs".into()),
        unit_price: 2000,
        tax_rate: 2000,
        total_discount_amount: 0,
        total_amount: quantity * 2000,
        total_tax_amount: quantity * 333,
        extras: Tree::Map(vec![(
            "merchant_data".to_owned(),
            Tree::Text("row 1".into()),
        )]),
    }
}

fn movement<'a>(amount: i64, reference: &'a str, lines: &'a [Line]) -> Movement<'a> {
    Movement {
        amount,
        reference,
        description: Some("Shipped"),
        lines,
        shipments: &[],
    }
}

fn key(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A paid order's id.
async fn paid(sim: &Sim) -> String {
    let path = sim.paid().await;
    path.rsplit_once('/').unwrap().1.to_owned()
}

fn code(end: Result<impl Sized, KlarnaError>) -> String {
    match end {
        Err(KlarnaError::Forbidden(refusal)) if refusal.status == 403 => {
            refusal.code.unwrap_or_default()
        }
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it was done"),
    }
}

#[tokio::test]
async fn money_moves_and_is_read_back() {
    let sim = sim().await;
    let (klarna, order) = (client(&sim), paid(&sim).await);
    let lines = [mugs(2)];
    klarna.acknowledge(&order, key(1)).await.unwrap();
    let asked = movement(4000, "cap_1", &lines);
    let captured = klarna.capture(&order, &asked, key(2)).await.unwrap();
    // under its key it is the same capture; without, it would be a second one
    assert_eq!(
        klarna.capture(&order, &asked, key(2)).await.unwrap(),
        captured
    );
    let back = movement(2000, "rfd_1", &[]);
    let refunded = klarna.refund(&order, &back, key(3)).await.unwrap();
    let read = klarna.read_payment(&order).await.unwrap();
    assert_eq!(read.captures.len(), 1);
    assert_eq!(Some(&read.captures[0].id), captured.as_ref());
    assert_eq!(read.captures[0].reference.as_deref(), Some("cap_1"));
    assert_eq!(read.captures[0].amount, 4000);
    assert_eq!(Some(&read.refunds[0].id), refunded.as_ref());
    assert_eq!(read.refunds[0].reference.as_deref(), Some("rfd_1"));
    assert_eq!(read.payment.status, PaymentStatus::PartCaptured);
    assert_eq!(read.payment.captured_amount, Some(4000));
    assert_eq!(read.payment.refunded_amount, Some(2000));
    assert_eq!(read.payment.remaining_amount, Some(799));

    let over = movement(800, "cap_2", &[]);
    let end = klarna.capture(&order, &over, key(4)).await;
    assert_eq!(code(end), "CAPTURE_NOT_ALLOWED");
    let over = movement(2001, "rfd_2", &[]);
    assert_eq!(
        code(klarna.refund(&order, &over, key(5)).await),
        "REFUND_NOT_ALLOWED"
    );
    assert_eq!(
        code(klarna.cancel(&order, key(6)).await),
        "CANCEL_NOT_ALLOWED"
    );
    klarna.release(&order, key(7)).await.unwrap();
    let read = klarna.read_payment(&order).await.unwrap();
    assert_eq!(read.payment.status, PaymentStatus::Captured);
    assert_eq!(read.payment.remaining_amount, Some(0));
    assert_eq!(read.amount, Some(4799), "the sale's, whatever was released");
    assert_eq!(code(klarna.release(&order, key(8)).await), "NOT_ALLOWED");
    sim.running.stop().await;
}

#[tokio::test]
async fn an_order_is_changed_extended_and_cancelled() {
    let sim = sim().await;
    let (klarna, order) = (client(&sim), paid(&sim).await);
    let first = klarna.read_payment(&order).await.unwrap();
    sim.advance(jiff::SignedDuration::from_hours(24)).await;
    klarna.extend(&order, key(1)).await.unwrap();
    let lines = [mugs(3)];
    klarna
        .update_authorization(&order, 6000, &lines, Some("One more"), key(2))
        .await
        .unwrap();
    klarna
        .set_references(&order, Some("INV-2"), None, key(3))
        .await
        .unwrap();
    let read = klarna.read_payment(&order).await.unwrap();
    assert!(read.payment.expires_at > first.payment.expires_at);
    assert_eq!(read.payment.remaining_amount, Some(6000));
    assert_eq!(read.merchant_reference2.as_deref(), Some("lnk_81"));
    let body = sim
        .get(&format!("/ordermanagement/v1/orders/{order}"))
        .await
        .json();
    assert_eq!(body["merchant_reference1"], "INV-2");
    assert_eq!(body["order_lines"][0]["merchant_data"], "row 1");
    klarna.cancel(&order, key(4)).await.unwrap();
    klarna.cancel(&order, key(4)).await.unwrap();
    let read = klarna.read_payment(&order).await.unwrap();
    assert_eq!(read.payment.status, PaymentStatus::Cancelled);
    assert_eq!(code(klarna.extend(&order, key(5)).await), "NOT_ALLOWED");
    let end = klarna.set_references(&order, Some("X"), None, key(6)).await;
    assert_eq!(code(end), "NOT_ALLOWED");
    let nobody = Uuid::nil().to_string();
    let end = klarna.cancel(&nobody, key(7)).await;
    assert!(matches!(end, Err(KlarnaError::NotFound(_))), "{end:?}");
    sim.running.stop().await;
}

/// Done and unanswered, garbled, or in conflict: the client says `Unknown`, and the repeat under the
/// same key tells.
#[tokio::test]
async fn an_unknown_end_is_told_by_the_repeat() {
    let sim = sim().await;
    let klarna = client(&sim);
    for (fault, done) in [
        ("drop_after", true),
        ("garbage", true),
        ("drop_before", false),
        ("status:409", false),
        ("status:503", false),
    ] {
        let order = paid(&sim).await;
        for op in ["capture", "refund"] {
            let fault = json!({ "op": op, "fault": fault });
            assert_eq!(sim.post("/_sim/faults", &fault).await.status, 200);
        }
        let asked = movement(4799, "cap_1", &[]);
        let end = klarna.capture(&order, &asked, key(1)).await;
        assert!(
            matches!(end, Err(KlarnaError::Unknown { .. })),
            "{fault}: {end:?}"
        );
        let read = klarna.read_payment(&order).await.unwrap();
        assert_eq!(read.captures.len(), usize::from(done), "{fault}");
        let id = klarna.capture(&order, &asked, key(1)).await.unwrap();
        let end = klarna.refund(&order, &asked, key(1)).await;
        assert!(
            matches!(end, Err(KlarnaError::Unknown { .. })),
            "{fault}: {end:?}"
        );
        klarna.refund(&order, &asked, key(1)).await.unwrap();
        let read = klarna.read_payment(&order).await.unwrap();
        assert_eq!(read.captures.len(), 1, "{fault}");
        assert_eq!(Some(&read.captures[0].id), id.as_ref(), "{fault}");
        assert_eq!(read.payment.refunded_amount, Some(4799), "{fault}");
    }
    sim.running.stop().await;
}
