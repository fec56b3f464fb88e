//! *Renew*: a new link for the same sale. The old one keeps its history and names the new one.

use super::create::{self, Acceptance, Created};
use super::idempotency::{self, Key};
use super::{House, Refusal, disable};
use crate::access::Caller;
use crate::link::{Closing, LinkId, OnDuplicate, Request, Status};

/// Creates a new link for `old`'s sale. An open one is closed first.
///
/// # Errors
/// `AlreadyCompleted` where it is paid; `Busy` where it is being created or closed.
pub async fn renew(
    house: &House,
    caller: &Caller,
    old: LinkId,
    mut request: Request,
    key: Option<Key>,
) -> Result<Created, Refusal> {
    let link = house.visible(caller, old).await?;
    request.on_duplicate = OnDuplicate::Refuse;
    let acceptance = Acceptance::of(house, caller, request, key.clone(), Some(&link));
    let repeated = house
        .store
        .read(move |tx| Ok::<_, Refusal>(idempotency::recall(tx, key.as_ref())?.is_some()))
        .await?;
    if !repeated {
        match link.stage.status() {
            Status::Completed => return Err(Refusal::AlreadyCompleted(Box::new(link))),
            Status::Creating | Status::Disabling => return Err(Refusal::Busy),
            Status::Open => {
                create::make_room(house, &acceptance, vec![old]).await?;
                disable::make_way(house, old, caller.actor, Closing::Replaced).await?;
            }
            Status::Expired | Status::Cancelled | Status::Disabled | Status::Failed => {}
        }
    }
    create::accept(house, acceptance).await
}
