//! What became of a step: on our side, on the other side, and whether a law was broken.

use std::fmt;

use serde_json::Value;

use super::super::super::patient;
use super::super::{Ill, Step};
use super::{Begun, LONGEST, Scene, status};
use crate::outside::harness::world::id;

/// What a person can read in the table.
pub struct Cell {
    pub step: Step,
    pub ill: Ill,
    pub saw: String,
    /// The answer came when the service's patience with Klarna was over: on a machine that has no
    /// time, also where nobody was slow on purpose.
    pub late: bool,
    pub became: String,
    /// How often the other side did it (accepted the message, made the capture); where it matters.
    pub times: Option<usize>,
    /// Broken laws that are no matter of a cell's expectation.
    pub broken: Vec<String>,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let late = if self.late { " (late)" } else { "" };
        write!(f, "{}{late} → {}", self.saw, self.became)?;
        match self.times {
            Some(times) => write!(f, " ({times})"),
            None => Ok(()),
        }
    }
}

impl Begun {
    /// Waits for the end, and looks at both sides.
    pub async fn ends(self, scene: &Scene) -> Cell {
        let (became, times) = match self.step {
            Step::CreateOrder | Step::CreateSession => {
                (self.settles(scene, &["open", "failed"]).await, None)
            }
            Step::ReadSession => (self.settles(scene, &["completed"]).await, None),
            Step::Disable => {
                let ends = ["disabled", "expired", "completed"];
                (self.settles(scene, &ends).await, None)
            }
            Step::Abort => (self.aborts(scene).await, None),
            Step::ReadPayment => {
                let seen = self.payment(scene, "remaining_amount", 50_000).await;
                let known =
                    seen.and_then(|link| link["payment"]["status"].as_str().map(str::to_owned));
                (known.unwrap_or_else(|| "unread".to_owned()), None)
            }
            Step::Acknowledge => {
                let limit = if self.ill == Ill::S400 { 5 } else { LONGEST };
                let told = scene.sees(limit, async || {
                    let order = scene
                        .world
                        .klarna
                        .one_order(&self.link["klarna"]["order_id"])
                        .await;
                    (order["acknowledged"] == true).then_some(())
                });
                let word = told.await.map_or("not told", |()| "told");
                (word.to_owned(), None)
            }
            Step::Capture => self.booked(scene, "captures").await,
            Step::Refund => self.booked(scene, "refunds").await,
            _ => self.left(scene).await,
        };
        let mut broken = self.laws(scene).await;
        if let (Some(rule), 1..) = (self.rule, self.meets)
            && self.proxy(scene).disarm(rule)
        {
            broken.push("its fault met no request".to_owned());
        }
        Cell {
            step: self.step,
            ill: self.ill,
            saw: self.saw,
            late: self.late,
            became,
            times,
            broken,
        }
    }

    async fn settles(&self, scene: &Scene, ends: &[&str]) -> String {
        let mut last = String::new();
        scene
            .sees(LONGEST, async || {
                let link = patient::link(&scene.agent, id(&self.link)).await;
                status(&link).clone_into(&mut last);
                ends.contains(&last.as_str()).then_some(())
            })
            .await;
        last
    }

    async fn aborts(&self, scene: &Scene) -> String {
        // a 404 says that there is nothing to abort: nobody tries again
        let limit = if self.ill == Ill::S404 { 5 } else { LONGEST };
        let mut last = String::new();
        scene
            .sees(limit, async || {
                let order = scene
                    .world
                    .klarna
                    .one_order(&self.link["klarna"]["order_id"])
                    .await;
                status(&order).clone_into(&mut last);
                (last == "aborted").then_some(())
            })
            .await;
        last
    }

    async fn booked(&self, scene: &Scene, what: &str) -> (String, Option<usize>) {
        let path = format!("/v1/links/{}/{what}", id(&self.link));
        let mut last = String::new();
        scene
            .sees(LONGEST, async || {
                let all = patient::get(&scene.agent, &path).await;
                let ours = all["data"].as_array().expect("a list");
                let mine = ours.iter().find(|one| one["amount"] == 20_000);
                mine.map_or("none", status).clone_into(&mut last);
                (last != "pending").then_some(())
            })
            .await;
        let om = scene
            .world
            .klarna
            .one_order(&self.link["klarna"]["order_id"])
            .await["om"]
            .clone();
        let amount = if what == "captures" {
            "captured_amount"
        } else {
            "refunded_amount"
        };
        let theirs = om[what].as_array().map_or(0, |all| {
            let mine = |one: &&Value| one[amount] == 20_000;
            all.iter().filter(mine).count()
        });
        (last, Some(theirs))
    }

    async fn left(&self, scene: &Scene) -> (String, Option<usize>) {
        let mut last = String::new();
        scene
            .sees(LONGEST, async || {
                let now = self.delivery(scene).await;
                status(&now).clone_into(&mut last);
                (!["queued", "sending"].contains(&last.as_str())).then_some(())
            })
            .await;
        let accepted = if self.step == Step::Sms {
            scene.world.sms.to(&self.to).len()
        } else {
            let mails = scene.world.mail.to(&self.to);
            mails.iter().filter(|mail| mail.accepted).count()
        };
        (last, Some(accepted))
    }

    /// What holds whatever the fault was.
    async fn laws(&self, scene: &Scene) -> Vec<String> {
        let mut broken = Vec::new();
        let link = patient::link(&scene.agent, id(&self.link)).await;
        let mut law = |holds: bool, what: String| {
            if !holds {
                broken.push(what);
            }
        };
        if let Some(url) = link["url"].as_str() {
            let session = &link["klarna"]["session_id"];
            let session = scene.world.klarna.one_session(session).await;
            law(
                session["redirect_url"] == url,
                format!(
                    "shown {url}, but its session has {}",
                    session["redirect_url"]
                ),
            );
        }
        let order = &link["klarna"]["order_id"];
        if status(&link) == "completed" && order.is_string() {
            let order = scene.world.klarna.one_order(order).await;
            law(
                order["om"].is_object(),
                format!("completed, but Klarna has no payment: {}", order["status"]),
            );
        }
        // two pages at once that anybody was shown: every address in the link's history is one
        let timeline = patient::timeline(&scene.agent, id(&link)).await;
        let mut shown: Vec<_> = timeline
            .iter()
            .filter_map(|event| event["data"]["link"]["url"].as_str().map(str::to_owned))
            .collect();
        shown.sort();
        shown.dedup();
        law(shown.len() <= 1, format!("two pages were shown: {shown:?}"));
        broken
    }
}
