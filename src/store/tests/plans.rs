//! Nothing scans: every statement that the verbs say is caught and its plan is read.

use std::sync::Mutex;

use diesel::connection::{Connection, InstrumentationEvent};
use diesel::prelude::*;
use diesel::sql_types::Text;

use super::*;
use crate::link::{Channel, OperationId, OperationKind, Status, UseCase};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Catches what is said to the database. `DebugQuery` prints the SQL, then its binds.
fn listen(tx: &mut Tx, said: &Arc<Mutex<Vec<String>>>) -> Res<()> {
    let said = Arc::clone(said);
    tx.sql(move |conn| {
        conn.set_instrumentation(move |event: InstrumentationEvent<'_>| {
            if let InstrumentationEvent::StartQuery { query, .. } = event {
                let query = query.to_string();
                let sql = query.split(" -- binds").next().unwrap_or_default();
                said.lock().unwrap().push(sql.to_owned());
            }
        });
        Ok(())
    })
}

fn filters() -> Vec<Filter> {
    let all = Filter::default;
    vec![
        all(),
        Filter {
            store: Some("default".into()),
            ..all()
        },
        Filter {
            store: Some("default".into()),
            channel: Some(Channel::Sms),
            use_case: Some(UseCase::InStore),
            ..all()
        },
        Filter {
            status: vec![Status::Failed],
            ..all()
        },
        Filter {
            reference: Some("SO-1".into()),
            ..all()
        },
        Filter {
            agent: Some("jo".into()),
            ..all()
        },
        Filter {
            actor: Some(Actor::Paylink),
            ..all()
        },
        Filter {
            created_after: Some(start()),
            created_before: Some(start()),
            ..all()
        },
        Filter {
            q: Query::new("bloggs"),
            ..all()
        },
        Filter {
            q: Query::new("jo bloggs"),
            ..all()
        },
    ]
}

fn say_everything(tx: &mut Tx, link: &Link, delivery: &Delivery) -> Res<()> {
    let (id, now) = (link.id, start());
    let cursor = Cursor::parse("AAAAAAAAAAFsbmtfMDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY");
    assert!(cursor.is_some());
    for filter in filters() {
        tx.list(&filter, None, 20)?;
        tx.list(&filter, cursor.as_ref(), 20)?;
    }
    tx.link(id)?;
    tx.live_links("default", "SO-1")?;
    tx.paid_link("default", "SO-1", now)?;
    tx.nth_link_since(Actor::Paylink, Some("jo"), now, 60)?;
    tx.nth_link_since(Actor::Paylink, None, now, 60)?;
    tx.count_deliveries_to(&delivery.to, now)?;
    tx.deliveries(id)?;
    tx.delivery(delivery.id)?;
    tx.open_attempts(delivery.id)?;
    tx.doubtful_attempts(delivery.id)?;
    tx.recovery()?;
    tx.unsent_deliveries(now, Some(delivery.id), 20)?;
    for status in [Status::Creating, Status::Completed] {
        tx.links_of_status(status, now, None, 20)?;
        tx.links_of_status(status, now, Some((now, id)), 20)?;
    }
    tx.unpaid_links(now, now, None, 20)?;
    tx.unpaid_links(now, now, Some((now, id)), 20)?;
    tx.parked_jobs()?;
    tx.count_parked()?;
    tx.drifts()?;
    tx.token(&[1; 32])?;
    tx.idempotency("scope", "key")?;
    tx.operations(id)?;
    tx.operation(OperationId::derived(OperationKind::Capture, id, "x"))?;
    tx.completed_links(now, now, None, 20)?;
    tx.completed_links(now, now, Some((now, id)), 20)?;
    tx.events_of(id)?;
    tx.events_after(0, &EventFilter::default(), 10)?;
    let filter = EventFilter {
        link: Some(id),
        store: Some("default".into()),
        ..EventFilter::default()
    };
    tx.events_after(0, &filter, 10)?;
    tx.head()?;
    tx.oldest()?;
    tx.next_due()?;
    tx.audited(0, 10)?;
    Ok(())
}

