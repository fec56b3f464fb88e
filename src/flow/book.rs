//! *Book*: what Order Management says of the money becomes what we know of it, and each capture
//! and refund that it lists becomes an entry of our ledger, whoever made it. So an operation whose
//! answer was lost is found again, and our sums are Klarna's.

use jiff::Timestamp;

use super::observe::{self, Alarms};
use super::pen::Pen;
use super::{House, Refusal, remind};
use crate::link::{
    Actor, Booking, EventKind, Link, LinkId, Operation, OperationId, OperationKind, Outcome,
    Payment, PaymentNews, PaymentStatus, Stage,
};
use crate::store::Tx;

/// What a read was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Booked {
    /// It is written down, or said nothing new.
    Known,
    /// It was made before something that we know to be done: read again.
    Stale,
}

/// How much of a link's ledger was done when a read of Order Management began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun(usize);

impl Begun {
    /// Of what is known just before the read.
    pub(super) fn with(known: &[Operation]) -> Self {
        Self(known.iter().filter(|it| it.is_done()).count())
    }
}

/// Notes that a read of Order Management begins now.
pub(super) async fn begin(house: &House, id: LinkId) -> Result<Begun, Refusal> {
    let known = house.store.read(move |tx| tx.operations(id)).await?;
    Ok(Begun::with(&known))
}

/// Writes down what a read of Order Management said that began at `begun`.
pub(super) async fn write_down(
    house: &House,
    id: LinkId,
    begun: Begun,
    news: PaymentNews,
) -> Result<Booked, Refusal> {
    let pen = house.pen();
    let (booked, alarms) = house
        .store
        .write(move |tx| take(tx, id, begun, &news, pen))
        .await?;
    house.sound(alarms, id).await;
    Ok(booked)
}

fn take(
    tx: &mut Tx,
    id: LinkId,
    begun: Begun,
    news: &PaymentNews,
    mut pen: Pen,
) -> Result<(Booked, Alarms), Refusal> {
    // the cheap look first: most reads say nothing new and need no lock
    let before = tx.link(id)?.ok_or(Refusal::NotFound)?;
    match Change::of(tx, &before, begun, news, pen.at)? {
        Change::None => return Ok((Booked::Known, Alarms::new())),
        Change::Stale => return Ok((Booked::Stale, Alarms::new())),
        Change::Some { .. } => {}
    }
    // judged again under the link's lock: another read may have been written down meanwhile
    let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
    let (ours, found, told) = match Change::of(tx, &link, begun, news, pen.at)? {
        Change::None => return Ok((Booked::Known, Alarms::new())),
        Change::Stale => return Ok((Booked::Stale, Alarms::new())),
        Change::Some { ours, found, told } => (ours, found, told),
    };
    link.updated_at = pen.at;
    link.stage = link.stage.settled(news.payment.clone())?;
    link.klarna.verified_at = Some(pen.at);
    if news.klarna_reference.is_some() {
        link.klarna.reference.clone_from(&news.klarna_reference);
    }
    let mut alarms = enter(tx, &mut link, found, &mut pen)?;
    for kind in told {
        pen.tell(tx, &mut link, kind, None)?;
    }
    if !ours {
        alarms.extend(observe::mismatch(tx, &mut link, &mut pen)?);
    }
    tx.save(&link)?;
    remind::schedule(tx, &link, pen.at)?;
    Ok((Booked::Known, alarms))
}

/// What a read changes of a link.
enum Change {
    None,
    /// The read is older than what is known.
    Stale,
    Some {
        /// Order, amount, currency and reference are what was sold.
        ours: bool,
        /// What the ledger lacks.
        found: Vec<Operation>,
        /// Events of the payment itself.
        told: Vec<EventKind>,
    },
}

