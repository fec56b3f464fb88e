//! Links created: by one client, to see what paylink adds to Klarna's time, and by many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::Fallible;
use super::figures::{per_second, quantile, rate};
use super::process::Process;
use super::upstream::Upstream;

/// Of one client, after a tenth of it to warm up.
const TURNS: usize = 400;
/// Of many clients: so often both sides, in turn.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);

/// A shop's side: it creates links with ever new references and idempotency keys.
#[derive(Clone)]
pub struct Shop {
    http: reqwest::Client,
    address: String,
    key: String,
    sold: Arc<AtomicU64>,
}

impl Shop {
    pub fn new(http: reqwest::Client, service: &Process) -> Self {
        Self {
            http,
            address: format!("{}/v1/links", service.url),
            key: service.key.clone(),
            sold: Arc::default(),
        }
    }

    /// One link, which must be payable in the answer.
    pub async fn create(&self) -> Fallible<()> {
        let reference = format!("SO-{}", self.sold.fetch_add(1, Ordering::Relaxed));
        let sale = json!({
            "reference": reference,
            "use_case": "telesales",
            "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
            "order_lines": [{
                "type": "physical", "reference": "19-402-USA", "name": "Red T-Shirt",
                "quantity": 5, "quantity_unit": "pcs", "unit_price": 10_000, "tax_rate": 1_000,
                "total_amount": 50_000, "total_tax_amount": 4_545
            }],
            "order_amount": 50_000, "order_tax_amount": 4_545,
            "billing_address": {
                "given_name": "Jo", "family_name": "Bloggs",
                "email": "jo@example.com", "phone": "+447700900123", "country": "GB"
            }
        });
        let request = self
            .http
            .post(&self.address)
            .bearer_auth(&self.key)
            .header("idempotency-key", reference)
            .json(&sale);
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await?;
        if status == 201 {
            Ok(())
        } else {
            Err(format!(
                "a create answered {status}: {}",
                String::from_utf8_lossy(&body)
            )
            .into())
        }
    }
}

/// What one client sees, seconds.
pub struct Alone {
    pub upstream_p50: f64,
    pub added_p50: f64,
    pub added_p99: f64,
}

/// Both sides one after the other, so that whatever else the machine does meets both.
pub async fn one_client(shop: &Shop, upstream: &Upstream) -> Fallible<Alone> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for turn in 0..TURNS + TURNS / 10 {
        let begun = Instant::now();
        upstream.pair().await?;
        let between = Instant::now();
        shop.create().await?;
        if turn >= TURNS / 10 {
            with.push(between.elapsed().as_secs_f64());
            without.push((between - begun).as_secs_f64());
        }
    }
    let upstream_p50 = quantile(&mut without, 0.5);
    Ok(Alone {
        upstream_p50,
        added_p50: quantile(&mut with, 0.5) - upstream_p50,
        added_p99: quantile(&mut with, 0.99) - upstream_p50,
    })
}

/// What many clients see, per second.
pub struct Busy {
    pub creates: f64,
    upstream: f64,
    /// The most memory that was seen, KiB.
    pub resident: u64,
}

impl Busy {
    pub fn ratio(&self) -> String {
        let share = self.creates / self.upstream * 100.0;
        format!(
            "{share:.0} % of the two calls alone, {}",
            rate(self.upstream)
        )
    }
}

pub async fn many_clients(
    shop: &Shop,
    upstream: &Upstream,
    service: &Process,
    clients: usize,
) -> Fallible<Busy> {
    let (mut creates, mut alone, mut resident) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let upstream = upstream.clone();
        alone.push(round(clients, move || pair(upstream.clone())).await?);
        let shop = shop.clone();
        creates.push(round(clients, move || sell(shop.clone())).await?);
        resident = resident.max(service.resident()?);
    }
    Ok(Busy {
        creates: quantile(&mut creates, 0.5),
        upstream: quantile(&mut alone, 0.5),
        resident,
    })
}

async fn pair(upstream: Upstream) -> Result<(), String> {
    upstream.pair().await.map_err(|error| error.to_string())
}

async fn sell(shop: Shop) -> Result<(), String> {
    shop.create().await.map_err(|error| error.to_string())
}

/// How often per second `clients` at a time get one of `deed` done.
async fn round<F>(clients: usize, deed: impl Fn() -> F + Clone + Send + 'static) -> Fallible<f64>
where
    F: Future<Output = Result<(), String>> + Send + 'static,
{
    let begun = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let deed = deed.clone();
            tokio::spawn(async move {
                let mut done = 0;
                while begun.elapsed() < ROUND {
                    deed().await?;
                    done += 1;
                }
                Ok::<usize, String>(done)
            })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    Ok(per_second(done, begun.elapsed()))
}
