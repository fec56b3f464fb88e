//! Who may do what, who may know of what, and what a refusal looks like.

use reqwest::Method;
use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{Caller, World, WorldPlan, sale, stories, within};

const ROLES: [&str; 6] = [
    "agent",
    "supervisor",
    "integrator",
    "tablet",
    "auditor",
    "admin",
];

stories!(
    roles,
    WorldPlan::new(),
    [
        each_role_may_do_what_the_table_says,
        a_tablet_sees_its_own,
        another_store_is_not_there,
        without_a_key_nothing_is_said,
        a_key_of_the_other_mode_is_none,
        a_revoked_key_is_dead_within_five_seconds,
        every_refusal_is_a_problem,
        money_is_for_supervisors,
    ]
);

stories!(
    #[ignore = "exports, webhook endpoints and tablets are not built"]
    roles_in_other_rooms,
    WorldPlan::new(),
    [
        exports_are_for_some,
        endpoints_are_for_integrators,
        tablets_are_the_admins,
    ]
);

fn of(w: &World, role: &str) -> Caller {
    w.caller(role, "default")
}

#[track_caller]
fn assert_allowed(what: &str, role: &str, status: u16, allowed: bool) {
    if allowed {
        assert!(
            (200..300).contains(&status),
            "{role} may {what}, got {status}"
        );
    } else {
        assert_eq!(status, 403, "{role} may not {what}");
    }
}

async fn each_role_may_do_what_the_table_says(w: &World) {
    for role in ROLES {
        let caller = of(w, role);
        let writes = role != "auditor";
        assert_allowed("create", role, caller.sends(&sale()).await.status, writes);
        // the tablet's turn is another story: what it did not make is not there for it
        if role == "tablet" {
            continue;
        }
        let link = of(w, "agent").creates(&sale()).await;
        let path = format!("/v1/links/{}", id(&link));
        for read in [
            path.clone(),
            format!("{path}/events"),
            format!("{path}/qr.png"),
            format!("{path}/deliveries"),
            "/v1/links".to_owned(),
            "/v1/events".to_owned(),
        ] {
            assert_allowed(
                &format!("read {read}"),
                role,
                caller.get(&read).await.status,
                true,
            );
        }
        let stream = caller.get("/v1/events/stream").open().await;
        assert_eq!(stream.status(), 200, "{role}");
        drop(stream);
        let body = json!({"channel": "email", "to": super::harness::email()});
        assert_allowed(
            "send",
            role,
            caller
                .post(&format!("{path}/deliveries"), &body)
                .await
                .status,
            writes,
        );
        assert_allowed(
            "refresh",
            role,
            caller.press(&format!("{path}/refresh")).await.status,
            writes,
        );
        assert_allowed(
            "disable",
            role,
            caller.disables(id(&link)).await.status,
            writes,
        );
        assert_allowed(
            "renew",
            role,
            caller
                .post(&format!("{path}/renew"), &json!({}))
                .await
                .status,
            writes,
        );
    }
}

async fn a_tablet_sees_its_own(w: &World) {
    let tablet = of(w, "tablet");
    let (foreign, own) = (
        of(w, "agent").creates(&sale()).await,
        tablet.creates(&sale()).await,
    );
    for tail in ["", "/events", "/qr.png", "/deliveries"] {
        tablet
            .get(&format!("/v1/links/{}{tail}", id(&foreign)))
            .await
            .problem(404, "not_found");
    }
    tablet
        .disables(id(&foreign))
        .await
        .problem(404, "not_found");
    // reveal is not for tablets: whatever this answers is searched for personal data at the end
    tablet
        .get(&format!("/v1/links/{}?reveal=true", id(&own)))
        .await;
    tablet
        .get(&format!("/v1/links/{}", id(&own)))
        .await
        .expect(200);
    tablet
        .get(&format!("/v1/links/{}/qr.svg", id(&own)))
        .await
        .expect(200);
    for list in ["/v1/links", "/v1/links?q=Quill"] {
        tablet.get(list).await.problem(403, "forbidden");
    }
    tablet.disables(id(&own)).await.expect(200);
}

async fn money_is_for_supervisors(w: &World) {
    let link = of(w, "agent").creates(&sale()).await;
    for action in ["capture", "refunds", "cancel", "release", "extend"] {
        let path = format!("/v1/links/{}/{action}", id(&link));
        for role in ["agent", "auditor"] {
            of(w, role)
                .post(&path, &json!({}))
                .await
                .problem(403, "forbidden");
        }
        for role in ["supervisor", "integrator", "admin"] {
            of(w, role)
                .post(&path, &json!({}))
                .await
                .problem(409, "not_completed");
        }
    }
}

async fn exports_are_for_some(w: &World) {
    for role in ROLES {
        for accept in ["text/csv", "application/x-ndjson"] {
            let answer = of(w, role).get("/v1/links").header("accept", accept).await;
            assert_allowed(
                "export",
                role,
                answer.status,
                !["agent", "tablet"].contains(&role),
            );
        }
    }
}

async fn endpoints_are_for_integrators(w: &World) {
    for role in ROLES {
        let caller = of(w, role);
        let reads = ["integrator", "auditor", "admin"].contains(&role);
        assert_allowed(
            "list endpoints",
            role,
            caller.get("/v1/webhook_endpoints").await.status,
            reads,
        );
        let answer = caller
            .post(
                "/v1/webhook_endpoints",
                &json!({"url": "http://127.0.0.1/", "events": ["*"]}),
            )
            .await;
        if ["integrator", "admin"].contains(&role) {
            assert_eq!(
                answer.faults(),
                [("/url".to_owned(), "invalid_value".to_owned())],
                "{role}"
            );
        } else {
            answer.problem(403, "forbidden");
        }
    }
}

