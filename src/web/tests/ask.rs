//! Asking the house that is served.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{Service, ServiceResponse};
use actix_web::test::{TestRequest, call_service, read_body};
use serde_json::{Value, json};

macro_rules! served {
    ($home:expr) => {
        actix_web::test::init_service(
            actix_web::App::new()
                .app_data($home.state.clone())
                .wrap(actix_web::middleware::from_fn(crate::web::edge::edge))
                .configure(crate::web::routes),
        )
        .await
    };
}

/// What came back.
pub struct Seen {
    pub status: u16,
    pub headers: actix_web::http::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let value = self
            .headers
            .get(name)
            .unwrap_or_else(|| panic!("no {name}"));
        value.to_str().unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The problem's code, its status compared.
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let seen = self.json();
        assert_eq!(seen["status"], json!(self.status));
        assert_eq!(seen["request_id"], json!(self.header("x-request-id")));
        seen["code"].as_str().unwrap().to_owned()
    }
}

// the type of a request has no name outside of actix: only inference can say it
macro_rules! ask {
    ($app:expr, $request:expr $(,)?) => {
        $crate::web::tests::ask::seen($app, $request.to_request())
    };
}

pub async fn seen<S, R, B>(app: &S, request: R) -> Seen
where
    S: Service<R, Response = ServiceResponse<B>, Error = Error>,
    B: MessageBody,
{
    let response = call_service(app, request).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let body = read_body(response).await.to_vec();
    Seen {
        status,
        headers,
        body,
    }
}

pub fn sale(reference: &str) -> Value {
    json!({"reference": reference, "order_amount": 50_000,
           "billing_address": {"given_name": "Jo", "family_name": "Bloggs", "email": "jo@example.com", "country": "GB"},
           "send": [{"channel": "email"}]})
}

pub fn post(path: &str, key: &(&'static str, String), body: &Value) -> TestRequest {
    TestRequest::post()
        .uri(path)
        .insert_header(key.clone())
        .set_json(body)
}

pub fn get(path: &str, key: &(&'static str, String)) -> TestRequest {
    TestRequest::get().uri(path).insert_header(key.clone())
}
