//! A caller of the API: a key, a few verbs, and the memory of every body that was answered, in
//! which no personal data may be found at the end.

use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// Every body that the service answered, with the request that it answered.
pub type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// The client of tests: no proxies, no redirects followed, no answer waited for longer than 40 s.
pub fn client() -> Client {
    // a second install is refused, and that is fine: the first one serves everybody
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(40))
        .build()
        .expect("a client can be built")
}

#[derive(Clone)]
pub struct Caller {
    pub base: String,
    pub key: Option<String>,
    pub http: Client,
    pub seen: Seen,
}

impl Caller {
    pub fn request(&self, method: Method, path: &str) -> Call {
        let what = format!("{method} {path}");
        let mut builder = self.http.request(method, format!("{}{path}", self.base));
        if let Some(key) = &self.key {
            builder = builder.bearer_auth(key);
        }
        Call {
            what,
            builder,
            seen: Some(Arc::clone(&self.seen)),
        }
    }

    pub fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Call {
        self.request(Method::POST, path).json(body)
    }

    /// `POST` without a body.
    pub fn press(&self, path: &str) -> Call {
        self.request(Method::POST, path)
    }

    /// Posts a sale.
    pub fn sends(&self, sale: &Value) -> Call {
        self.post("/v1/links", sale)
    }

    /// Posts a sale that becomes payable at once, and answers the link.
    pub async fn creates(&self, sale: &Value) -> Value {
        self.sends(sale).await.expect(201).json()
    }

    /// The link as it is now.
    pub async fn link(&self, id: &str) -> Value {
        self.get(&format!("/v1/links/{id}"))
            .await
            .expect(200)
            .json()
    }

    pub fn disables(&self, id: &str) -> Call {
        self.post(&format!("/v1/links/{id}/disable"), &json!({}))
    }

    /// The link's timeline, oldest first.
    pub async fn timeline(&self, id: &str) -> Vec<Value> {
        let list = self
            .get(&format!("/v1/links/{id}/events"))
            .await
            .expect(200)
            .json();
        assert_eq!(list["object"], "list");
        list["data"].as_array().expect("data is a list").clone()
    }

    /// The link once it has that status.
    pub async fn until(&self, id: &str, status: &str) -> Value {
        self.until_within(id, status, 25).await
    }

    pub async fn until_within(&self, id: &str, status: &str, seconds: u64) -> Value {
        let mut last = Value::Null;
        let found = within(seconds, async || {
            last = self.link(id).await;
            (last["status"] == status).then(|| last.clone())
        })
        .await;
        found.unwrap_or_else(|| panic!("{id} never became {status}; it is {last}"))
    }

    /// The link's delivery once it has that status.
    pub async fn until_delivery(
        &self,
        link: &str,
        delivery: &str,
        status: &str,
        seconds: u64,
    ) -> Value {
        let mut last = Value::Null;
        let found = within(seconds, async || {
            let page = self
                .get(&format!("/v1/links/{link}/deliveries"))
                .await
                .expect(200)
                .json();
            last = page["data"]
                .as_array()
                .expect("data is a list")
                .iter()
                .find(|one| one["id"] == delivery)
                .expect("the delivery is in the list")
                .clone();
            (last["status"] == status).then(|| last.clone())
        })
        .await;
        found.unwrap_or_else(|| panic!("{delivery} never became {status}; it is {last:#}"))
    }
}

/// A request that is not sent yet; `.await` sends it.
pub struct Call {
    what: String,
    builder: RequestBuilder,
    seen: Option<Seen>,
}

impl Call {
    pub fn json(mut self, body: &Value) -> Self {
        self.builder = self.builder.json(body);
        self
    }

    /// A body as it stands, said to be JSON.
    pub fn raw(self, body: impl Into<Vec<u8>>) -> Self {
        self.typed("application/json", body)
    }

    pub fn typed(mut self, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        self.builder = self
            .builder
            .header("content-type", media_type)
            .body(body.into());
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.builder = self.builder.header(name, value);
        self
    }

