//! Events: the list, the live stream, and that both say the same bytes in the same order.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{Caller, World, WorldPlan, eventually, sale, stories};

stories!(
    watching,
    WorldPlan::new(),
    [
        a_timeline_has_no_gaps,
        the_list_goes_on_where_it_stopped,
        the_stream_tells_what_happens,
        the_stream_goes_on_where_it_broke,
        a_position_that_is_not_there_is_gone,
        filters_choose_events,
        stores_hear_only_their_own,
    ]
);

async fn a_timeline_has_no_gaps(w: &World) {
    let (agent, mut sale) = (w.agent(), sale());
    sale["send"] = json!([{"channel": "email", "to": super::harness::email()}]);
    let link = agent.creates(&sale).await;
    w.klarna.buyer(&link, "open").await;
    eventually("opened", async || {
        (agent.link(id(&link)).await["consumer"] == "in_progress").then_some(())
    })
    .await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    let events = eventually("payment.authorized", async || {
        let events = agent.timeline(id(&link)).await;
        events
            .iter()
            .any(|event| event["type"] == "payment.authorized")
            .then_some(events)
    })
    .await;
    for (index, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], index + 1, "{event:#}");
        assert!(id(event).starts_with("evt_"));
        assert_eq!(
            (&event["object"], &event["link"]),
            (&json!("event"), &link["id"])
        );
        assert_eq!(event["data"]["link"]["id"], link["id"]);
        assert_eq!(event["timestamp"], event["created_at"]);
        for member in ["link", "delivery", "payment"] {
            assert!(
                event["data"].get(member).is_some(),
                "{member} is not in {event:#}"
            );
        }
    }
    let types: Vec<_> = events
        .iter()
        .map(|event| event["type"].as_str().expect("a type"))
        .collect();
    assert_eq!(types[0], "link.created");
    for expected in [
        "link.payable",
        "delivery.queued",
        "delivery.sent",
        "link.viewed",
        "link.completed",
        "payment.authorized",
    ] {
        assert!(types.contains(&expected), "{expected} is not in {types:?}");
    }
}

/// Every event of a caller from a position on, by following `next_cursor`.
async fn all_after(
    caller: &Caller,
    mut after: Option<String>,
    limit: u32,
) -> (Vec<Value>, Option<String>) {
    let mut events = Vec::new();
    loop {
        let position = after
            .as_ref()
            .map(|after| format!("&after={after}"))
            .unwrap_or_default();
        let list = caller
            .get(&format!("/v1/events?limit={limit}{position}"))
            .await
            .expect(200)
            .json();
        let page = list["data"].as_array().expect("data").clone();
        let cursor = list["next_cursor"].as_str().map(str::to_owned);
        if page.is_empty() {
            return (events, cursor.or(after));
        }
        assert!(cursor.is_some(), "next_cursor always: {list:#}");
        after = cursor;
        events.extend(page);
    }
}

async fn the_list_goes_on_where_it_stopped(w: &World) {
    let agent = w.caller("agent", "readers");
    let link = agent.creates(&sale()).await;
    let (events, position) = eventually("both events have a position", async || {
        let read = all_after(&agent, None, 1).await;
        (read.0.len() == 2).then_some(read)
    })
    .await;
    let types: Vec<_> = events.iter().map(|event| event["type"].clone()).collect();
    assert_eq!(types, ["link.created", "link.payable"], "oldest first");
    assert!(position.is_some(), "next_cursor always");
    agent.disables(id(&link)).await.expect(200);
    eventually("the next ones follow the position", async || {
        let (events, _) = all_after(&agent, position.clone(), 100).await;
        events
            .iter()
            .any(|event| event["type"] == "link.disabled")
            .then_some(())
    })
    .await;
}

/// What a stream said: (id, event, data).
pub(super) struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    pub(super) async fn of(caller: &Caller, after: Option<&str>) -> Self {
        let mut call = caller
            .get("/v1/events/stream")
            .header("accept", "text/event-stream");
        if let Some(after) = after {
            call = call.header("last-event-id", after);
        }
        let response = call.open().await;
        assert_eq!(response.status(), 200);
        let kind = response.headers()["content-type"]
            .to_str()
            .expect("a media type");
        assert!(kind.starts_with("text/event-stream"), "{kind}");
        Self {
            response,
            text: String::new(),
        }
    }

    pub(super) async fn next(&mut self) -> (String, String, String) {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| {
                    let mut lines = block
                        .lines()
                        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    let first = lines.next().map(|value| value.trim_start().to_owned());
                    assert!(lines.next().is_none(), "one {name} line: {block}");
                    first
                };
                if let (Some(id), Some(event), Some(data)) =
                    (field("id"), field("event"), field("data"))
                {
                    return (id, event, data);
                }
                // a heartbeat
                continue;
            }
            let wait = std::time::Duration::from_secs(20);
            let chunk = tokio::time::timeout(wait, self.response.chunk())
                .await
                .expect("the stream goes on");
            let chunk = chunk.expect("a chunk").expect("the stream is open");
            self.text
                .push_str(&String::from_utf8_lossy(&chunk).replace("\r\n", "\n"));
        }
    }
}

