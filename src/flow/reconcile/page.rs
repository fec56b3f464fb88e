//! A link that is not paid, against its page (HPP) and its order (KCO).

use jiff::Timestamp;

use super::{A_MOMENT, Compared, Drift, SETTLED, TRIES};
use crate::flow::observe::{self, Proof};
use crate::flow::{House, Refusal, expire};
use crate::klarna::KlarnaError;
use crate::link::{Link, LinkId, Pair, Reading, SessionNews, Stage, Status};
use crate::store::{Job, JobKind, StoreError};

/// What Klarna has of a pair.
struct Theirs {
    /// `None`: it knows the session no longer.
    session: Option<SessionNews>,
    /// The order says that it is paid.
    paid: Option<Proof>,
}

/// Compares one link that is not paid, and applies what Klarna says as the verb *observe* would. A
/// difference is looked at twice: a callback may be on its way.
pub(super) async fn compare(house: &House, id: LinkId) -> Result<Compared, Refusal> {
    let mut before: Option<(i64, String)> = None;
    for _ in 0..TRIES {
        let (link, clock) = house
            .store
            .read(move |tx| Ok::<_, StoreError>((tx.link(id)?, tx.database_now()?)))
            .await?;
        let link = link.ok_or(Refusal::NotFound)?;
        // links end by the database's clock
        let now = clock.unwrap_or_else(|| house.clock.now());
        let Some(pair) = link.stage.pair() else {
            return Ok(Compared::Same);
        };
        let theirs = match read(house, pair).await {
            Ok(theirs) => theirs,
            Err(Refusal::KlarnaUnavailable(..)) => {
                return Ok(Compared::Unread(id, "klarna did not answer".into()));
            }
            Err(refusal) => return Err(refusal),
        };
        let Some(klarna) = difference(&link, &theirs, now) else {
            return Ok(Compared::Same);
        };
        let seen = Some((link.version, klarna.clone()));
        if before == seen {
            mend(house, &link, pair, theirs).await?;
            return Ok(Compared::Differs(vec![Drift {
                link: id,
                what: "status".into(),
                ours: link.stage.status().as_str().to_owned(),
                klarna,
            }]));
        }
        before = seen;
        tokio::time::sleep(A_MOMENT).await;
    }
    Ok(Compared::Unread(id, "it is changing just now".into()))
}

async fn read(house: &House, pair: &Pair) -> Result<Theirs, Refusal> {
    let session = match house.klarna.read_session(&pair.session).await {
        Ok(news) => Some(news),
        Err(KlarnaError::NotFound(_)) => None,
        Err(error) => return Err(observe::unavailable(&error)),
    };
    Ok(Theirs {
        session,
        paid: observe::payment_of(house, pair).await?,
    })
}

/// What Klarna says, where that is not what we say.
fn difference(link: &Link, theirs: &Theirs, now: Timestamp) -> Option<String> {
    let status = link.stage.status();
    if status == Status::Completed {
        // paid while the day was walked: its money is of the day of its payment
        return None;
    }
    let said = theirs.session.as_ref().map(|it| it.reading);
    let raw = || {
        theirs
            .session
            .as_ref()
            .map_or("no such session", |it| &it.raw)
            .to_owned()
    };
    if said == Some(Reading::Completed) {
        return Some(raw());
    }
    if theirs.paid.is_some() {
        return Some("paid".into());
    }
    let payable = match said {
        Some(Reading::Consumer(_) | Reading::Unclear) => {
            let end = theirs.session.as_ref().and_then(|it| it.expires_at);
            end.is_none_or(|end| now < end)
        }
        _ => false,
    };
    let differs = match &link.stage {
        Stage::Open { .. } => !payable,
        // it is insisted on; not for ever
        Stage::Disabling { since, .. } => now.duration_since(*since) >= SETTLED,
        Stage::Disabled { .. } | Stage::Expired { .. } | Stage::Cancelled { .. } => payable,
        Stage::Creating { .. } | Stage::Completed { .. } | Stage::Failed { .. } => false,
    };
    differs.then(raw)
}

async fn mend(house: &House, link: &Link, pair: &Pair, theirs: Theirs) -> Result<(), Refusal> {
    if theirs.paid.is_some() {
        observe::end(house, link.id, theirs.paid).await?;
        return Ok(());
    }
    match (link.stage.status(), theirs.session) {
        (_, Some(news)) if news.reading == Reading::Completed => {
            observe::take(house, link.id, news).await?;
        }
        (Status::Open, Some(news)) if closes(&news) => {
            observe::take(house, link.id, news).await?;
        }
        (Status::Open, None) => {
            observe::end(house, link.id, None).await?;
        }
        (Status::Open, Some(_)) => close_at_its_end(house, link.id).await?,
        (Status::Disabling, _) => promise(house, link.id, JobKind::Disable).await?,
        _ => close_again(house, link, pair).await?,
    }
    Ok(())
}