    pub fn idempotent(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    /// This answer may show personal data: it is left out of the final search.
    pub fn revealing(mut self) -> Self {
        self.seen = None;
        self
    }

    /// Sends it and hands out the response unread (for streams).
    pub async fn open(self) -> reqwest::Response {
        self.builder
            .send()
            .await
            .unwrap_or_else(|error| panic!("{}: {error:?}", self.what))
    }

    async fn perform(self) -> Answer {
        let what = self.what.clone();
        let answered = self.attempt().await;
        answered.unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// Sends it to somebody who may be killed meanwhile: an error is a connection that was refused
    /// or cut before the whole answer was there.
    pub async fn attempt(self) -> Result<Answer, reqwest::Error> {
        let begun = Instant::now();
        let (what, seen) = (self.what, self.seen);
        let response = self.builder.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.bytes().await?.to_vec();
        if let Some(seen) = seen {
            let body = String::from_utf8_lossy(&bytes).into_owned();
            seen.lock().unwrap().push((what.clone(), body));
        }
        Ok(Answer {
            what,
            status,
            headers,
            bytes,
            took: begun.elapsed(),
        })
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.perform())
    }
}

#[derive(Debug, Clone)]
pub struct Answer {
    what: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
    pub took: Duration,
}

impl Answer {
    /// The beginning of the body, for messages.
    fn gist(&self) -> String {
        self.text().chars().take(600).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|error| {
            panic!("{} answered no JSON ({error}): {}", self.what, self.text())
        })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("a readable header"))
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{} answered {}",
            self.what,
            self.gist()
        );
        self
    }

    /// One of several statuses.
    #[track_caller]
    pub fn expect_any(self, statuses: &[u16]) -> Self {
        let (what, gist) = (&self.what, self.gist());
        assert!(
            statuses.contains(&self.status),
            "{what} answered {} {gist}",
            self.status
        );
        self
    }

    /// The problem document, whose form every refusal shares.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(
            self.status,
            status,
            "{} answered {}",
            self.what,
            self.gist()
        );
        let media_type = self.header("content-type").unwrap_or_default();
        assert!(
            media_type.starts_with("application/problem+json"),
            "{}: {media_type}",
            self.what
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{} answered {problem:#}", self.what);
        assert_eq!(problem["status"], status, "{problem:#}");
        for member in ["type", "title", "detail", "request_id"] {
            assert!(
                problem[member]
                    .as_str()
                    .is_some_and(|text| !text.is_empty()),
                "{}: {member} is missing in {problem:#}",
                self.what
            );
        }
        assert_eq!(
            problem["request_id"].as_str(),
            self.header("x-request-id"),
            "{problem:#}"
        );
        problem
    }

    /// The faults of a 422 `validation_failed` as (pointer or parameter, code).
    #[track_caller]
    pub fn faults(&self) -> Vec<(String, String)> {
        let problem = self.problem(422, "validation_failed");
        let mut faults: Vec<_> = problem["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("no errors in {problem:#}"))
            .iter()
            .map(|fault| {
                let place = fault["pointer"]
                    .as_str()
                    .or(fault["parameter"].as_str())
                    .unwrap_or_default();
                assert!(fault["detail"].is_string(), "{fault}");
                (
                    place.to_owned(),
                    fault["code"].as_str().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        faults.sort();
        faults
    }

    #[track_caller]
    pub fn retry_after(&self) -> u64 {
        let value = self
            .header("retry-after")
            .unwrap_or_else(|| panic!("{}: no Retry-After", self.what));
        value
            .parse()
            .unwrap_or_else(|_| panic!("{}: Retry-After: {value}", self.what))
    }
}

/// Asks until there is an answer, at most so many seconds.
pub async fn within<T>(seconds: u64, mut ask: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if let Some(answer) = ask().await {
            return Some(answer);
        }
        if Instant::now() > deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Asks until there is an answer; none in 20 s fails the test.
pub async fn eventually<T>(what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
    within(20, ask)
        .await
        .unwrap_or_else(|| panic!("never: {what}"))
}
