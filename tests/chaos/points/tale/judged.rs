//! The laws, held against a tale that was told.

use super::*;
use crate::outside::harness::mail::Mail;

impl Tale<'_> {
    /// Holds the laws against a tale that is told; what is broken.
    pub async fn judged(self) -> Vec<String> {
        let link = self.known.lock().unwrap().link.clone();
        match link {
            Some(id) => {
                if let Err(stop) = self.is_judged(&id).await {
                    self.wrong(format!("{stop:?}"));
                }
            }
            None => self.wrong("it has no link"),
        }
        self.known.into_inner().unwrap().wrong
    }

    async fn is_judged(&self, id: &str) -> Result<(), Stop> {
        self.nothing_is_left(id).await?;
        let link = self.gets(&format!("/v1/links/{id}")).await?;
        self.sees(&link);
        let told = self.gets(&format!("/v1/links/{id}/events")).await?;
        let told: Vec<_> = told["data"].as_array().cloned().unwrap_or_default();
        self.messages_left_once(&link, &told);
        for (place, event) in (1..).zip(&told) {
            self.holds(event["sequence"] == place, || {
                format!("its event {place} has the sequence {}", event["sequence"])
            });
        }
        // the stream has each of them once, in the same order
        let path = format!("/v1/events?link={id}&limit=100");
        let begun = Instant::now();
        let ids = |list: &[Value]| {
            list.iter()
                .map(|it| text(it, "id").to_owned())
                .collect::<Vec<_>>()
        };
        loop {
            let stream = self.gets(&path).await?["data"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            if ids(&stream) == ids(&told) {
                break;
            }
            if begun.elapsed() > Duration::from_secs(5) {
                self.wrong(format!(
                    "its stream is {:?} and its timeline {:?}",
                    ids(&stream),
                    ids(&told)
                ));
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let finals = [
            "link.completed",
            "link.disabled",
            "link.expired",
            "link.failed",
            "link.cancelled",
            "link.payable",
            "payment.captured",
        ];
        for kind in finals {
            let count = told.iter().filter(|it| it["type"] == kind).count();
            self.holds(count <= 1, || format!("{kind} was told {count} times"));
        }
        if self.scene == Scene::Closing {
            let calls = self
                .place
                .world
                .klarna
                .calls_of("abort_order", text(&link["klarna"], "order_id"))
                .await;
            self.holds(!calls.is_empty(), || {
                "its order was never aborted".to_owned()
            });
        }
        if self.scene == Scene::Sale {
            let om = &self.place.world.klarna.order(&link).await["om"];
            let captures = om["captures"].as_array().map_or(0, Vec::len);
            self.holds(captures == 1 && om["captured_amount"] == 50_000, || {
                format!(
                    "klarna's books have {captures} captures of {} in all",
                    om["captured_amount"]
                )
            });
        }
        Ok(())
    }

    /// No job is left but those that wait for a moment to come.
    async fn nothing_is_left(&self, id: &str) -> Result<(), Stop> {
        let begun = Instant::now();
        let left = format!(
            "SELECT count(*) AS it FROM job WHERE link = '{id}' \
             AND (kind NOT IN ('watch', 'expire', 'remind') OR parked)"
        );
        while self.place.number(&left).await > 0 {
            if begun.elapsed() > LONG {
                return Err(Stop::Wrong(format!("{id} has jobs that never end")));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// The law: at most one accepted message for each delivery, exactly one where we say so.
    fn messages_left_once(&self, link: &Value, told: &[Value]) {
        let world = &self.place.world;
        let url = self.known.lock().unwrap().url.clone().unwrap_or_default();
        for delivery in link["deliveries"].as_array().into_iter().flatten() {
            let (channel, status) = (text(delivery, "channel"), text(delivery, "status"));
            let texts: Vec<String> = if channel == "sms" {
                // numbers for fiction are few: another tale may have drawn the same
                let ours = format!(" {} ", self.reference);
                let texts = world.sms.to(&self.phone);
                texts
                    .iter()
                    .map(|it| text(&it.body, "text").to_owned())
                    .filter(|text| text.contains(&ours))
                    .collect()
            } else {
                let mails = world.mail.to(&self.email);
                mails
                    .iter()
                    .filter(|it| it.accepted)
                    .map(Mail::plain)
                    .collect()
            };
            let may = match status {
                "sent" => 1..=1,
                "unknown" => 0..=1,
                "skipped" | "failed" => 0..=0,
                _ => {
                    self.wrong(format!("its {channel} is {status}"));
                    0..=1
                }
            };
            self.holds(may.contains(&texts.len()), || {
                format!(
                    "its {channel} is {status}, and {} were accepted",
                    texts.len()
                )
            });
            self.holds(texts.iter().all(|it| it.contains(&url)), || {
                format!("its {channel} does not lead to {url}: {texts:?}")
            });
            let outcomes: BTreeSet<_> = [
                "delivery.sent",
                "delivery.unknown",
                "delivery.failed",
                "delivery.skipped",
            ]
            .into();
            let outcomes = told.iter().filter(|it| {
                outcomes.contains(text(it, "type"))
                    && it["data"]["delivery"]["id"] == delivery["id"]
            });
            let outcomes: Vec<_> = outcomes.map(|it| text(it, "type")).collect();
            self.holds(outcomes == [format!("delivery.{status}")], || {
                format!("its {channel} is {status}, and {outcomes:?} was told")
            });
        }
    }
}
