//! A verb's refusal as a problem: the one place where `web` chooses status codes for `flow`.

use std::time::Duration;

use super::problem::{FaultView, Problem, ProblemCode as Code};
use crate::flow::{House, Refusal};
use crate::store::StoreError;
use crate::view::{Detail, LinkView};

/// Long enough for a group commit or a reconnect, short enough for an agent on the phone.
const SOON: Duration = Duration::from_secs(2);

/// The problem that tells `refusal`.
pub async fn refused(house: &House, refusal: Refusal) -> Problem {
    match refusal {
        // only here the whole link is part of the answer, and its deliveries are part of the link
        Refusal::AlreadyCompleted(link) => {
            let id = link.id;
            let deliveries = house.store.read(move |tx| tx.deliveries(id)).await;
            let deliveries: Vec<_> = deliveries.unwrap_or_default();
            let now = house.clock.now();
            Problem::new(Code::AlreadyCompleted)
                .link_id(id)
                .link(LinkView::new(&link, &deliveries, now, Detail::Full))
        }
        Refusal::Replayed(first) => Box::pin(refused(house, *first)).await.replayed(),
        refusal => refusal.into(),
    }
}

/// What a verb came to, or the problem that tells its refusal.
pub async fn done<T>(house: &House, result: Result<T, Refusal>) -> Result<T, Problem> {
    match result {
        Ok(done) => Ok(done),
        Err(refusal) => Err(refused(house, refusal).await),
    }
}

/// The problem of a store that could not do it.
pub fn storage(error: &StoreError) -> Problem {
    let code = if *error == StoreError::Overloaded {
        Code::Overloaded
    } else {
        tracing::error!(error = error as &dyn std::error::Error, "the store failed");
        Code::StorageUnavailable
    };
    let problem = Problem::new(code).retry_after(SOON);
    if *error == StoreError::Unknown {
        return problem.detail(
            "It may be stored or not: the database went away before it answered. Repeat with the same idempotency key after `Retry-After`; without one, look before you ask again.",
        );
    }
    problem
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFound => Problem::new(Code::NotFound),
            Refusal::Forbidden => Problem::new(Code::Forbidden),
            Refusal::Faults(faults) => Problem::faults(faults.iter().map(FaultView::at).collect()),
            Refusal::IdempotencyMismatch => Problem::new(Code::IdempotencyMismatch),
            Refusal::IdempotencyInProgress => {
                Problem::new(Code::IdempotencyInProgress).retry_after(SOON)
            }
            Refusal::ReferenceInUse(id) => Problem::new(Code::ReferenceInUse).link_id(id),
            Refusal::ReferencePaid(id) => Problem::new(Code::ReferencePaid).link_id(id),
            Refusal::NotPayable => Problem::new(Code::NotPayable),
            Refusal::AlreadyCompleted(link) => {
                Problem::new(Code::AlreadyCompleted).link_id(link.id)
            }
            Refusal::RateLimited(wait) => Problem::new(Code::RateLimited).retry_after(wait),
            Refusal::SendRateLimited(wait) => Problem::new(Code::SendRateLimited).retry_after(wait),
            Refusal::Held => Problem::new(Code::Busy).detail(
                "What Klarna authorised is not what was sold; a person must look at it first.",
            ),
            Refusal::NotCompleted => Problem::new(Code::NotCompleted),
            Refusal::KlarnaNotAllowed(id, said) => Problem::new(Code::KlarnaNotAllowed)
                .link_id(id)
                .klarna(&said),
            Refusal::KlarnaRefused(id, said) => {
                Problem::new(Code::KlarnaRefused).link_id(id).klarna(&said)
            }
            Refusal::Replayed(first) => Problem::from(*first).replayed(),
            Refusal::KlarnaUnavailable(id, wait) => {
                let problem = Problem::new(Code::KlarnaUnavailable).retry_after(wait);
                match id {
                    Some(id) => problem.link_id(id),
                    None => problem,
                }
            }
            Refusal::VersionMismatch => Problem::new(Code::VersionMismatch),
            Refusal::Overloaded => Problem::new(Code::Overloaded).retry_after(SOON),
            Refusal::Storage(error) => storage(&error),
            // a refused stage: somebody was faster, what is true now is for the caller to read
            Refusal::Busy | Refusal::Stage(_) => Problem::new(Code::Busy).retry_after(SOON),
        }
    }
}
