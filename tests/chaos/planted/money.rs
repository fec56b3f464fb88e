//! Bugs by which somebody else's word, host or key decides, and work is dropped by a stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::block_in_place;

use super::{Seen, a_while, created, link, text, until, wrong};
use crate::chaos::lives::Place;
use crate::outside::harness::{reference, sale, sale_of};

/// Somebody who knows the address of a callback says that the buyer has paid.
pub async fn believe_callback(place: &Place) -> Seen {
    place.starts(&[]);
    let made = created(place, &sale()).await?;
    let session = place.world.klarna.session(&made).await;
    let url = text(&session["merchant_urls"], "status_update").to_owned();
    let Some((_, path)) = url.split_once(&place.world.base) else {
        return wrong(format!("no callback of ours: {url}"));
    };
    let path = path.replace("{{session_id}}", text(&session, "session_id"));
    let forged = json!({"event_id": "1", "session": {"session_id": session["session_id"], "status": "COMPLETED"}});
    let stranger = place.world.stranger();
    place.asks(|| stranger.post(&path, &forged)).await?;
    a_while(1_500).await;
    let now = link(place, text(&made, "id")).await?;
    Ok(match text(&now, "status") {
        "open" => Vec::new(),
        status => vec![format!(
            "forged completion: a callback made the link {status}"
        )],
    })
}

/// Klarna's calls get lost, the buyer pays, and then the agent disables.
pub async fn disable_beats_paid(place: &Place) -> Seen {
    place.starts(&[("PAYLINK_PUBLIC_URL", "http://127.0.0.1:9")]);
    let made = created(place, &sale()).await?;
    place.world.klarna.buyer(&made, "pay").await;
    let path = format!("/v1/links/{}/disable", text(&made, "id"));
    let answer = place.asks(|| place.admin.post(&path, &json!({}))).await?;
    let now = link(place, text(&made, "id")).await?;
    let seen = (answer.status, text(&now, "status"));
    Ok(if seen == (409, "completed") {
        Vec::new()
    } else {
        vec![format!(
            "klarna has the money, the agent was told {} and the link is {}",
            seen.0, seen.1
        )]
    })
}

/// Two stores use the same key for the same body.
pub async fn key_unscoped(place: &Place) -> Seen {
    let (north, south) = block_in_place(|| {
        let world = &place.world;
        (
            world.caller("integrator", "north"),
            world.caller("integrator", "south"),
        )
    });
    place.starts(&[]);
    let sale = sale();
    let mut made = Vec::new();
    for who in [north, south] {
        let answer = place
            .asks(|| who.post("/v1/links", &sale).idempotent("monday-1"))
            .await?;
        made.push((answer.status, answer.json()["id"].clone()));
    }
    Ok(
        if made[0].0 == 201 && made[1].0 == 201 && made[0].1 != made[1].1 {
            Vec::new()
        } else {
            vec![format!(
                "a request was answered with what another's key had made: {made:?}"
            )]
        },
    )
}

/// Klarna's host sends every request on to another one.
pub async fn follow_redirect(place: &Place) -> Seen {
    let (stolen, thief) =
        answers(|_| "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n".to_owned()).await;
    let (asked, klarna) = answers(move |path| {
        format!("HTTP/1.1 307 On\r\nLocation: {thief}{path}\r\nContent-Length: 0\r\n\r\n")
    })
    .await;
    place.starts(&[("KLARNA_API_URL", &klarna)]);
    let sale = sale();
    place.asks(|| place.admin.sends(&sale)).await?;
    until("klarna is asked", async || asked.load(Ordering::SeqCst) > 0).await?;
    a_while(500).await;
    Ok(match stolen.load(Ordering::SeqCst) {
        0 => Vec::new(),
        times => vec![format!(
            "a sale went to a host that nobody configured, {times} times"
        )],
    })
}

/// A server that counts requests and answers each in the same words, and its base URL.
async fn answers(
    words: impl Fn(&str) -> String + Send + Sync + 'static,
) -> (Arc<AtomicUsize>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 65_536];
            let length = stream.read(&mut request).await.unwrap_or(0);
            // a probe of the connection says nothing
            if length == 0 {
                continue;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            let line = String::from_utf8_lossy(&request[..length]).into_owned();
            let path = line.split(' ').nth(1).unwrap_or("/").to_owned();
            // whoever has gone needs no answer
            let _ = stream.write_all(words(&path).as_bytes()).await;
        }
    });
    (count, base)
}

/// Klarna is slow, the caller has his 202, and the service is told to stop.
pub async fn actix_runtime(place: &Place) -> Seen {
    place.starts(&[]);
    place
        .world
        .klarna
        .breaks("create_order", "slow:6000", 1)
        .await;
    let made = created(place, &sale_of(&reference())).await?;
    if made["status"] != "creating" {
        return wrong(format!("klarna was not slow: {made}"));
    }
    let Some(ended) = place.stops() else {
        return wrong("it has ended by itself");
    };
    let dropped = "SELECT count(*) AS it FROM link WHERE status = 'creating'";
    Ok(match (place.number(dropped).await, ended.code) {
        (0, Some(0)) => Vec::new(),
        (links, code) => vec![format!(
            "{links} pairs that were being made were dropped by the stop, which took {:?} (exit {code:?})",
            ended.took
        )],
    })
}
