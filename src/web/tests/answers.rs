//! What is answered and taken, against the OpenAPI document.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::ask::{get, post, sale};
use super::house::Home;
use crate::access::Role;
use crate::link::{
    Actor, Closing, Consumer, Failure, FailureCode, Link, LinkId, Mode, Pair, Payment, Refusal,
    Stage,
};
use crate::view::{Detail, LinkView};
use crate::web::openapi;

struct Document(Value);

impl Document {
    fn of(home: &Home) -> Self {
        Self(serde_json::from_str(&openapi::document(&home.state.base)).unwrap())
    }

    /// The schema at `pointer`, with all that it refers to.
    fn schema(&self, pointer: &str) -> jsonschema::Validator {
        let mut schema = self.0.pointer(pointer).expect(pointer).clone();
        schema["components"] = self.0["components"].clone();
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap()
    }

    fn fits(&self, pointer: &str, body: &Value) {
        let schema = self.schema(pointer);
        let faults: Vec<_> = schema
            .iter_errors(body)
            .map(|fault| format!("{} {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{pointer}: {faults:#?} in {body:#}");
    }

    /// An answer of this call. `path` is RFC 6901 already.
    fn answer(&self, call: &str, status: u16, body: &Value) {
        let media = if status < 400 {
            "application~1json"
        } else {
            "application~1problem+json"
        };
        self.fits(
            &format!("/paths/{call}/responses/{status}/content/{media}/schema"),
            body,
        );
    }
}

const LINKS: &str = "~1v1~1links";
const LINK: &str = "~1v1~1links~1{id}";

#[actix_web::test]
async fn what_is_answered_is_what_the_document_says() {
    let home = Home::new().await;
    let document = Document::of(&home);
    let app = served!(home);
    let key = home.key(Role::Supervisor, "default", Mode::Test).await;
    let mut wish = sale("SO-1");
    wish["options"] = json!({"allow_separate_shipping_address": true});
    wish["merchant_data"] = json!("{}");
    wish["billing_countries"] = json!(["GB"]);
    let seen = ask!(&app, post("/v1/links", &key, &wish)).await;
    let created = seen.json();
    document.answer(&format!("{LINKS}/post"), seen.status, &created);
    let path = format!("/v1/links/{}", created["id"].as_str().unwrap());
    for (path, call) in [
        (path.clone(), format!("{LINK}/get")),
        (format!("{path}?reveal=true"), format!("{LINK}/get")),
        ("/v1/links".into(), format!("{LINKS}/get")),
        (format!("{path}/events"), format!("{LINK}~1events/get")),
        (
            format!("{path}/deliveries"),
            format!("{LINK}~1deliveries/get"),
        ),
        (format!("{path}/captures"), format!("{LINK}~1captures/get")),
        ("/v1/events".into(), "~1v1~1events/get".into()),
    ] {
        let seen = ask!(&app, get(&path, &key)).await;
        assert_eq!(seen.status, 200, "{path}");
        document.answer(&call, 200, &seen.json());
    }
}

#[actix_web::test]
async fn every_problem_of_a_body_is_documented() {
    let home = Home::new().await;
    let document = Document::of(&home);
    let app = served!(home);
    let key = home.key(Role::Supervisor, "default", Mode::Test).await;
    let created = ask!(&app, post("/v1/links", &key, &sale("SO-1")))
        .await
        .json();
    let id = created["id"].as_str().unwrap();
    for (path, item) in document.0["paths"].as_object().unwrap() {
        let method = match (item.get("post"), item.get("delete")) {
            (Some(_), _) => Method::POST,
            (None, Some(_)) => Method::DELETE,
            (None, None) => continue,
        };
        if !path.starts_with("/v1/") {
            continue;
        }
        let word = method.as_str().to_lowercase();
        let call = format!("{}/{word}", path.replace('/', "~1"));
        let url = path.replace("{id}", id);
        let asked = || {
            TestRequest::with_uri(&url)
                .method(method.clone())
                .insert_header(key.clone())
        };
        let json = ("Content-Type", "application/json");
        for (status, request) in [
            (400, asked().insert_header(json).set_payload("{")),
            (
                413,
                asked().insert_header(json).set_payload(vec![b' '; 1 << 21]),
            ),
            (415, asked().set_payload("{}")),
            (
                422,
                asked().insert_header(json).set_payload(r#"{"nonsense":1}"#),
            ),
        ] {
            let seen = ask!(&app, request).await;
            assert_eq!(seen.status, status, "{path}");
            document.answer(&call, status, &seen.json());
        }
    }
}

fn stages(at: Timestamp, by: Actor) -> Vec<Stage> {
    let pair = Pair {
        number: 1,
        order: "o".into(),
        session: "s".into(),
        url: "https://pay.example.com/s".into(),
        id_check_url: None,
    };
    let refusal = Refusal {
        status: 400,
        code: Some("BAD_VALUE".into()),
        messages: vec!["Bad value: order_lines".into()],
        correlation_id: None,
    };
    vec![
        Stage::Open {
            pair: pair.clone(),
            until: at + SignedDuration::from_hours(1),
            consumer: Consumer::InProgress,
        },
        Stage::Disabling {
            pair: None,
            why: Closing::Mistake,
            by,
            since: at,
        },
        Stage::Completed {
            pair: pair.clone(),
            at,
            payment: Box::new(Payment::authorized()),
        },
        Stage::Cancelled {
            pair: pair.clone(),
            at,
        },
        Stage::Disabled {
            pair: Some(pair),
            at,
            by,
            why: Closing::Other,
        },
        Stage::Expired { pair: None, at },
        Stage::Failed {
            at,
            why: Failure {
                code: FailureCode::KlarnaRefused,
                detail: "Klarna refused the sale.".into(),
                klarna: Some(refusal),
            },
        },
    ]
}

#[actix_web::test]
async fn a_link_fits_the_document_in_every_stage() {
    let home = Home::new().await;
    let document = Document::of(&home);
    let app = served!(home);
    let key = home.key(Role::Supervisor, "default", Mode::Test).await;
    let created = ask!(&app, post("/v1/links", &key, &sale("SO-1")))
        .await
        .json();
    let id: LinkId = created["id"].as_str().unwrap().parse().unwrap();
    let read = home.house.store.read(move |tx| tx.link(id)).await;
    let link = read.unwrap().unwrap();
    for stage in stages(link.created_at, link.created_by) {
        let at = link.created_at;
        let link = Link {
            stage,
            ..link.clone()
        };
        for detail in [Detail::Full, Detail::Item] {
            let view = LinkView::new(&link, &[], at, detail);
            let body = serde_json::to_value(view).unwrap();
            document.fits("/components/schemas/Link", &body);
        }
    }
}

#[actix_web::test]
async fn null_is_taken_where_a_member_may_be_absent() {
    let home = Home::new().await;
    let document = Document::of(&home);
    let app = served!(home);
    let key = home.key(Role::Supervisor, "default", Mode::Test).await;
    let schemas = "/components/schemas";
    let members = document.0["components"]["schemas"]["LinkRequest"]["properties"].clone();
    for (index, member) in members.as_object().unwrap().keys().enumerate() {
        let mut wish = sale(&format!("SO-{index}"));
        wish[member] = Value::Null;
        document.fits(&format!("{schemas}/LinkRequest"), &wish);
        let seen = ask!(&app, post("/v1/links", &key, &wish)).await;
        if seen.status == 422 {
            // the two that the sale cannot be without, told as missing and not as wrong
            let faults = seen.json()["errors"].clone();
            let codes: Vec<_> = faults.as_array().unwrap().iter().collect();
            assert!(
                codes.iter().all(|it| it["code"] == "required"),
                "{member}: {faults}"
            );
        } else {
            assert_eq!(seen.status, 202, "{member}");
        }
    }
    let needs = document.schema(&format!("{schemas}/DeliveryRequest"));
    assert!(!needs.is_valid(&json!({"channel": null})));
    assert!(needs.is_valid(&json!({"channel": "sms", "to": null})));
}

#[actix_web::test]
async fn every_call_has_a_name_of_its_own() {
    let home = Home::new().await;
    let document = Document::of(&home);
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document.0["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{method} {path}: {name}");
            let keyed = operation["parameters"]
                .as_array()
                .is_some_and(|all| all.iter().any(|it| it["name"] == "Idempotency-Key"));
            assert_eq!(
                keyed,
                method == "post" && path.starts_with("/v1/"),
                "{method} {path}"
            );
        }
    }
}