fn do_everything(tx: &mut Tx, link: &Link, delivery: &Delivery) -> Res<()> {
    let (now, lease) = (start(), Lease::of("me"));
    let job = Job {
        kind: JobKind::Watch,
        subject: link.id.to_string(),
        link: link.id,
        due_at: now,
    };
    let mut link = tx.touch(link.id)?.unwrap();
    tx.save(&link)?;
    let event = EventId::new(now, &Random::os());
    tx.append(&mut link, EventKind::LinkViewed, event, None, now)?;
    tx.save_delivery(delivery)?;
    tx.skip_queued(link.id)?;
    tx.enqueue(&job)?;
    tx.hasten(JobKind::Watch, &job.subject, now)?;
    tx.claim(&lease, now, 5, &[JobKind::Open])?;
    tx.hasten_oldest_opens(now)?;
    let claim = tx.claim(&lease, now, 5, &[JobKind::Watch])?.remove(0);
    tx.confirm(&claim)?;
    let attempt = tx.begin_attempt(&claim, delivery.id, now)?;
    tx.finish_attempt(attempt, "sent", "", now)?;
    tx.renew(&lease)?;
    tx.due_kinds(JobKind::ALL, now)?;
    for lane in Lane::of(JobKind::Deliver) {
        tx.is_due(lane, now)?;
        tx.claim_in(lane, &lease, now, 5)?;
    }
    tx.in_flight(JobKind::Watch, &job.subject)?;
    tx.cancel(JobKind::Watch, "another")?;
    tx.free_foreign(&lease)?;
    tx.again(&claim, now, false)?;
    tx.release(&claim)?;
    tx.done(&claim)?;
    tx.settle_idempotency("scope", "key", "created")?;
    tx.forget_unanswered("scope", "key")?;
    tx.purge_idempotency(now)?;
    tx.unpark("watch:another", now)?;
    tx.count_drift("status", 1)?;
    tx.mark_as_copy(now)?;
    let recovery = tx.take_recovery(&lease)?.unwrap();
    tx.save_recovery(&recovery, &lease)?;
    tx.end_recovery(&recovery, &lease)?;
    tx.alert("kind", "words", None, now)?;
    tx.audit(Actor::Paylink, "verb", "subject", "", now)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_scans() {
    let f = lite().await;
    let link = f.born("SO-1").await;
    let delivery = f.delivery(&link, email("jo@example.com"));
    let copy = delivery.clone();
    f.write(move |tx| tx.insert_delivery(&copy)).await;
    let said = Arc::new(Mutex::new(Vec::new()));
    let (heard, l, d) = (Arc::clone(&said), link.clone(), delivery.clone());
    f.read(move |tx| {
        listen(tx, &heard)?;
        say_everything(tx, &l, &d)
    })
    .await;
    let heard = Arc::clone(&said);
    f.write(move |tx| {
        listen(tx, &heard)?;
        do_everything(tx, &link, &delivery)
    })
    .await;
    let mut said = std::mem::take(&mut *said.lock().unwrap());
    said.retain(|it| {
        ["SELECT", "UPDATE", "DELETE", "WITH"]
            .iter()
            .any(|verb| it.starts_with(verb))
    });
    said.sort();
    said.dedup();
    assert!(said.len() > 50, "{}", said.len());
    let mut conn = crate::store::lite::connect(&f.store.file().unwrap()).unwrap();
    let mut faults = Vec::new();
    for sql in said {
        // binds that are not there are NULL, which changes no plan
        let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"))
            .load(&mut conn)
            .unwrap();
        for Step { detail } in steps {
            // a walk along an index is what a list is; a materialised batch is read whole
            let walks = detail.contains("USING INDEX") || detail.contains("USING COVERING INDEX");
            let batch = detail.starts_with("SCAN picked");
            let scans = detail.starts_with("SCAN") && !walks && !batch;
            // one link has few events
            let few = sql.contains("`event`.`link` = ?");
            let sorts = detail.contains("TEMP B-TREE") && !few;
            if scans || sorts {
                faults.push(format!("{detail}: {sql}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
