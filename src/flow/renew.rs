//! *Renew*: a new link for the same sale. The old one keeps its history and names the new one.

use super::create::{Created, Renews, create_renewing};
use super::idempotency::{self, Key};
use super::{House, Refusal, disable};
use crate::access::Caller;
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
    let recalled = key.clone();
    let repeated = house
        .store
        .read(move |tx| Ok::<_, Refusal>(idempotency::recall(tx, recalled.as_ref())?.is_some()))
        .await?;
    let link = house.visible(caller, old).await?;
    let mut unmet = wanted_version;
    if repeated {
        // it names the version that it saw before its first run changed it
        unmet = None;
    } else {
        if unmet.is_some_and(|wanted| wanted != link.version) {
            return Err(Refusal::VersionMismatch);
        }
        match link.stage.status() {
            Status::Completed => return Err(Refusal::AlreadyCompleted(Box::new(link))),
            Status::Creating | Status::Disabling => return Err(Refusal::Busy),
            Status::Open => {
                let (by, why) = (caller.actor, Closing::Replaced);
                disable::make_way(house, old, by, why, unmet).await?;
                // compared under the lock there; from here on the versions are our own
                unmet = None;
            }
            Status::Expired | Status::Cancelled | Status::Disabled | Status::Failed => {}
        }
    }
    request.on_duplicate = OnDuplicate::Refuse;
    let renews = Renews {
        old,
        wanted_version: unmet,
    };
    create_renewing(house, caller, request, key, Some(renews)).await
}