async fn tablets_are_the_admins(w: &World) {
    for role in ROLES {
        assert_allowed(
            "list tablets",
            role,
            of(w, role).get("/v1/tablets").await.status,
            role == "admin",
        );
    }
}

async fn another_store_is_not_there(w: &World) {
    let link = of(w, "agent").creates(&sale()).await;
    let foreign = w.caller("agent", "elsewhere");
    let path = format!("/v1/links/{}", id(&link));
    for tail in [
        "",
        "/events",
        "/qr.png",
        "/qr.svg",
        "/deliveries",
        "?reveal=true",
    ] {
        foreign
            .get(&format!("{path}{tail}"))
            .await
            .problem(404, "not_found");
    }
    for action in ["disable", "renew", "refresh"] {
        foreign
            .post(&format!("{path}/{action}"), &json!({}))
            .await
            .problem(404, "not_found");
    }
    let body = json!({"channel": "email", "to": super::harness::email()});
    foreign
        .post(&format!("{path}/deliveries"), &body)
        .await
        .problem(404, "not_found");
    let list = foreign.get("/v1/links").await.expect(200).json();
    assert_eq!(list["data"], json!([]));
    let q = foreign
        .get(&format!("/v1/links?q={}", id(&link)))
        .await
        .expect(200)
        .json();
    assert_eq!(q["data"], json!([]));
    assert_eq!(of(w, "agent").link(id(&link)).await["status"], "open");
    w.caller("admin", "elsewhere").get(&path).await.expect(200);
}

async fn without_a_key_nothing_is_said(w: &World) {
    let mut callers = vec![w.stranger(), w.stranger(), w.stranger()];
    callers[1].key = Some("plk_test_nobody_nothing".to_owned());
    let own = of(w, "agent").key.expect("a key");
    // a key is random, so its last character may be any: put another there
    let (all_but_last, last) = own.split_at(own.len() - 1);
    let other = if last == "x" { "y" } else { "x" };
    callers[2].key = Some(format!("{all_but_last}{other}"));
    for caller in callers {
        // before 404, 405 and 422
        for (method, path) in [
            (Method::GET, "/v1/links"),
            (Method::POST, "/v1/links"),
            (Method::GET, "/v1/links/lnk_1"),
            (Method::GET, "/v1/nothing"),
            (Method::PUT, "/v1/links"),
            (Method::GET, "/v1/events/stream"),
        ] {
            let answer = caller.request(method, path).await;
            answer.problem(401, "unauthorized");
            assert!(
                answer
                    .header("www-authenticate")
                    .is_some_and(|value| value.starts_with("Bearer"))
            );
        }
    }
    let basic = w
        .stranger()
        .get("/v1/links")
        .header("authorization", "Basic c2ltOnNpbQ==")
        .await;
    basic.problem(401, "unauthorized");
}

async fn a_key_of_the_other_mode_is_none(w: &World) {
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "KLARNA_API_URL" && name != "PAYLINK_ALLOW_SIMULATOR");
    env.push(("KLARNA_API_URL".to_owned(), "kustom".to_owned()));
    let args = ["keys", "create", "--name", "live", "--role", "agent"];
    let ended = super::harness::process::run(&args, &env, &w.dir);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let key = ended.stdout.trim().to_owned();
    assert!(key.starts_with("plk_live_"), "{key}");
    let caller = Caller {
        key: Some(key),
        ..w.stranger()
    };
    caller.get("/v1/links").await.problem(401, "unauthorized");
}

async fn a_revoked_key_is_dead_within_five_seconds(w: &World) {
    let key = w.new_key(&["--name", "leaving", "--role", "agent"]);
    let caller = Caller {
        key: Some(key),
        ..w.stranger()
    };
    let link = caller.creates(&sale()).await;
    let listed = w.runs(&["keys", "list", "--json"]);
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let by = link["created_by"].as_str().expect("a key's id");
    assert!(
        listed.stdout.contains(by),
        "{by} is not in {}",
        listed.stdout
    );
    assert!(
        !listed
            .stdout
            .contains(caller.key.as_deref().expect("a key")),
        "a key is shown once"
    );
    let mut rows = serde_json::Deserializer::from_str(&listed.stdout).into_iter::<Value>();
    assert!(rows.all(|row| row.is_ok()), "--json is JSON");
    let revoked = w.runs(&["keys", "revoke", by]);
    assert_eq!(revoked.code, Some(0), "{}", revoked.stderr);
    let dead = within(5, async || {
        (caller.get("/v1/links").await.status == 401).then_some(())
    })
    .await;
    assert!(dead.is_some(), "still alive after 5 s");
    w.agent()
        .get(&format!("/v1/links/{}", id(&link)))
        .await
        .expect(200);
}

async fn every_refusal_is_a_problem(w: &World) {
    let agent = w.agent();
    agent.get("/v1/nothing").await.problem(404, "not_found");
    agent.get("/v1/links/lnk_0").await.problem(404, "not_found");
    agent.get("/nothing").await.problem(404, "not_found");
    for (method, path) in [
        (Method::PUT, "/v1/links"),
        (Method::DELETE, "/v1/links"),
        (Method::PATCH, "/v1/links/lnk_0"),
        (Method::POST, "/v1/events"),
    ] {
        let answer = agent.request(method.clone(), path).await;
        answer.problem(405, "method_not_allowed");
        assert!(answer.header("allow").is_some(), "{method} {path}");
    }
    assert!(
        agent
            .get("/v1/links")
            .await
            .header("x-request-id")
            .is_some()
    );
    let caching = agent.get("/v1/links").await;
    assert!(
        caching
            .header("cache-control")
            .is_some_and(|value| value.contains("no-store"))
    );
}
