//! Bugs by which a message leaves twice, or is told wrongly of.

use tokio::task::block_in_place;

use super::{
    Seen, a_while, created, delivered, link, pauses, posted, sale_to, text, until, wakes_and_ends,
};
use crate::chaos::lives::{LONG, Place, Stop};
use crate::outside::harness::process::Process;
use crate::outside::harness::{Reply, email, phone};

/// No more than one SMS was accepted for one delivery.
fn once(place: &Place, phone: &str, status: &str) -> Vec<String> {
    let left = place.world.sms.to(phone).len();
    let mut broken = Vec::new();
    if left > 1 {
        broken.push(format!(
            "double SMS: {left} were accepted for one delivery, which is {status}"
        ));
    }
    if status == "sent" && left == 0 {
        broken.push("a delivery is sent, and no SMS arrived".to_owned());
    }
    broken
}

/// The service dies at a point of *deliver* and comes back.
async fn dies_and_delivers(place: &Place, point: &str) -> Seen {
    let phone = phone();
    let sale = sale_to("sms", &phone);
    place.starts(&[("PAYLINK_CRASH_AT", point)]);
    // the answer may be faster than the crash
    match created(place, &sale).await {
        Ok(_) | Err(Stop::Dead) => {}
        Err(stop) => return Err(stop),
    }
    until("it crashes", async || !place.is_alive()).await?;
    place.ended();
    place.starts(&[]);
    let link = created(place, &sale).await?;
    let delivery = delivered(place, text(&link, "id")).await?;
    a_while(1_000).await;
    Ok(once(place, &phone, text(&delivery, "status")))
}

pub async fn no_attempt_row(place: &Place) -> Seen {
    dies_and_delivers(place, "deliver.left").await
}

pub async fn send_before_commit(place: &Place) -> Seen {
    dies_and_delivers(place, "deliver.decided").await
}

/// The gateway takes the message and answers 503; its first repeat would come after 5 s.
pub async fn retry_sms_5xx(place: &Place) -> Seen {
    let phone = phone();
    place.world.sms.replies(&phone, &[Reply::Status(503)]);
    place.starts(&[]);
    let created = created(place, &sale_to("sms", &phone)).await?;
    until("it was tried", async || {
        !place.world.sms.to(&phone).is_empty()
    })
    .await?;
    a_while(6_500).await;
    let now = link(place, text(&created, "id")).await?;
    Ok(once(place, &phone, text(&now["deliveries"][0], "status")))
}

/// A worker sleeps from the commit of its attempt to after the end of its lease; meanwhile another
/// sends the mail again under the same name, as the operator chose. Then the sleeper wakes.
pub async fn no_confirmation(place: &Place) -> Seen {
    let email = email();
    let policy = ("MAIL_UNKNOWN", "resend_once");
    let pause = ("PAYLINK_PAUSE_AT", "deliver.begun");
    place.starts(&[pause, SELDOM, policy]);
    let other = sleeps_and_is_replaced(place, "email", &email, policy).await?;
    until("the other sends it", async || {
        place.world.mail.to(&email).len() == 1
    })
    .await?;
    wakes_and_ends(place)?;
    drop(block_in_place(|| other.terminate(LONG)));
    let mails = place.world.mail.to(&email);
    let left = mails.iter().filter(|it| it.accepted).count();
    Ok(if left > 1 {
        vec![format!(
            "double mail: {left} were accepted, one after its sender had lost the job"
        )]
    } else {
        Vec::new()
    })
}

/// A worker sleeps from the message's leaving to after the end of its lease; meanwhile another
/// finds the attempt without result and judges. Then the sleeper wakes and knows better.
pub async fn no_fence(place: &Place) -> Seen {
    let phone = phone();
    place.starts(&[("PAYLINK_PAUSE_AT", "deliver.left"), SELDOM]);
    let other = sleeps_and_is_replaced(place, "sms", &phone, ("MAIL_UNKNOWN", "ask")).await?;
    let judged = "SELECT count(*) AS it FROM delivery WHERE status = 'unknown'";
    until("the other judges", async || place.number(judged).await == 1).await?;
    wakes_and_ends(place)?;
    drop(block_in_place(|| other.terminate(LONG)));
    let told =
        "SELECT count(*) AS it FROM event WHERE kind IN ('delivery.sent', 'delivery.unknown')";
    let (outcomes, unknown) = (place.number(told).await, place.number(judged).await);
    Ok(if (outcomes, unknown) == (1, 1) {
        Vec::new()
    } else {
        vec![format!(
            "a worker that was paused wrote over its successor: {outcomes} outcomes were told, the verdict is {}",
            if unknown == 1 { "kept" } else { "gone" }
        )]
    })
}

/// A heartbeat of the sleeper, once it wakes, would find out that its lease is gone and stop its
/// work: the second guard, behind which the bug would hide. With leases this long none is due. (That
/// they are over is said by hand.)
const SELDOM: (&str, &str) = ("PAYLINK_CHAOS_LEASE_MS", "3600000");

/// The service pauses in a delivery for longer than its lease, and another process comes.
async fn sleeps_and_is_replaced(
    place: &Place,
    channel: &str,
    to: &str,
    policy: (&str, &str),
) -> Result<Process, Stop> {
    let sale = sale_to(channel, to);
    // nobody answers while the process sleeps
    drop(posted(place, &sale));
    pauses(place).await?;
    // an older claim than this is confirmed before the first byte
    a_while(2_200).await;
    place.leases_end().await;
    Ok(place.started(&["worker"], &[policy]))
}
