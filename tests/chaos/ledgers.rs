//! What everybody outside of the service wrote down, and the two laws that it is held against:
//! what was acknowledged ends in a state with a reason, and nothing happened twice. The ledgers are
//! the clients' ([`Ledger`]), Klarna's (the simulator's orders and sessions), the SMS gateway's
//! and the mail server's; the service's own books are only compared with them.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::fleet::{Fleet, integrity};
use super::table::Run;

/// A lease, and what the issue grants on top of it.
const LEASE: Duration = Duration::from_secs(60 + 5);
/// How long a payment may stay unnoticed where its callback was lost: a young link is read every
/// 15 s, and the job that reads it may be leased to the dead.
const NOTICED: Duration = Duration::from_secs(60 + 15 + 5);

/// What the clients hold in their hands.
#[derive(Default)]
pub struct Ledger(Mutex<Book>);

#[derive(Default)]
pub struct Book {
    /// By reference: what was asked for, under which key, and which link was named.
    pub wanted: HashMap<String, Wanted>,
    /// Every acknowledged link.
    pub links: Vec<String>,
    /// Whose disabling was acknowledged.
    pub disabled: HashSet<String>,
    /// Whose buyer was told by Klarna that they have paid.
    pub paid: HashSet<String>,
    /// Every URL that anybody was shown for a link.
    pub urls: HashMap<String, HashSet<String>>,
    pub cut: u64,
    pub put_off: u64,
    pub done: u64,
    pub wrong: Vec<String>,
}

#[derive(Clone)]
pub struct Wanted {
    pub key: String,
    pub body: Value,
    pub link: Option<String>,
}

impl Ledger {
    pub fn with<T>(&self, work: impl FnOnce(&mut Book) -> T) -> T {
        work(&mut self.0.lock().unwrap())
    }
}

impl Book {
    /// A create was answered with a link.
    pub fn promised(&mut self, reference: &str, link: &Value) {
        let id = link["id"].as_str().unwrap_or_default().to_owned();
        let wanted = self.wanted.get_mut(reference).expect("it was asked for");
        match &wanted.link {
            Some(known) if *known != id => {
                let what = format!("{reference}: one key was answered {known} and {id}");
                self.wrong.push(what);
            }
            Some(_) => {}
            None => {
                wanted.link = Some(id.clone());
                self.links.push(id.clone());
            }
        }
        self.shown(&id, link);
    }

    /// Somebody saw the link's page.
    pub fn shown(&mut self, id: &str, link: &Value) {
        if let Some(url) = link["url"].as_str() {
            let urls = self.urls.entry(id.to_owned()).or_default();
            urls.insert(url.to_owned());
        }
    }

    /// What was never answered.
    pub fn unanswered(&self) -> Vec<(String, Wanted)> {
        let open = self.wanted.iter().filter(|(_, it)| it.link.is_none());
        open.map(|(reference, it)| (reference.clone(), it.clone()))
            .collect()
    }
}

/// Waits until nothing is under way any more, at most as long as the law allows, and says how long
/// that took.
pub async fn settle(run: &mut Run, fleet: &Fleet, ledger: &Ledger) {
    let begun = Instant::now();
    let moving = "SELECT (SELECT count(*) FROM delivery WHERE status IN ('queued', 'sending')) \
                  + (SELECT count(*) FROM link WHERE status IN ('creating', 'disabling')) AS n";
    let mut left = fleet.number(moving).await;
    while left > 0 && begun.elapsed() < LEASE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        left = fleet.number(moving).await;
    }
    run.measured(
        "all work resumed after",
        format!("{:.1} s", begun.elapsed().as_secs_f32()),
    );
    run.holds(left == 0, || {
        format!("{left} links or deliveries stand still {LEASE:?} after the last fault")
    });
    let paid = ledger.with(|book| book.paid.len());
    let completed = "SELECT count(*) AS n FROM link WHERE status = 'completed'";
    while begun.elapsed() < NOTICED {
        let seen = fleet.number(completed).await;
        if usize::try_from(seen).is_ok_and(|seen| seen >= paid) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Holds all ledgers against the laws, while the service runs. The clients have repeated what was
/// cut, and everything is healed.
pub async fn compare(run: &mut Run, fleet: &Fleet, ledger: &Ledger) {
    let links = links(fleet).await;
    let sessions = fleet.world.klarna.sessions().await;
    let orders = fleet.world.klarna.orders().await;
    ledger.with(|book| {
        run.count("requests acknowledged", book.done);
        run.count("cut", book.cut);
        run.count("links", links.len());
        for what in std::mem::take(&mut book.wrong) {
            run.violated(what);
        }
        promises(run, book, &links);
        pairs(run, book, &links, &sessions, &orders);
    });
    messages(run, fleet, ledger, &links);
    timelines(run, fleet, &links).await;
}

/// Ends the processes, and looks at what they leave behind.
pub async fn leave(run: &mut Run, fleet: &Fleet) {
    fleet.stop();
    for what in fleet.broken() {
        run.violated(what);
    }
    let held = "SELECT count(*) AS n FROM job WHERE owner IS NOT NULL";
    let held = fleet.number(held).await;
    run.holds(held == 0, || {
        format!("{held} jobs are held by processes that have ended")
    });
    let parked = "SELECT count(*) AS n FROM job WHERE parked";
    let parked = fleet.number(parked).await;
    run.holds(parked == 0, || format!("{parked} jobs are parked"));
    let file = fleet.world.path("paylink.db");
    if file.exists() {
        let said = integrity(&file);
        run.holds(said == "ok", || format!("integrity_check: {said}"));
    }
}

/// Every link of the service, by id.
async fn links(fleet: &Fleet) -> HashMap<String, Value> {
    let mut links = HashMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/links?limit=100{cursor}");
        let page = fleet.caller(0).get(&path).revealing();
        let page = page.await.expect(200).json();
        for link in page["data"].as_array().expect("a list") {
            let id = link["id"].as_str().expect("an id").to_owned();
            links.insert(id, link.clone());
        }
        match page["next_cursor"].as_str() {
            Some(next) if page["has_more"] == true => cursor = format!("&cursor={next}"),
            _ => return links,
        }
    }
}

