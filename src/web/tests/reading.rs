//! How requests are read and problems are told.

use std::time::{Duration, Instant};

use actix_web::body::to_bytes;
use actix_web::test::TestRequest;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::{ApiKey, NewKey, Role};
use crate::flow::Refusal;
use crate::link::{Code, Fault, LinkId, Mode, Status};
use crate::random::Random;
use crate::secret::Vault;
use crate::web::auth::KeyCache;
use crate::web::headers::{etag, has_already, idempotency_key, request_id, wanted_version};
use crate::web::problem::{Problem, ProblemCode};
use crate::web::query::Query;

fn header(problem: &Problem, name: &str) -> String {
    let answer = rendered(problem);
    answer
        .headers()
        .get(name)
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

fn rendered(problem: &Problem) -> actix_web::HttpResponse {
    problem.render("https://pay.example.com", "r-1")
}

async fn json_of(problem: &Problem) -> Value {
    let body = to_bytes(rendered(problem).into_body()).await.unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// `api.md` and `contract.md`, Errors: the codes with their statuses.
const CONTRACT: &[(&str, u16)] = &[
    ("validation_failed", 422),
    ("malformed_json", 400),
    ("payload_too_large", 413),
    ("unsupported_media_type", 415),
    ("unauthorized", 401),
    ("forbidden", 403),
    ("not_found", 404),
    ("method_not_allowed", 405),
    ("idempotency_mismatch", 422),
    ("idempotency_in_progress", 409),
    ("reference_in_use", 409),
    ("reference_paid", 409),
    ("not_payable", 409),
    ("already_completed", 409),
    ("not_completed", 409),
    ("klarna_not_allowed", 409),
    ("busy", 409),
    ("version_mismatch", 412),
    ("gone", 410),
    ("rate_limited", 429),
    ("send_rate_limited", 429),
    ("klarna_refused", 422),
    ("klarna_unavailable", 503),
    ("storage_unavailable", 503),
    ("overloaded", 503),
];

#[test]
fn the_catalogue_has_each_code_of_the_contract_once() {
    for (word, status) in CONTRACT {
        let code = ProblemCode::from_word(word).unwrap_or_else(|| panic!("{word} is missing"));
        assert_eq!(code.status().as_u16(), *status, "{word}");
    }
    for code in ProblemCode::ALL {
        let same = ProblemCode::ALL
            .iter()
            .filter(|it| it.as_str() == code.as_str());
        assert_eq!(same.count(), 1, "{}", code.as_str());
        assert!(!code.title().ends_with('.'), "{}", code.as_str());
        assert!(code.advice().ends_with('.'), "{}", code.as_str());
        assert!(!code.advice().contains(['<', '&']), "{}", code.as_str());
    }
}

#[actix_web::test]
async fn a_problem_names_its_page_its_request_and_all_faults() {
    let faults = vec![
        Fault::new(
            "/order_lines/0/tax_rate",
            Code::OutOfRange,
            "0 to 10000 is wanted.",
        ),
        Fault::new("/reference", Code::Required, "A reference is wanted."),
    ];
    let problem = Problem::from(Refusal::Faults(faults));
    let answer = rendered(&problem);
    assert_eq!(answer.status().as_u16(), 422);
    assert_eq!(header(&problem, "content-type"), "application/problem+json");
    let seen = json_of(&problem).await;
    assert_eq!(
        seen["type"],
        json!("https://pay.example.com/problems/validation_failed")
    );
    assert_eq!(seen["request_id"], json!("r-1"));
    assert_eq!(seen["status"], json!(422));
    assert_eq!(
        seen["errors"],
        json!([
            {"pointer": "/order_lines/0/tax_rate", "code": "out_of_range", "detail": "0 to 10000 is wanted."},
            {"pointer": "/reference", "code": "required", "detail": "A reference is wanted."},
        ])
    );
    assert_eq!(seen["klarna"], Value::Null);
    assert_eq!(seen["link_id"], Value::Null);
    assert_eq!(seen["link"], Value::Null);
}

#[actix_web::test]
async fn an_answer_tells_a_hundred_faults_at_most() {
    let members: Vec<String> = (0..5_000).map(|n| format!("\"m{n}\":0")).collect();
    let tree = crate::json::parse(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    let many = crate::link::NoRequest::parse(&tree).unwrap_err();
    let seen = json_of(&Problem::from(Refusal::Faults(many))).await;
    let errors = seen["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 100);
    assert_eq!(errors[98]["pointer"], json!("/m98"));
    assert_eq!(errors[99]["pointer"], json!(""));
    assert_eq!(errors[99]["code"], json!("too_many"));
    // and a hundred are a hundred
    let at = |n| crate::link::Fault::new(format!("/m{n}"), Code::Required, "It is wanted.");
    let seen = json_of(&Problem::from(Refusal::Faults((0..100).map(at).collect()))).await;
    assert_eq!(seen["errors"][99]["pointer"], json!("/m99"));
}

#[actix_web::test]
async fn what_the_caller_must_do_is_in_the_headers() {
    let wait = Problem::from(Refusal::RateLimited(Duration::from_millis(1_200)));
    assert_eq!(header(&wait, "retry-after"), "2");
    let allow = Problem::not_allowed("GET, HEAD");
    assert_eq!(header(&allow, "allow"), "GET, HEAD");
    let who = Problem::unauthorized("Bearer realm=\"paylink\"");
    assert_eq!(header(&who, "www-authenticate"), "Bearer realm=\"paylink\"");
}

#[actix_web::test]
async fn klarnas_words_reach_the_caller() {
    let id = LinkId::new(Timestamp::UNIX_EPOCH, &Random::seeded(1));
    let said = crate::link::Refusal {
        status: 400,
        code: Some("BAD_VALUE".into()),
        messages: vec!["Bad value: locale".into()],
        correlation_id: Some("6b6c".into()),
    };
    let seen = json_of(&Problem::from(Refusal::KlarnaRefused(id, said))).await;
    assert_eq!(seen["code"], json!("klarna_refused"));
    assert_eq!(seen["link_id"], json!(id.to_string()));
    assert_eq!(
        seen["klarna"],
        json!({"status": 400, "code": "BAD_VALUE", "messages": ["Bad value: locale"], "correlation_id": "6b6c"})
    );
}

async fn faults_of(query: Query) -> Vec<(String, String)> {
    let Err(problem) = query.finish() else {
        return Vec::new();
    };
    assert_eq!(problem.code(), ProblemCode::ValidationFailed);
    let seen = json_of(&problem).await;
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    seen["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (word(&it["parameter"]), word(&it["code"])))
        .collect()
}

#[actix_web::test]
async fn a_query_is_read_strictly() {
    let known = &["status", "limit", "created_after", "reveal"];
    let mut good = Query::parse(
        "status=open,expired&limit=100&created_after=2026-11-24T09:30:00%2B01:00&reveal=true",
        known,
    );
    assert_eq!(
        good.words("status", Status::from_word),
        [Status::Open, Status::Expired]
    );
    assert_eq!(good.number("limit", 1..=100, 20), 100);
    assert_eq!(
        good.instant("created_after"),
        Some("2026-11-24T08:30:00Z".parse().unwrap())
    );
    assert!(good.flag("reveal"));
    assert_eq!(faults_of(good).await, []);

    for (text, parameter, code) in [
        ("statsu=open", "statsu", "unknown_field"),
        ("limit=1&limit=2", "limit", "unknown_field"),
        ("limit=0", "limit", "out_of_range"),
        ("limit=101", "limit", "out_of_range"),
        ("limit=ten", "limit", "invalid_format"),
        ("limit=%2B5", "limit", "invalid_format"),
        ("limit=99999999999", "limit", "out_of_range"),
        ("status=open,paid", "status", "invalid_value"),
        ("created_after=yesterday", "created_after", "invalid_format"),
        ("reveal=yes", "reveal", "invalid_value"),
        ("status=%FF", "status", "invalid_format"),
        ("status=op%00en", "status", "control_character"),
    ] {
        let mut query = Query::parse(text, known);
        query.words("status", Status::from_word);
        query.number("limit", 1..=100, 20);
        query.instant("created_after");
        query.flag("reveal");
        assert_eq!(
            faults_of(query).await,
            [(parameter.to_owned(), code.to_owned())],
            "{text}"
        );
    }
}

#[test]
fn what_is_absent_has_its_default() {
    let mut query = Query::parse("status=", &["status", "limit"]);
    assert_eq!(query.words("status", Status::from_word), []);
    assert_eq!(query.number("limit", 1..=100, 20), 20);
    assert!(query.finish().is_ok());
}

#[test]
fn an_idempotency_key_is_the_same_quoted_or_bare() {
    let read = |value: &str| {
        let request = TestRequest::default()
            .insert_header(("Idempotency-Key", value))
            .to_http_request();
        idempotency_key(request.headers())
    };
    assert_eq!(read("abc"), Ok(Some("abc".into())));
    assert_eq!(read("\"abc\""), Ok(Some("abc".into())));
    assert_eq!(read("  a b  "), Ok(Some("a b".into())));
    assert_eq!(read("\""), Ok(Some("\"".into())));
    assert!(read("").is_err());
    assert!(read("\"\"").is_err());
    assert!(read("käse").is_err());
    assert!(read(&"a".repeat(255)).is_ok());
    assert!(read(&"a".repeat(256)).is_err());
    let none = TestRequest::default().to_http_request();
    assert_eq!(idempotency_key(none.headers()), Ok(None));
    let two = TestRequest::default()
        .append_header(("Idempotency-Key", "a"))
        .append_header(("Idempotency-Key", "b"))
        .to_http_request();
    assert!(idempotency_key(two.headers()).is_err());
}

#[test]
fn conditional_requests_compare_versions() {
    let with = |name: &'static str, value: &'static str| {
        TestRequest::default()
            .insert_header((name, value))
            .to_http_request()
    };
    let none_match = |value| has_already(with("If-None-Match", value).headers(), &etag(3));
    assert!(none_match("\"3\""));
    assert!(none_match("\"2\", W/\"3\""));
    assert!(none_match("*"));
    assert!(!none_match("\"33\""));
    assert!(!none_match("3"));
    let wanted = |value| wanted_version(with("If-Match", value).headers(), 3);
    assert_eq!(wanted("\"3\""), Some(3));
    assert_eq!(wanted("\"1\", \"3\""), Some(3));
    assert_eq!(wanted("*"), None);
    assert_eq!(wanted("\"2\""), Some(0));
    // weak tags never match a write (RFC 9110, 13.1.1)
    assert_eq!(wanted("W/\"3\""), Some(0));
    let bare = TestRequest::default().to_http_request();
    assert_eq!(wanted_version(bare.headers(), 3), None);
}

#[test]
fn only_a_plain_request_id_is_taken_over() {
    let read = |value: String| {
        let request = TestRequest::default()
            .insert_header(("X-Request-Id", value))
            .to_http_request();
        request_id(request.headers()).map(str::to_owned)
    };
    assert_eq!(read("Root=1-67891233:ab_c.d".into()), None);
    assert_eq!(
        read("1-67891233:ab_c.d".into()),
        Some("1-67891233:ab_c.d".into())
    );
    assert_eq!(read("a b".into()), None);
    assert_eq!(read(String::new()), None);
    assert_eq!(read("x".repeat(129)), None);
}

#[test]
fn a_key_is_read_again_within_five_seconds() {
    let (random, at) = (Random::seeded(3), Timestamp::UNIX_EPOCH);
    let new = NewKey {
        name: "till".into(),
        role: Role::Agent,
        store: "default".into(),
        mode: Mode::Test,
        expires_at: None,
    };
    let (key, _) = ApiKey::mint(new, &Vault::new(&[7; 32]), at, &random);
    let (cache, read_at) = (KeyCache::default(), Instant::now());
    let after = |seconds| cache.get(key.id, read_at + Duration::from_secs(seconds));
    assert_eq!(after(0), None);
    cache.put(key.clone(), read_at);
    assert_eq!(after(3), Some(key.clone()));
    assert_eq!(after(5), None);
}