impl Change {
    fn of(
        tx: &mut Tx,
        link: &Link,
        begun: Begun,
        news: &PaymentNews,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        let Stage::Completed { payment, .. } = &link.stage else {
            return Ok(Change::None);
        };
        let ours = link.owns(
            &news.order,
            news.amount,
            news.currency.as_deref(),
            news.merchant_reference2.as_deref(),
        );
        let known = tx.operations(link.id)?;
        // whatever was done since the read began, it may not show
        if Begun::with(&known) != begun || is_stale(&known, news) {
            return Ok(Change::Stale);
        }
        let found = found(&known, payment, news, link.id, now);
        if **payment == news.payment
            && link.klarna.reference == news.klarna_reference
            && (ours || link.mismatch)
            && found.is_empty()
        {
            return Ok(Change::None);
        }
        let (was, is) = (payment, &news.payment);
        let fraud = was.fraud_status.is_some() && was.fraud_status != is.fraud_status;
        let by_us = found.iter().any(|it| it.kind() == OperationKind::Release);
        let told = [
            (fraud, EventKind::PaymentFraudUpdated),
            (is_cancelled(was, is), EventKind::PaymentCancelled),
            (is_released(was, is) && !by_us, EventKind::PaymentReleased),
            (is_later(was, is), EventKind::PaymentExtended),
        ];
        Ok(Change::Some {
            ours,
            found,
            told: told
                .into_iter()
                .filter_map(|(told, kind)| told.then_some(kind))
                .collect(),
        })
    }
}

/// Whether a read was made before something that is done by now: captures and refunds are never
/// undone, so what lacks a known one is old.
fn is_stale(known: &[Operation], news: &PaymentNews) -> bool {
    let lacks = |kind, listed: &[Booking], total: Option<i64>| {
        let done = known
            .iter()
            .filter(move |it| it.is_done() && it.kind() == kind);
        let Some(total) = total else { return false };
        let sum = listed
            .iter()
            .map(|it| it.amount)
            .fold(0, i64::saturating_add);
        if sum == total {
            // the list is whole, so it can be asked entry by entry
            let mut named = done.filter_map(|it| it.outcome.klarna());
            return named.any(|id| listed.iter().all(|it| it.id != *id));
        }
        done.filter_map(|it| it.amount).fold(0, i64::saturating_add) > total
    };
    lacks(
        OperationKind::Capture,
        &news.captures,
        news.payment.captured_amount,
    ) || lacks(
        OperationKind::Refund,
        &news.refunds,
        news.payment.refunded_amount,
    )
}

/// Whether the whole authorisation was given up.
fn is_cancelled(was: &Payment, is: &Payment) -> bool {
    is.status == PaymentStatus::Cancelled && was.status != PaymentStatus::Cancelled
}

/// Whether the rest of an authorisation was given up: it is gone, and was not captured.
fn is_released(was: &Payment, is: &Payment) -> bool {
    let stands = matches!(
        is.status,
        PaymentStatus::PartCaptured | PaymentStatus::Captured
    );
    let before = was.captured_amount.zip(was.remaining_amount);
    let gone = is.remaining_amount == Some(0);
    let taken = is.captured_amount;
    stands
        && gone
        && before
            .zip(taken)
            .is_some_and(|((captured, left), now)| left > now.saturating_sub(captured))
}

/// Whether a payment's end was moved back.
fn is_later(was: &Payment, is: &Payment) -> bool {
    let ends = was.expires_at.zip(is.expires_at);
    ends.is_some_and(|(was, is)| is > was)
}

/// Operations that a read shows to be done and that the ledger does not have as done.
fn found(
    known: &[Operation],
    payment: &Payment,
    news: &PaymentNews,
    link: LinkId,
    now: Timestamp,
) -> Vec<Operation> {
    let mut found: Vec<Operation> = Vec::new();
    for (kind, bookings) in [
        (OperationKind::Capture, &news.captures),
        (OperationKind::Refund, &news.refunds),
    ] {
        for booking in bookings {
            let of_kind = || known.iter().filter(|it| it.kind() == kind);
            if of_kind().any(|it| it.outcome.klarna() == Some(&booking.id)) {
                continue;
            }
            // an operation is one booking: a second one under its name is somebody else's
            let ours = of_kind().find(|it| {
                it.amount == Some(booking.amount)
                    && it.outcome.klarna().is_none()
                    && found.iter().all(|other| other.id != it.id)
                    && booking
                        .reference
                        .as_ref()
                        .is_some_and(|word| it.is_named_by(word))
            });
            let outcome = Outcome::Done {
                klarna: Some(booking.id.clone()),
                at: booking.at.unwrap_or(now),
            };
            found.push(match ours {
                Some(ours) => Operation {
                    outcome,
                    ..ours.clone()
                },
                None => Operation {
                    id: OperationId::derived(kind, link, &booking.id),
                    link,
                    amount: Some(booking.amount),
                    reference: booking.reference.clone(),
                    lines: Vec::new(),
                    shipments: Vec::new(),
                    outcome,
                    asked_at: None,
                    created_by: Actor::Klarna,
                    created_at: booking.at.unwrap_or(now),
                },
            });
        }
    }
    let waiting = known.iter().filter(|it| it.is_pending());
    let done = waiting.filter(|it| match it.kind() {
        OperationKind::Capture | OperationKind::Refund => false,
        OperationKind::Cancel => is_cancelled(payment, &news.payment),
        OperationKind::Release => {
            news.payment.remaining_amount == Some(0) && payment.remaining_amount != Some(0)
        }
        OperationKind::Extend => is_later(payment, &news.payment),
    });
    found.extend(done.map(|it| Operation {
        outcome: Outcome::Done {
            klarna: None,
            at: now,
        },
        ..it.clone()
    }));
    found
}

