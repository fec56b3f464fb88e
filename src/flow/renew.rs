//! *Renew*: a new link for the same sale. The old one keeps its history and names the new one.

use super::create::{self, Acceptance, Created};
use super::idempotency::{self, Key};
use super::{House, Refusal, disable};
use crate::access::Caller;
use crate::chaos::{self, Point};
use crate::link::{Closing, LinkId, OnDuplicate, Request, Status};

/// Creates a new link for `old`'s sale. An open one is closed first.
///
/// # Errors
/// `AlreadyCompleted` where it is paid; `Busy` where it is being created or closed;
/// `VersionMismatch` where `old` is not at `wanted_version`.
pub async fn renew(
    house: &House,
    caller: &Caller,
    old: LinkId,
    mut request: Request,
    wanted_version: Option<i64>,
    key: Option<Key>,
) -> Result<Created, Refusal> {
    let link = house.visible(caller, old).await?;
    request.on_duplicate = OnDuplicate::Refuse;
    let mut acceptance = Acceptance::of(house, caller, request, key.clone(), Some(&link));
    let repeated = house
        .store
        .read(move |tx| Ok::<_, Refusal>(idempotency::recall(tx, key.as_ref())?.is_some()))
        .await?;
    // a repeat names the version that it saw before its first run changed it
    if !repeated {
        if wanted_version.is_some_and(|wanted| wanted != link.version) {
            return Err(Refusal::VersionMismatch);
        }
        match link.stage.status() {
            Status::Completed => return Err(Refusal::AlreadyCompleted(Box::new(link))),
            Status::Creating | Status::Disabling => return Err(Refusal::Busy),
            Status::Open => {
                create::make_room(house, &acceptance, Some(old)).await?;
                // compared under the lock there; from then on the versions are our own
                let (by, why) = (caller.actor, Closing::Replaced);
                disable::make_way(house, old, by, why, wanted_version).await?;
                chaos::at(Point::RenewMadeWay);
            }
            Status::Expired | Status::Cancelled | Status::Disabled | Status::Failed => {
                acceptance = acceptance.at_version(wanted_version);
            }
        }
    }
    create::accept(house, acceptance).await
}
