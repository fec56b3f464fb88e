//! The process: health, metrics, its description, its end, its crash, and its settings.

use std::time::Duration;

use serde_json::{Value, json};

use super::harness::process::{Process, run};
use super::harness::world::{free_port, id};
use super::harness::{
    World, WorldPlan, email, eventually, phone, reference, sale, sale_of, stories,
};

stories!(
    operating,
    WorldPlan::new().with("LOG", "trace"),
    [
        health_is_told,
        the_description_has_every_path,
        all_faults_of_the_settings_are_told_at_once,
        a_loopback_klarna_must_be_allowed,
        wrong_usage_is_exit_2,
        a_reader_that_goes_away_breaks_nothing,
        keys_are_listed_for_machines,
        a_simulator_picks_its_port,
        messages_are_masked_in_the_loudest_log,
    ]
);

stories!(
    operating_limits,
    WorldPlan::new().with("LIMIT_AGENT_LINKS_PER_HOUR", "2"),
    [an_agent_is_limited]
);

stories!(
    operating_through_a_crash,
    WorldPlan::new(),
    [what_was_acknowledged_survives_a_crash]
);

stories!(
    operating_to_the_end,
    WorldPlan::new(),
    [an_asked_end_is_graceful]
);

async fn health_is_told(w: &World) {
    let stranger = w.stranger();
    w.agent().creates(&sale()).await;
    stranger.get("/healthz").await.expect(200);
    stranger.get("/readyz").await.expect(200);
    let metrics = stranger.get("/metrics").await.expect(200);
    assert!(
        metrics
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain"))
    );
    assert!(
        metrics
            .text()
            .lines()
            .any(|line| line.starts_with("paylink_")),
        "{}",
        metrics.text()
    );
}

async fn the_description_has_every_path(w: &World) {
    let document = w.stranger().get("/openapi.json").await.expect(200).json();
    assert!(
        document["openapi"]
            .as_str()
            .is_some_and(|version| version.starts_with("3.1")),
        "{}",
        document["openapi"]
    );
    let paths = document["paths"].as_object().expect("paths");
    // names of path parameters are the description's own
    let shape = |path: &str| {
        path.split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part })
            .collect::<Vec<_>>()
            .join("/")
    };
    let known: Vec<_> = paths
        .iter()
        .map(|(path, operations)| (shape(path), operations))
        .collect();
    let mut missing = Vec::new();
    for (path, methods) in [
        ("/v1/links", "get post"),
        ("/v1/links/{}", "get delete"),
        ("/v1/links/{}/events", "get"),
        ("/v1/links/{}/qr.png", "get"),
        ("/v1/links/{}/qr.svg", "get"),
        ("/v1/links/{}/deliveries", "get post"),
        ("/v1/links/{}/renew", "post"),
        ("/v1/links/{}/refresh", "post"),
        ("/v1/links/{}/disable", "post"),
        ("/v1/events", "get"),
        ("/v1/events/stream", "get"),
        ("/callbacks/hpp/{}", "post"),
        ("/callbacks/push/{}", "post"),
        ("/callbacks/notification/{}", "post"),
        ("/callbacks/validation/{}", "post"),
        ("/return/{}/{}", "get"),
        ("/healthz", "get"),
        ("/readyz", "get"),
        ("/metrics", "get"),
    ] {
        for method in methods.split(' ') {
            let kinds = [
                "/callbacks/hpp/{}",
                "/callbacks/push/{}",
                "/callbacks/notification/{}",
                "/callbacks/validation/{}",
            ];
            let there = known.iter().any(|(known, operations)| {
                let same = known == path || (kinds.contains(&path) && known == "/callbacks/{}/{}");
                same && operations[method].is_object()
            });
            if !there {
                missing.push(format!("{method} {path}"));
            }
        }
    }
    assert!(missing.is_empty(), "not described: {missing:?}");
    let docs = w.stranger().get("/docs/").await.expect(200).text();
    assert!(!docs.contains("//cdn"), "assets are embedded: {docs}");
}