/// Writes what was found into the ledger and tells of it.
fn enter(
    tx: &mut Tx,
    link: &mut Link,
    found: Vec<Operation>,
    pen: &mut Pen,
) -> Result<Alarms, Refusal> {
    let mut alarms = Alarms::new();
    for operation in found {
        let before = tx.operation(operation.id)?;
        match &before {
            Some(_) => tx.save_operation(&operation)?,
            None => tx.insert_operation(&operation)?,
        }
        if let Some(name) = operation.name_of_another() {
            alarms.push(namesake(tx, link.id, &operation, name)?);
        }
        match before.map(|it| it.outcome) {
            // only its name at Klarna is new
            Some(Outcome::Done { .. }) => continue,
            Some(Outcome::Failed { .. }) => {
                alarms.push((
                    "operation_contradicted",
                    format!("{} of {} failed, and Klarna did it", operation.id, link.id),
                ));
            }
            Some(Outcome::Pending) | None => {}
        }
        let kind = match operation.kind() {
            OperationKind::Capture => EventKind::PaymentCaptured,
            OperationKind::Refund => EventKind::PaymentRefunded,
            OperationKind::Release => EventKind::PaymentReleased,
            // told of by the payment's own status and end
            OperationKind::Cancel | OperationKind::Extend => continue,
        };
        pen.tell(tx, link, kind, None)?;
    }
    Ok(alarms)
}

/// An entry from elsewhere bears a name that only we give.
fn namesake(
    tx: &mut Tx,
    link: LinkId,
    entry: &Operation,
    name: OperationId,
) -> Result<(&'static str, String), Refusal> {
    let kind = entry.kind().as_str();
    Ok(if tx.operation(name)?.is_some() {
        let words = format!(
            "Klarna shows a second {kind} under the name {name} of {link}: money may have moved twice"
        );
        ("operation_twice", words)
    } else {
        let words = format!(
            "Klarna shows a {kind} of {link} under the name {name}, which this ledger does not know: \
             it was made after the copy that was restored; who asked for it must not ask again"
        );
        ("operation_unknown", words)
    })
}

/// Entry by entry where ledger and read differ: what it is, our word, Klarna's word.
pub(super) fn entries(
    known: &[Operation],
    payment: &Payment,
    news: &PaymentNews,
    link: LinkId,
    now: Timestamp,
) -> Vec<(String, &'static str, &'static str)> {
    let name = |it: &Operation| match (it.created_by, it.outcome.klarna()) {
        (Actor::Klarna, Some(klarna)) => format!("{} {klarna}", it.kind().as_str()),
        _ => it.id.to_string(),
    };
    let mut entries = Vec::new();
    for found in found(known, payment, news, link, now) {
        let ours = known.iter().find(|it| it.id == found.id);
        let ours = ours.map_or("unknown", |it| it.outcome.as_str());
        entries.push((name(&found), ours, "done"));
    }
    let lists = [
        (OperationKind::Capture, &news.captures),
        (OperationKind::Refund, &news.refunds),
    ];
    for (kind, listed) in lists {
        let done = known.iter().filter(|it| it.kind() == kind && it.is_done());
        for ours in done {
            let klarna = ours.outcome.klarna();
            if klarna.is_some_and(|id| listed.iter().all(|it| it.id != *id)) {
                entries.push((name(ours), "done", "unknown"));
            }
        }
    }
    entries
}