fn closes(news: &SessionNews) -> bool {
    matches!(news.reading, Reading::Cancelled | Reading::Disabled)
}

/// Its end has come and Klarna still shows its page: that is closed first.
async fn close_at_its_end(house: &House, id: LinkId) -> Result<(), Refusal> {
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            expire::begin(tx, id, &mut pen)
        })
        .await
}

/// We say that it cannot be paid, and it could be.
async fn close_again(house: &House, link: &Link, pair: &Pair) -> Result<(), Refusal> {
    if let Err(error) = house.klarna.disable_session(&pair.session).await {
        tracing::warn!(link = %link.id, %error, "the page of a closed link could not be closed again");
    }
    // the buyer may have been quicker; where Klarna does not answer, the job below asks again
    match observe::payment_of(house, pair).await {
        Ok(Some(proof)) => {
            observe::end(house, link.id, Some(proof)).await?;
            Ok(())
        }
        Ok(None) | Err(Refusal::KlarnaUnavailable(..)) => {
            promise(house, link.id, JobKind::Abort).await
        }
        Err(refusal) => Err(refusal),
    }
}

async fn promise(house: &House, id: LinkId, kind: JobKind) -> Result<(), Refusal> {
    let now = house.clock.now();
    house
        .store
        .write(move |tx| {
            tx.enqueue(&Job {
                kind,
                subject: id.to_string(),
                link: id,
                due_at: now,
            })
        })
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::link::{Actor, Closing, Consumer};

    const MINUTE: SignedDuration = SignedDuration::from_mins(1);

    fn session(reading: Reading, expires_at: Timestamp) -> SessionNews {
        SessionNews {
            reading,
            raw: "WORD".into(),
            order: None,
            klarna_reference: None,
            updated_at: None,
            expires_at: Some(expires_at),
            id_check_url: None,
        }
    }

    #[test]
    fn every_pair_of_states_is_judged() {
        let start: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
        let now = start + 20 * MINUTE;
        let end = start + 47 * 60 * MINUTE;
        let open = crate::flow::tests::link(start);
        let in_stage = |stage: Stage| Link {
            stage,
            ..open.clone()
        };
        let closing = |since| {
            let stage = open.stage.clone();
            in_stage(
                stage
                    .disabling(Closing::Unsaid, Actor::Paylink, since)
                    .unwrap(),
            )
        };
        let (fresh, old) = (closing(now - MINUTE), closing(start));
        let disabled = in_stage(old.stage.clone().closed(now).unwrap());
        let expired = in_stage(open.stage.clone().expired(now).unwrap());
        let cancelled = in_stage(open.stage.clone().cancelled(now).unwrap());
        let waiting = || Some(session(Reading::Consumer(Consumer::NotOpened), end));
        let over = || Some(session(Reading::Consumer(Consumer::Back), now - MINUTE));
        let differs = |link: &Link, session: Option<SessionNews>| {
            difference(
                link,
                &Theirs {
                    session,
                    paid: None,
                },
                now,
            )
            .is_some()
        };
        for (link, none, completed, gone, disabled_there, ended_there) in [
            (&open, false, true, true, true, true),
            (&fresh, false, true, false, false, false),
            (&old, true, true, true, true, true),
            (&disabled, true, true, false, false, false),
            (&expired, true, true, false, false, false),
            (&cancelled, true, true, false, false, false),
        ] {
            let status = link.stage.status();
            assert_eq!(differs(link, waiting()), none, "{status:?} waiting");
            assert_eq!(
                differs(link, Some(session(Reading::Completed, end))),
                completed,
                "{status:?} completed"
            );
            assert_eq!(differs(link, None), gone, "{status:?} gone");
            for reading in [Reading::Disabled, Reading::Cancelled] {
                let there = Some(session(reading, end));
                assert_eq!(
                    differs(link, there),
                    disabled_there,
                    "{status:?} {reading:?}"
                );
            }
            assert_eq!(differs(link, over()), ended_there, "{status:?} over");
            let paid = Theirs {
                session: waiting(),
                paid: Some(Proof::Session),
            };
            assert_eq!(difference(link, &paid, now).as_deref(), Some("paid"));
        }
    }
}
