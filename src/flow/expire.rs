//! *Expire*: a link's own end is a disable. It never reads `expired` while Klarna may still take
//! the money (`contract.md`, Expiry).

use super::pen::Pen;
use super::{House, Refusal};
use crate::chaos::{self, Point};
use crate::link::{Actor, Closing, EventKind, LinkId, Status};
use crate::store::{Claim, Job, JobKind, Tx};

/// Begins to close a link whose end has come.
pub(super) async fn expire(house: &House, claim: Claim) -> Result<(), Refusal> {
    let id = claim.job.link;
    let pen = house.pen();
    house
        .store
        .write(move |tx| {
            let mut pen = pen;
            let Some(link) = tx.link(id)? else {
                tx.done(&claim)?;
                return Ok(());
            };
            match link.wanted_end {
                // the end was moved. That the job's own time has come is not judged again: whoever
                // claimed it had the better clock
                Some(end) if end > claim.job.due_at => {
                    tx.again(&claim, end, false)?;
                    return Ok(());
                }
                _ if link.stage.status() != Status::Open => {
                    tx.done(&claim)?;
                    return Ok(());
                }
                _ => {}
            }
            if !tx.done(&claim)? {
                return Ok(());
            }
            begin(tx, id, &mut pen)
        })
        .await?;
    chaos::at(Point::ExpireWritten);
    Ok(())
}

/// Begins to close an open link as one whose end has come.
pub(super) fn begin(tx: &mut Tx, id: LinkId, pen: &mut Pen) -> Result<(), Refusal> {
    let mut link = tx.touch(id)?.ok_or(Refusal::NotFound)?;
    if link.stage.status() != Status::Open {
        return Ok(());
    }
    link.updated_at = pen.at;
    link.stage = link
        .stage
        .disabling(Closing::Expired, Actor::Paylink, pen.at)?;
    link.closing_reason = Some(Closing::Expired);
    pen.tell(tx, &mut link, EventKind::LinkDisabling, None)?;
    pen.skip_unsent(tx, &mut link)?;
    tx.save(&link)?;
    tx.enqueue(&Job {
        kind: JobKind::Disable,
        subject: id.to_string(),
        link: id,
        // by every process's clock, whatever ours says
        due_at: link.created_at,
    })?;
    Ok(())
}