/// The clients' ledger: each acknowledged link is there, once, and its state can be explained.
fn promises(run: &mut Run, book: &Book, links: &HashMap<String, Value>) {
    let mut by_reference: HashMap<&str, Vec<&str>> = HashMap::new();
    for (id, link) in links {
        let reference = link["reference"].as_str().unwrap_or_default();
        by_reference.entry(reference).or_default().push(id);
    }
    for (reference, wanted) in &book.wanted {
        let Some(promised) = &wanted.link else {
            run.violated(format!(
                "{reference}: never answered, though all was healed"
            ));
            continue;
        };
        let there = by_reference.remove(reference.as_str()).unwrap_or_default();
        run.holds(there == [promised.as_str()], || {
            format!("{reference}: acknowledged as {promised}, the service has {there:?}")
        });
    }
    for (reference, there) in by_reference {
        run.violated(format!("{reference}: nobody asked for {there:?}"));
    }
    for id in &book.links {
        let Some(link) = links.get(id) else { continue };
        let status = link["status"].as_str().unwrap_or_default();
        let (paid, disabled) = (book.paid.contains(id), book.disabled.contains(id));
        let explained = match status {
            "open" => !paid && !disabled && link["payable"] == true,
            "completed" => paid,
            "disabled" => !paid && link["closing_reason"] == "customer_request",
            "failed" => !link["failure"].is_null(),
            _ => false,
        };
        run.holds(explained, || {
            format!("{id} is {status}; paid: {paid}, disabling acknowledged: {disabled}")
        });
        run.count(status, 1u8);
    }
}

/// Klarna's ledger: one pair that anybody saw, no payment without a buyer, none unnoticed.
fn pairs(
    run: &mut Run,
    book: &mut Book,
    links: &HashMap<String, Value>,
    sessions: &[Value],
    orders: &[Value],
) {
    let of_order: HashMap<&str, &str> = orders
        .iter()
        .filter_map(|it| {
            Some((
                it["order_id"].as_str()?,
                it["merchant_reference2"].as_str()?,
            ))
        })
        .collect();
    let (mut live, mut strays): (HashMap<&str, u32>, u32) = (HashMap::new(), 0);
    for session in sessions {
        let order = session["order_id"].as_str().unwrap_or_default();
        let Some(link) = of_order.get(order).and_then(|id| links.get(*id)) else {
            run.violated(format!("Klarna has a session of no link: order {order}"));
            continue;
        };
        let id = link["id"].as_str().unwrap_or_default();
        let url = session["redirect_url"].as_str().unwrap_or_default();
        let is_ours = session["session_id"] == link["klarna"]["session_id"];
        let was_shown = book.urls.get(id).is_some_and(|urls| urls.contains(url));
        if !is_ours {
            strays += 1;
            run.holds(!was_shown, || format!("{id}: a stray page was shown"));
        }
        let status = session["status"].as_str().unwrap_or_default();
        if matches!(status, "WAITING" | "IN_PROGRESS" | "BACK") && (is_ours || was_shown) {
            *live.entry(id).or_default() += 1;
        }
        if status == "COMPLETED" {
            run.holds(link["status"] == "completed", || {
                format!("{id} is paid at Klarna and {} here", link["status"])
            });
        }
    }
    run.count("strays", strays);
    for (id, count) in live {
        run.holds(count == 1, || format!("{id}: {count} live pairs"));
        let status = &links[id]["status"];
        run.holds(status == "open", || {
            format!("{id} is {status}, its page can still be paid")
        });
    }
    for (id, urls) in &book.urls {
        run.holds(urls.len() == 1, || {
            format!("{id}: shown {} pages", urls.len())
        });
    }
}