async fn all_faults_of_the_settings_are_told_at_once(w: &World) {
    let env = [
        ("DATABASE_URL", "mysql://x"),
        ("KLARNA_API_URL", "http://api.example.com"),
        ("MERCHANT_TERMS_URL", "nowhere"),
        ("DEFAULT_TAX_RATE", "twenty"),
        ("SMS_GATEWAY", "pigeon"),
        ("PAYLINK_LISTEN", "here"),
        ("SMTP_URL", "smtp://mail.example.com?tls=none"),
        ("KLARNA_PASSWORD", "hush-hush"),
        ("MERCHANT_NAME", ""),
        ("SSL_CERT_FILE", "nowhere.pem"),
        ("DEFAULT_COUNTRY", "GB"),
        ("DEFAULT_CURRENCY", "SEK"),
    ];
    let mut env: Vec<_> = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    // what only templates find is told with the rest
    let folder = w.path("broken");
    std::fs::create_dir_all(folder.join("link")).expect("a folder");
    std::fs::write(folder.join("link/sms.txt.hbs"), "{{nothing").expect("a template");
    env.push((
        "EMAIL_TEMPLATES_DIR".to_owned(),
        folder.display().to_string(),
    ));
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for name in [
        "DATABASE_URL",
        "KLARNA_API_URL",
        "KLARNA_USERNAME",
        "MERCHANT_NAME",
        "MERCHANT_TERMS_URL",
        "DEFAULT_TAX_RATE",
        "SMS_GATEWAY",
        "PAYLINK_LISTEN",
        "PAYLINK_PUBLIC_URL",
        "SMTP_URL",
        "SSL_CERT_FILE",
        "DEFAULT_CURRENCY",
        "sms.txt.hbs",
    ] {
        assert!(
            ended.stderr.contains(name),
            "{name} is not in {}",
            ended.stderr
        );
    }
    // a gateway word that is not built names those that are
    assert!(
        ended.stderr.contains("http") && ended.stderr.contains("none"),
        "{}",
        ended.stderr
    );
    assert!(!ended.stderr.contains("hush-hush"));
    assert_eq!(ended.stdout, "");
}

async fn a_loopback_klarna_must_be_allowed(w: &World) {
    let mut env = w.env.clone();
    env.retain(|(name, _)| name != "PAYLINK_ALLOW_SIMULATOR" && name != "DATABASE_URL");
    env.push((
        "DATABASE_URL".to_owned(),
        format!("sqlite://{}", w.path("other.db").display()),
    ));
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("PAYLINK_ALLOW_SIMULATOR"),
        "{}",
        ended.stderr
    );
    // PostgreSQL needs a secret from outside
    env.retain(|(name, _)| name != "DATABASE_URL" && name != "PAYLINK_SECRET");
    env.push((
        "DATABASE_URL".to_owned(),
        "postgres://nobody@127.0.0.1:1/x?sslmode=disable".to_owned(),
    ));
    env.push(("PAYLINK_ALLOW_SIMULATOR".to_owned(), "1".to_owned()));
    let ended = run(&["serve"], &env, &w.dir);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("PAYLINK_SECRET"), "{}", ended.stderr);
}

async fn wrong_usage_is_exit_2(w: &World) {
    for args in [
        &["fly"][..],
        &["serve", "--fast"],
        &["keys", "create", "--name", "x", "--role", "king"],
        &[
            "keys",
            "create",
            "--name",
            "x",
            "--role",
            "agent",
            "--store",
            "Not A Store",
        ],
    ] {
        let ended = w.runs(args);
        assert_eq!(ended.code, Some(2), "{args:?}: {}", ended.stderr);
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert!(ended.stdout.is_empty(), "{args:?}");
        assert!(
            lines.len() == 1 && lines[0].starts_with("paylink: ") && lines[0].contains("--help"),
            "{args:?}: {lines:?}"
        );
    }
    for args in [
        &["--help"][..],
        &["serve", "--help"],
        &["keys", "create", "--help"],
        &["simulate", "--help"],
    ] {
        let ended = w.runs(args);
        assert_eq!(ended.code, Some(0), "{args:?}");
        assert!(ended.stdout.contains("Usage"), "{args:?}");
    }
}

async fn a_reader_that_goes_away_breaks_nothing(w: &World) {
    for args in [&["keys", "list", "--json"][..], &["--help"], &["check"]] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_paylink"))
            .args(args)
            .env_clear()
            .envs(w.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&w.dir)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("paylink starts");
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("paylink ends");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        // check may find something amiss; a panic would be 101
        assert!(ended.status.code().is_some_and(|it| it <= 1), "{args:?}");
    }
}

