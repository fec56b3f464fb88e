//! A shop in one process: the service, Klarna's simulator, and one clock that both look at, moved
//! by hand. The background work runs when a test says so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use jiff::SignedDuration;
use paylink::access::{ApiKey, NewKey, Role};
use paylink::cli::{self, Options, Service};
use paylink::clock::Clock;
use paylink::config::Config;
use paylink::link::OperationKind;
use paylink::random::Random;
use paylink::store::StoreError;
use paylink::{simulator, worker};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

pub struct Shop {
    service: Service,
    klarna: simulator::Running,
    clock: Clock,
    http: reqwest::Client,
    key: String,
    api: String,
    folder: PathBuf,
    sold: std::sync::atomic::AtomicU32,
}

impl Shop {
    pub async fn opens() -> Self {
        let folder =
            std::env::temp_dir().join(format!("paylink-ledger-{}", Random::os().uuid().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let clock = Clock::manual("2026-11-24T09:00:00Z".parse().unwrap());
        let klarna = simulator::start(
            simulator::Settings {
                listen: ANY,
                username: "sim".into(),
                password: "sim".into(),
                callback_delay_scale: 0.0,
                public_base: None,
            },
            clock.clone(),
            Random::os(),
        )
        .unwrap();
        let settings: HashMap<&str, String> = HashMap::from([
            ("PAYLINK_LISTEN", "127.0.0.1:0".into()),
            ("PAYLINK_ALLOW_SIMULATOR", "1".into()),
            (
                "DATABASE_URL",
                format!("sqlite://{}", folder.join("shop.db").display()),
            ),
            (
                "PAYLINK_SECRET",
                "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=".into(),
            ),
            ("KLARNA_API_URL", klarna.url().to_owned()),
            ("KLARNA_USERNAME", "sim".into()),
            ("KLARNA_PASSWORD", "sim".into()),
            ("MERCHANT_NAME", "Acme Shop".into()),
            (
                "MERCHANT_TERMS_URL",
                "https://shop.example.com/terms".into(),
            ),
        ]);
        let config = Config::from_env(&|name| settings.get(name).cloned()).unwrap();
        let options = Options {
            worker: false,
            migrate: true,
        };
        let service = cli::start(config, clock.clone(), Random::os(), options)
            .await
            .unwrap();
        let house = service.house();
        let new = NewKey {
            name: "crm".into(),
            role: Role::Integrator,
            store: paylink::access::DEFAULT_STORE.into(),
            mode: house.settings.mode,
            expires_at: None,
        };
        let (key, secret) = ApiKey::mint(new, &house.vault, clock.now(), &house.random);
        house
            .store
            .write(move |tx| tx.insert_key(&key))
            .await
            .unwrap();
        Self {
            api: format!("http://{}", service.addr()),
            key: secret.expose_secret().to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            service,
            klarna,
            clock,
            folder,
            sold: std::sync::atomic::AtomicU32::new(0),
        }
    }

    pub async fn closes(self) {
        self.service.stop().await;
        self.klarna.stop().await;
        std::fs::remove_dir_all(&self.folder).unwrap();
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self
            .http
            .post(format!("{}{path}", self.api))
            .bearer_auth(&self.key)
            .json(body)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (status, answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.api));
        let answer = request.bearer_auth(&self.key).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    async fn control(&self, path: &str, body: &Value) {
        let request = self.http.post(format!("{}{path}", self.klarna.url()));
        let answer = request.json(body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }

    /// A link over `amount` that its buyer has paid, with its payment known.
    pub async fn sells(&self, amount: i64) -> Value {
        let link = self.offers("telesales", amount).await;
        self.is_paid(link).await
    }

    /// The same at the counter, while Klarna still checks the buyer.
    pub async fn sells_in_store(&self, amount: i64) -> Value {
        let link = self.offers("in_store", amount).await;
        self.klarna_decides(&link, "PENDING").await;
        self.is_paid(link).await
    }

    /// A link that is payable.
    pub async fn offers(&self, use_case: &str, amount: i64) -> Value {
        self.klarna_mends().await;
        let number = self.sold.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sale = json!({
            "reference": format!("SO-{number}"), "use_case": use_case,
            "purchase_country": "GB", "purchase_currency": "GBP", "locale": "en-GB",
            "order_lines": [{"name": "Red T-Shirt", "quantity": 1, "unit_price": amount, "tax_rate": 0}],
        });
        let (status, link) = self.post("/v1/links", &sale).await;
        // a breaker that the last sale left open is closed by the time that passes
        if status == 202 {
            self.passes(600);
            self.works().await;
        }
        let link = self.link(&link).await;
        assert_eq!(link["status"], "open", "{link}");
        link
    }

    async fn is_paid(&self, link: Value) -> Value {
        let session = link["klarna"]["session_id"].as_str().unwrap();
        let act = format!("/_sim/sessions/{session}/act");
        self.control(&act, &json!({"act": "pay"})).await;
        self.refreshes(&link).await;
        self.works().await;
        let link = self.link(&link).await;
        assert!(link["payment"]["remaining_amount"].is_i64(), "{link}");
        link
    }

    /// The buyer pays, and the service has answered the callback about it.
    pub async fn buyer_pays_and_klarna_calls(&self, link: &Value) {
        let session = link["klarna"]["session_id"].as_str().unwrap();
        let path = format!("/_sim/sessions/{session}");
        self.control(&format!("{path}/act"), &json!({"act": "pay"}))
            .await;
        let called = |session: &Value| {
            let calls = session["callbacks"].as_array().unwrap();
            calls
                .iter()
                .any(|call| call["status"] == "COMPLETED" && call["answer"] == 204)
        };
        while !called(&self.klarna_shows(&path).await) {}
    }

    /// How often Klarna was asked about the session of a link.
    pub async fn reads_of(&self, link: &Value) -> usize {
        let session = link["klarna"]["session_id"].as_str().unwrap();
        let log = self.klarna_shows("/_sim/log").await;
        let log = log["data"].as_array().unwrap().iter();
        log.filter(|call| call["op"] == "read_session")
            .filter(|call| call["path"].as_str().unwrap().ends_with(session))
            .count()
    }

    async fn klarna_shows(&self, path: &str) -> Value {
        let request = self.http.get(format!("{}{path}", self.klarna.url()));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// What Klarna's fraud desk says of the buyer.
    pub async fn klarna_decides(&self, link: &Value, word: &str) {
        let order = link["klarna"]["order_id"].as_str().unwrap();
        let path = format!("/_sim/orders/{order}/fraud");
        self.control(&path, &json!({ "status": word })).await;
    }

    pub async fn events(&self, link: &Value) -> Vec<Value> {
        self.listed(link, "events").await
    }

    /// A call on a link's money; what it answers is not believed, the ledgers are.
    pub async fn does(&self, link: &Value, call: &str, body: &Value) {
        let path = format!("/v1/links/{}/{call}", link["id"].as_str().unwrap());
        let (status, answer) = self.post(&path, body).await;
        assert!(
            matches!(status, 200 | 201 | 202 | 409 | 422),
            "{call}: {status} {answer}"
        );
    }

    pub async fn link(&self, link: &Value) -> Value {
        self.get(&format!("/v1/links/{}", link["id"].as_str().unwrap()))
            .await
    }

    pub async fn listed(&self, link: &Value, what: &str) -> Vec<Value> {
        let path = format!("/v1/links/{}/{what}", link["id"].as_str().unwrap());
        self.get(&path).await["data"].as_array().unwrap().clone()
    }

    /// Captures and refunds.
    pub async fn operations(&self, link: &Value) -> Vec<Value> {
        let mut all = self.listed(link, "captures").await;
        all.extend(self.listed(link, "refunds").await);
        all
    }

    pub async fn refreshes(&self, link: &Value) {
        let path = format!("/v1/links/{}/refresh", link["id"].as_str().unwrap());
        assert_eq!(self.post(&path, &json!({})).await.0, 200);
    }

    /// What came of the operations of a kind, oldest first.
    pub async fn outcomes(&self, link: &Value, kind: OperationKind) -> Vec<&'static str> {
        let id = link["id"].as_str().unwrap().parse().unwrap();
        let house = self.service.house();
        let all = house.store.read(move |tx| tx.operations(id)).await;
        let all: Result<_, StoreError> = all;
        let of_kind = all.unwrap().into_iter().filter(|it| it.kind() == kind);
        of_kind.map(|it| it.outcome.as_str()).collect()
    }

    /// The order in Klarna's books.
    pub async fn klarnas_order(&self, link: &Value) -> Value {
        let orders = self.klarna_shows("/_sim/orders").await;
        let id = &link["klarna"]["order_id"];
        let mut orders = orders["data"].as_array().unwrap().iter();
        orders.find(|it| it["order_id"] == *id).unwrap()["om"].clone()
    }

    pub async fn captures_elsewhere(&self, link: &Value, amount: i64) {
        let order = link["klarna"]["order_id"].as_str().unwrap();
        let url = format!(
            "{}/ordermanagement/v1/orders/{order}/captures",
            self.klarna.url()
        );
        let request = self.http.post(url).basic_auth("sim", Some("sim"));
        // refused where so much is not left, lost where Klarna is ill: both are fine
        drop(
            request
                .json(&json!({"captured_amount": amount}))
                .send()
                .await,
        );
    }

    pub async fn klarna_breaks(&self, op: &str, fault: &str, times: u32) {
        self.control(
            "/_sim/faults",
            &json!({"op": op, "fault": fault, "times": times}),
        )
        .await;
    }

    pub async fn klarna_mends(&self) {
        let request = self
            .http
            .delete(format!("{}/_sim/faults", self.klarna.url()));
        assert_eq!(request.send().await.unwrap().status(), 200);
    }

    pub fn passes(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    pub async fn works(&self) {
        worker::drain(self.service.house()).await.unwrap();
    }
}