/// The gateways' ledgers: each message at most once, and what we say of it is so.
fn messages(run: &mut Run, fleet: &Fleet, ledger: &Ledger, links: &HashMap<String, Value>) {
    let mut accepted: HashMap<String, u32> = HashMap::new();
    let (sms, mails) = (fleet.world.sms.all(), fleet.world.mail.all());
    for message in &sms {
        let id = message.body["id"].as_str().unwrap_or_default();
        *accepted.entry(id.to_owned()).or_default() += 1;
    }
    for mail in mails.iter().filter(|mail| mail.accepted) {
        let id = mail.header("message-id").unwrap_or_default();
        let id = id.trim_start_matches('<').split('@').next();
        let id = id.unwrap_or_default().to_owned();
        *accepted.entry(id).or_default() += 1;
    }
    run.count("SMS", sms.len());
    run.count("mails", mails.len());
    let mut promised = 0;
    for link in links.values() {
        let deliveries = link["deliveries"].as_array();
        for delivery in deliveries.into_iter().flatten() {
            let id = delivery["id"].as_str().unwrap_or_default();
            let status = delivery["status"].as_str().unwrap_or_default();
            let arrived = accepted.remove(id).unwrap_or(0);
            promised += 1;
            let right = match status {
                "sent" | "delivered" => arrived == 1,
                "unknown" => arrived <= 1,
                "skipped" | "failed" => arrived == 0,
                _ => false,
            };
            run.holds(right, || {
                format!("{id} is {status}, and arrived {arrived} times")
            });
            if status == "unknown" {
                run.count("unknown deliveries", 1u8);
            }
        }
    }
    for (id, count) in accepted {
        run.violated(format!(
            "{count} messages of {id}, which the service doesn't have"
        ));
    }
    let wanted: usize = ledger.with(|book| {
        let each = book.wanted.values().filter(|it| it.link.is_some());
        each.map(|it| it.body["send"].as_array().map_or(0, Vec::len))
            .sum()
    });
    run.holds(promised == wanted, || {
        format!("{wanted} messages were accepted, the service has {promised}")
    });
}

fn rank(status: &str) -> u8 {
    match status {
        "creating" => 0,
        "open" => 1,
        "disabling" => 2,
        "completed" => 4,
        _ => 3,
    }
}

/// The stream of everything: each link's events are numbered without a gap, in their order, and
/// its states climb.
async fn timelines(run: &mut Run, fleet: &Fleet, links: &HashMap<String, Value>) {
    let mut last: HashMap<String, (u64, String)> = HashMap::new();
    let mut ids = HashSet::new();
    let mut after = String::new();
    loop {
        let path = format!("/v1/events?limit=100{after}");
        let page = fleet.caller(0).get(&path).revealing();
        let page = page.await.expect(200).json();
        let events = page["data"].as_array().expect("a list");
        for event in events {
            let Some(link) = event["link"].as_str() else {
                continue;
            };
            let id = event["id"].as_str().unwrap_or_default().to_owned();
            run.holds(ids.insert(id.clone()), || {
                format!("{id} is twice in the stream")
            });
            let sequence = event["sequence"].as_u64().unwrap_or_default();
            let status = event["data"]["link"]["status"].as_str().unwrap_or_default();
            let (before, was) = last
                .get(link)
                .map_or((0, "creating"), |(n, status)| (*n, status.as_str()));
            run.holds(sequence == before + 1, || {
                format!("{link}: event {sequence} comes after {before}")
            });
            let climbs = rank(status) > rank(was) || status == was;
            run.holds(climbs, || {
                format!("{link}: from {was} to {status} in event {sequence}")
            });
            last.insert(link.to_owned(), (sequence, status.to_owned()));
        }
        run.count("events", events.len());
        if page["has_more"] != true {
            break;
        }
        let next = page["next_cursor"].as_str().expect("a cursor");
        after = format!("&after={next}");
    }
    for (id, link) in links {
        let told = last.get(id).map_or("nothing", |(_, status)| status);
        run.holds(link["status"] == told, || {
            format!("{id} is {}, its last event says {told}", link["status"])
        });
    }
}