async fn the_stream_tells_what_happens(w: &World) {
    let agent = w.caller("agent", "live");
    agent.creates(&sale()).await;
    eventually("the past is past", async || {
        (all_after(&agent, None, 100).await.0.len() == 2).then_some(())
    })
    .await;
    let mut stream = Stream::of(&agent, None).await;
    let link = agent.creates(&sale()).await;
    let list = eventually("the list has it too", async || {
        let list = agent
            .get(&format!("/v1/events?link={}", id(&link)))
            .await
            .expect(200);
        (list.json()["data"].as_array().map(Vec::len) == Some(2)).then_some(list)
    })
    .await;
    for kind in ["link.created", "link.payable"] {
        let (position, event, data) = stream.next().await;
        assert_eq!(event, kind, "without Last-Event-ID from now");
        let told: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!((&told["type"], &told["link"]), (&json!(kind), &link["id"]));
        assert!(
            list.text().contains(&data),
            "the same bytes: {data} is not in {}",
            list.text()
        );
        assert_ne!(position, id(&told), "a position is no event id");
        super::harness::law::nothing_personal("the stream", &data);
    }
}

async fn the_stream_goes_on_where_it_broke(w: &World) {
    let agent = w.caller("agent", "broken");
    let mut stream = Stream::of(&agent, None).await;
    let first = agent.creates(&sale()).await;
    let (position, ..) = stream.next().await;
    drop(stream);
    let second = agent.creates(&sale()).await;
    let mut stream = Stream::of(&agent, Some(&position)).await;
    let mut told = Vec::new();
    for _ in 0..3 {
        let (_, event, data) = stream.next().await;
        let data: Value = serde_json::from_str(&data).expect("JSON");
        told.push((event, data["link"].clone()));
    }
    let said = |event: &str, link: &Value| (event.to_owned(), link["id"].clone());
    assert_eq!(
        told,
        [
            said("link.payable", &first),
            said("link.created", &second),
            said("link.payable", &second)
        ]
    );
    // the list takes the same string
    let (events, _) = all_after(&agent, Some(position), 100).await;
    assert_eq!(events.len(), 3);
}

async fn a_position_that_is_not_there_is_gone(w: &World) {
    let agent = w.agent();
    let (_, head) = all_after(&agent, None, 100).await;
    // positions are opaque; one above the head is made by letting another world's be unknown here
    let head = head.expect("a position");
    if let Ok(number) = head.parse::<u64>() {
        let above = (number + 1_000_000).to_string();
        agent
            .get(&format!("/v1/events?after={above}"))
            .await
            .problem(410, "gone");
        agent
            .get("/v1/events/stream")
            .header("last-event-id", &above)
            .await
            .problem(410, "gone");
    }
}

async fn filters_choose_events(w: &World) {
    let agent = w.caller("agent", "chooser");
    let one = agent.creates(&sale()).await;
    agent.creates(&sale()).await;
    eventually("all four are there", async || {
        (all_after(&agent, None, 100).await.0.len() == 4).then_some(())
    })
    .await;
    let list = agent
        .get("/v1/events?type=link.payable")
        .await
        .expect(200)
        .json();
    let types: Vec<_> = list["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(types, ["link.payable", "link.payable"]);
    let list = agent
        .get(&format!("/v1/events?link={}", id(&one)))
        .await
        .expect(200)
        .json();
    assert!(
        list["data"]
            .as_array()
            .expect("data")
            .iter()
            .all(|event| event["link"] == one["id"])
    );
    for (query, parameter) in [("limit=0", "limit"), ("colour=red", "colour")] {
        let problem = agent
            .get(&format!("/v1/events?{query}"))
            .await
            .problem(422, "validation_failed");
        assert_eq!(problem["errors"][0]["parameter"], parameter);
    }
}

async fn stores_hear_only_their_own(w: &World) {
    let (here, there) = (w.caller("agent", "here"), w.caller("agent", "there"));
    let mut stream = Stream::of(&here, None).await;
    let (foreign, own) = (there.creates(&sale()).await, here.creates(&sale()).await);
    for _ in 0..2 {
        let (.., data) = stream.next().await;
        let data: Value = serde_json::from_str(&data).expect("JSON");
        assert_eq!(data["link"], own["id"]);
    }
    let (events, _) = all_after(&here, None, 100).await;
    assert!(events.iter().all(|event| event["link"] != foreign["id"]));
    eventually("an administrator hears all", async || {
        let (events, _) = all_after(&w.admin(), None, 100).await;
        let heard = |link: &Value| events.iter().any(|event| event["link"] == link["id"]);
        (heard(&foreign) && heard(&own)).then_some(())
    })
    .await;
}