async fn keys_are_listed_for_machines(w: &World) {
    w.agent();
    let ended = w.runs(&["keys", "list", "--json"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(!ended.stdout.is_empty());
    for line in ended.stdout.lines() {
        let key: Value = serde_json::from_str(line).expect("an object per line");
        // 2026-11-24T09:30:00.000Z: milliseconds, as in every answer
        let made = key["created_at"].as_str().expect("a time");
        assert!(made.len() == 24 && made.ends_with('Z'), "{made}");
        assert_eq!(made.as_bytes()[19], b'.', "{made}");
    }
}

async fn a_simulator_picks_its_port(w: &World) {
    let mut simulator = Process::start(&["simulate", "--listen", "127.0.0.1:0"], &vec![], &w.dir);
    let base = simulator.listening();
    assert!(!base.ends_with(":0"), "{base}");
    assert_eq!(simulator.terminate(Duration::from_secs(10)).code, Some(0));
}

async fn messages_are_masked_in_the_loudest_log(w: &World) {
    let (agent, mut sale, mail, number) = (w.agent(), sale(), email(), phone());
    sale["send"] = json!([{"channel": "email", "to": mail}, {"channel": "sms", "to": number}]);
    let link = agent.creates(&sale).await;
    eventually("both leave", async || {
        (w.mail.to(&mail).len() == 1 && w.sms.to(&number).len() == 1).then_some(())
    })
    .await;
    w.klarna.buyer(&link, "pay").await;
    agent.until(id(&link), "completed").await;
    agent.get(&format!("/v1/links?q={mail}")).await.expect(200);
    agent
        .get(&format!("/v1/links?q={}", &number[3..]))
        .await
        .expect(200);
    // what the log says is searched at the end of the world
    assert!(!w.stderr().is_empty());
}

async fn an_agent_is_limited(w: &World) {
    for _ in 0..2 {
        w.agent().creates(&sale()).await;
    }
    let calls = w.klarna.changes().await;
    let answer = w.agent().sends(&sale()).await;
    answer.problem(429, "rate_limited");
    // the older of the two was made just now, and the window is an hour
    let wait = answer.retry_after();
    assert!((3_500..=3_601).contains(&wait), "{wait}");
    assert_eq!(w.klarna.changes().await, calls);
    // an agent whom an integrator names counts by her name
    let named = |name: &str| {
        let mut sale = sale();
        sale["agent"] = json!(name);
        sale
    };
    for _ in 0..2 {
        w.integrator().creates(&named("ann")).await;
    }
    w.integrator()
        .sends(&named("ann"))
        .await
        .problem(429, "rate_limited");
    w.integrator().creates(&named("bob")).await;
}

async fn what_was_acknowledged_survives_a_crash(w: &World) {
    let (agent, key) = (w.agent(), reference());
    let paid = agent.creates(&sale()).await;
    let open = agent.creates(&sale()).await;
    let (mut sale, mail, number) = (sale(), email(), phone());
    sale["send"] = json!([{"channel": "email", "to": mail}, {"channel": "sms", "to": number}]);
    w.klarna.breaks("create_session", "slow:8000", 1).await;
    let waiting = agent.sends(&sale).idempotent(&key).await.expect(202).json();
    let revoked = agent.creates(&sale_of(&reference())).await;
    w.klarna.breaks("disable_session", "status:503", 1).await;
    agent.disables(id(&revoked)).await.expect(202);
    w.crashes();
    // while nobody is there, the buyer pays
    w.klarna.buyer(&paid, "pay").await;
    w.comes_back();
    for link in [&paid, &open, &waiting, &revoked] {
        agent
            .get(&format!("/v1/links/{}", id(link)))
            .await
            .expect(200);
    }
    // on PostgreSQL the work of a dead process is taken over when its lease of 60 s ends
    let patience = if w.is_postgres() { 90 } else { 25 };
    agent.until_within(id(&waiting), "open", patience).await;
    agent.until_within(id(&revoked), "disabled", patience).await;
    let again = agent.sends(&sale).idempotent(&key).await;
    assert!([201, 202].contains(&again.status), "{}", again.text());
    assert_eq!(again.json()["id"], waiting["id"]);
    eventually("the messages of the link leave, once", async || {
        (w.mail.to(&mail).len() == 1 && w.sms.to(&number).len() == 1).then_some(())
    })
    .await;
    agent
        .press(&format!("/v1/links/{}/refresh", id(&paid)))
        .await
        .expect(200);
    agent.until(id(&paid), "completed").await;
    w.klarna.buyer(&open, "pay").await;
    agent.until(id(&open), "completed").await;
    // a crash between two requests loses no event
    for link in [&paid, &open, &waiting, &revoked] {
        for (index, event) in agent.timeline(id(link)).await.iter().enumerate() {
            assert_eq!(event["sequence"], index + 1);
        }
    }
}

async fn an_asked_end_is_graceful(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let stream = agent.get("/v1/events/stream").open().await;
    w.klarna.breaks("create_session", "slow:2000", 1).await;
    let late = sale();
    let call = tokio::spawn(IntoFuture::into_future(agent.sends(&late)));
    eventually("the request is at Klarna", async || {
        (!w.klarna.orders_for(&late["reference"]).await.is_empty()).then_some(())
    })
    .await;
    let ended = tokio::task::block_in_place(|| w.stops());
    assert!(ended.took < Duration::from_secs(25), "{:?}", ended.took);
    let answered = call.await.expect("the request was answered before the end");
    assert!([201, 202].contains(&answered.status), "{}", answered.text());
    let second: Value = answered.json();
    drop(stream);
    w.comes_back();
    assert_eq!(agent.link(id(&link)).await["status"], "open");
    agent.until(id(&second), "open").await;
    // the port was given back, and a free one is not ours
    assert!(free_port() > 0);
}
