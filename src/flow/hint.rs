//! *Hints*: Klarna called, or the buyer came back. Nothing that they say is believed; they only
//! make the next read-back come sooner (failure-model R8).

use std::time::Duration;

use jiff::Timestamp;

use super::observe;
use super::reads::APART;
use super::{House, Refusal, after};
use crate::chaos::{self, Bug, Point};
use crate::link::{Link, LinkId, Status};
use crate::store::{Job, JobKind};

/// How long a buyer waits for the read that another visit of theirs has caused.
const MOMENT: Duration = Duration::from_millis(500);

/// Which door the hint came in by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hint {
    /// HPP's status callback.
    Status,
    /// KCO's push.
    Push,
    /// KCO's notification about a pending order.
    Notification,
}

/// The ids that Klarna filled into the address it called or sent the buyer to. The token alone
/// names the link; what these say is compared and no more (`contract.md`, Merchant URLs).
#[derive(Clone, Debug, Default)]
pub struct Named {
    /// A payment session.
    pub session: Option<String>,
    /// An order.
    pub order: Option<String>,
}

impl Named {
    /// Tells the operator of ids that are not the link's. Not the ids: whoever called chose them.
    fn compare(&self, link: &Link, door: &str) {
        let foreign = self.foreign(link);
        if !foreign.is_empty() {
            tracing::warn!(
                link = %link.id, door, foreign = foreign.join(" and "),
                "a call named what is not this link's; that is ignored"
            );
        }
    }

    /// Which ids are not the link's: none where it has no pair that they could be of.
    fn foreign(&self, link: &Link) -> Vec<&'static str> {
        let Some(pair) = link.stage.pair() else {
            return Vec::new();
        };
        let differs =
            |named: &Option<String>, ours: &str| named.as_ref().is_some_and(|it| it != ours);
        [
            ("session", differs(&self.session, &pair.session)),
            ("order", differs(&self.order, &pair.order)),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }
}

/// Makes the read that the hint asks for come soon. Durable when this answers.
///
/// # Errors
/// `NotFound` where no link has this token.
pub async fn hint(house: &House, token: &str, hint: Hint, named: &Named) -> Result<(), Refusal> {
    let link = by_token(house, token).await?;
    named.compare(&link, hint.word());
    if chaos::planted(Bug::BelieveCallback) {
        observe::end(house, link.id, Some(observe::Proof::Session)).await?;
    }
    let now = house.clock.now();
    let kind = match (link.stage.status(), hint) {
        (Status::Completed, Hint::Push | Hint::Notification) => JobKind::Settle,
        (Status::Completed, Hint::Status) | (Status::Creating, _) => return Ok(()),
        // nobody was shown a page of a link that failed, except where this ledger was restored from a
        // copy that is older than the page
        (Status::Failed, _) => {
            let words = format!(
                "somebody uses a page of {} that is not known here: look in Klarna's portal for an order with this id as merchant_reference2",
                link.id
            );
            house.alert("unknown_page", &words, Some(link.id)).await;
            return Ok(());
        }
        _ => JobKind::Watch,
    };
    let due_at = link
        .klarna
        .verified_at
        .map_or(now, |read| after(read, APART).max(now));
    metrics::counter!("paylink_hints_total", "door" => hint.word()).increment(1);
    soon(house, kind, link.id, due_at).await?;
    chaos::at(Point::HintRecorded);
    Ok(())
}

impl Hint {
    fn word(self) -> &'static str {
        match self {
            Hint::Status => "status",
            Hint::Push => "push",
            Hint::Notification => "notification",
        }
    }
}

/// The link of a buyer who came back, after a read-back within the caller's patience.
///
/// # Errors
/// `NotFound` where no link has this token.
pub async fn returning(house: &House, token: &str, named: &Named) -> Result<Link, Refusal> {
    let link = by_token(house, token).await?;
    named.compare(&link, "return");
    let (id, now) = (link.id, house.clock.now());
    match link.stage.status() {
        // nothing that a buyer is shown changes any more
        Status::Completed | Status::Failed | Status::Creating => return Ok(link),
        _ => {}
    }
    // a buyer who comes back right after paying waits for the next read rather than be told old news
    let may = match house.reads.begin(id, now) {
        Ok(()) => true,
        Err(due) => {
            let wait = due.duration_since(now).try_into().unwrap_or(MOMENT);
            tokio::time::sleep(wait).await;
            house.reads.begin(id, house.clock.now()).is_ok()
        }
    };
    if may {
        observe::look(house, link).await?;
    } else {
        // another of their visits reads just now
        tokio::time::sleep(MOMENT).await;
    }
    let link = house.store.read(move |tx| tx.link(id)).await?;
    link.ok_or(Refusal::NotFound)
}

async fn soon(
    house: &House,
    kind: JobKind,
    link: LinkId,
    due_at: Timestamp,
) -> Result<(), Refusal> {
    let job = Job {
        kind,
        subject: link.to_string(),
        link,
        due_at,
    };
    house.store.write(move |tx| tx.hint(&job)).await?;
    Ok(())
}

/// What KCO is told when it asks whether this order may be bought now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Approve,
    /// The link is closed or being closed.
    Deny,
}

/// Answers KCO's validation callback from the database alone, so that it is answered in time.
///
/// # Errors
/// `NotFound` where no link has this token.
pub async fn validate(house: &House, token: &str) -> Result<Verdict, Refusal> {
    let link = by_token(house, token).await?;
    Ok(match link.stage.status() {
        Status::Disabling | Status::Disabled | Status::Expired => Verdict::Deny,
        Status::Creating
        | Status::Open
        | Status::Completed
        | Status::Cancelled
        | Status::Failed => Verdict::Approve,
    })
}

async fn by_token(house: &House, token: &str) -> Result<Link, Refusal> {
    let hash = crate::secret::token_hash(token);
    let link = house
        .store
        .read(move |tx| match tx.token(&hash)? {
            Some((id, _)) => tx.link(id),
            None => Ok(None),
        })
        .await?;
    link.ok_or(Refusal::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_another_link_are_seen() {
        let link = super::super::tests::link(jiff::Timestamp::UNIX_EPOCH);
        let named = |session: Option<&str>, order: Option<&str>| {
            let named = Named {
                session: session.map(str::to_owned),
                order: order.map(str::to_owned),
            };
            named.foreign(&link)
        };
        assert!(named(None, None).is_empty());
        assert!(named(Some("session"), Some("order")).is_empty());
        assert_eq!(named(Some("another"), Some("order")), ["session"]);
        assert_eq!(named(Some("another"), Some("{x}")), ["session", "order"]);
    }
}
