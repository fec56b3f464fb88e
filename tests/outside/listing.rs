//! Finding links again, and what a version is good for.

use serde_json::{Value, json};

use super::harness::world::id;
use super::harness::{Caller, World, WorldPlan, reference, sale, stories};

stories!(
    listing,
    WorldPlan::new(),
    [
        filters_choose,
        pages_follow_each_other_without_gap,
        a_search_finds_what_people_have_in_hand,
        a_query_is_judged,
        an_etag_saves_a_body,
        nothing_personal_is_shown_unless_asked_for,
    ]
);

async fn found(caller: &Caller, query: &str) -> Vec<String> {
    let list = caller
        .get(&format!("/v1/links?{query}"))
        .await
        .expect(200)
        .json();
    assert_eq!(list["object"], "list");
    assert!(
        list["has_more"].is_boolean() && list.get("next_cursor").is_some(),
        "{list:#}"
    );
    list["data"]
        .as_array()
        .expect("data")
        .iter()
        .map(|link| id(link).to_owned())
        .collect()
}

async fn filters_choose(w: &World) {
    let agent = w.caller("agent", "filters");
    let mut made = Vec::new();
    for (use_case, name) in [
        ("telesales", "ann"),
        ("in_store", "ann"),
        ("ecommerce", "bob"),
    ] {
        let mut sale = sale();
        sale["use_case"] = json!(use_case);
        sale["agent"] = json!(name);
        if name == "bob" {
            sale["send"] = json!([{"channel": "email", "to": super::harness::email()}]);
        }
        made.push(agent.creates(&sale).await);
    }
    agent.disables(id(&made[0])).await.expect(200);
    let [one, two, three] = [id(&made[0]), id(&made[1]), id(&made[2])];
    let time = |link: &Value| link["created_at"].as_str().expect("a time").to_owned();
    for (query, ids) in [
        (String::new(), vec![three, two, one]),
        ("status=open".to_owned(), vec![three, two]),
        ("status=disabled".to_owned(), vec![one]),
        ("status=open,disabled".to_owned(), vec![three, two, one]),
        ("status=completed".to_owned(), vec![]),
        (
            format!("reference={}", made[1]["reference"].as_str().expect("text")),
            vec![two],
        ),
        ("agent=ann".to_owned(), vec![two, one]),
        ("use_case=in_store".to_owned(), vec![two]),
        ("channel=email".to_owned(), vec![three]),
        ("channel=sms".to_owned(), vec![]),
        ("store=filters".to_owned(), vec![three, two, one]),
        (
            format!("created_after={}", time(&made[1])),
            vec![three, two],
        ),
        (format!("created_before={}", time(&made[1])), vec![one]),
        (
            format!("updated_after={}", time(&made[2])),
            vec![three, one],
        ),
    ] {
        assert_eq!(found(&agent, &query).await, ids, "{query}");
    }
    let list = agent.get("/v1/links").await.expect(200).json();
    for link in list["data"].as_array().expect("data") {
        assert!(
            link.get("order_lines").is_none(),
            "items come without order_lines"
        );
        assert_eq!(link["store"], "filters");
    }
    // an administrator sees all stores, an agent her own
    assert_eq!(found(&w.admin(), "store=filters").await, [three, two, one]);
    assert!(
        !found(&w.agent(), "limit=100")
            .await
            .contains(&one.to_owned())
    );
}

async fn pages_follow_each_other_without_gap(w: &World) {
    let agent = w.caller("agent", "pages");
    let mut made = Vec::new();
    for _ in 0..5 {
        made.push(id(&agent.creates(&sale()).await).to_owned());
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut query = "limit=2".to_owned();
    for page in 0..3 {
        let list = agent
            .get(&format!("/v1/links?{query}"))
            .await
            .expect(200)
            .json();
        seen.extend(
            list["data"]
                .as_array()
                .expect("data")
                .iter()
                .map(|link| id(link).to_owned()),
        );
        assert_eq!(list["has_more"], page < 2);
        if page == 0 {
            // what is made while somebody turns pages moves nothing
            agent.creates(&sale()).await;
        }
        if page < 2 {
            query = format!(
                "limit=2&cursor={}",
                list["next_cursor"].as_str().expect("a cursor")
            );
        } else {
            assert_eq!(list["next_cursor"], Value::Null);
        }
    }
    assert_eq!(seen, made);
}

async fn a_search_finds_what_people_have_in_hand(w: &World) {
    let agent = w.caller("agent", "search");
    let mut sale = sale();
    sale["billing_address"]["email"] = json!("quillfeather.sought@example.com");
    sale["billing_address"]["phone"] = json!("+447700900091");
    let link = agent.creates(&sale).await;
    let mut other = super::harness::sale();
    other["billing_address"] =
        json!({"country": "GB", "given_name": "Ada", "family_name": "Nobody"});
    agent.creates(&other).await;
    let klarna = &link["klarna"];
    for word in [
        sale["reference"].as_str().expect("text"),
        id(&link),
        klarna["order_id"].as_str().expect("an order"),
        klarna["session_id"].as_str().expect("a session"),
        "quillfeather.sought@example.com",
        "QUILLFEATHER.SOUGHT@example.com",
        "%2B447700900091",
        "07700%20900%20091",
        "%2B44%207700%20900-091",
        "0091",
        "Quillfeather",
        "quillfeather",
        "xaverius",
    ] {
        assert_eq!(
            found(&agent, &format!("q={word}")).await,
            [id(&link)],
            "q={word}"
        );
    }
    // whole words, exact references
    for word in ["Quillf", "SO-", "9999"] {
        assert!(
            found(&agent, &format!("q={word}")).await.is_empty(),
            "q={word}"
        );
    }
}

async fn a_query_is_judged(w: &World) {
    let agent = w.agent();
    for (query, parameter, code) in [
        ("limit=0", "limit", "out_of_range"),
        ("limit=101", "limit", "out_of_range"),
        ("limit=ten", "limit", ""),
        ("cursor=nonsense", "cursor", ""),
        ("status=opened", "status", "invalid_value"),
        ("created_after=yesterday", "created_after", ""),
        ("colour=red", "colour", "unknown_field"),
        ("limit=1&limit=2", "limit", "unknown_field"),
    ] {
        let answer = agent.get(&format!("/v1/links?{query}")).await;
        let problem = answer.problem(422, "validation_failed");
        let fault = &problem["errors"][0];
        assert_eq!(fault["parameter"], parameter, "{query}: {problem:#}");
        assert!(code.is_empty() || fault["code"] == code, "{query}: {fault}");
    }
}

async fn an_etag_saves_a_body(w: &World) {
    let agent = w.agent();
    let link = agent.creates(&sale()).await;
    let path = format!("/v1/links/{}", id(&link));
    let answer = agent.get(&path).await.expect(200);
    let tag = answer.header("etag").expect("an ETag").to_owned();
    assert_eq!(tag, format!("\"{}\"", answer.json()["version"]));
    let same = agent
        .get(&path)
        .header("if-none-match", &tag)
        .await
        .expect(304);
    assert!(same.bytes.is_empty());
    agent.disables(id(&link)).await.expect(200);
    let changed = agent
        .get(&path)
        .header("if-none-match", &tag)
        .await
        .expect(200);
    assert_ne!(changed.header("etag"), Some(tag.as_str()));
    assert!(changed.json()["version"].as_u64() > link["version"].as_u64());
    agent
        .get("/v1/links/lnk_unknown")
        .await
        .problem(404, "not_found");
}

async fn nothing_personal_is_shown_unless_asked_for(w: &World) {
    let mut sale = sale();
    sale["reference"] = json!(reference());
    sale["customer"] = json!({"date_of_birth": "1983-02-17"});
    let answer = w.agent().sends(&sale).await.expect(201);
    let link = answer.json();
    let masked = json!({"given_name": "X***", "family_name": "Q***", "email": "x***@example.com", "phone": "+44***023",
        "street_address": "***", "postal_code": "***", "country": "GB"});
    let again = w.agent().link(id(&link)).await;
    for (member, value) in masked.as_object().expect("an object") {
        assert_eq!(link["billing_address"][member], *value, "{member}");
        assert_eq!(again["billing_address"][member], *value, "{member}");
    }
    let path = format!("/v1/links/{}?reveal=true", id(&link));
    for role in ["agent", "supervisor", "integrator", "admin"] {
        let shown = w
            .caller(role, "default")
            .get(&path)
            .revealing()
            .await
            .expect(200)
            .json();
        let address = &shown["billing_address"];
        assert_eq!(
            address["email"], "xaverius.quillfeather@example.com",
            "{role}"
        );
        assert_eq!(address["phone"], "+447700900023", "{role}");
        assert_eq!(address["family_name"], "Quillfeather", "{role}");
        assert_eq!(address["street_address"], "12 Wanderlane", "{role}");
    }
    // the others are told nothing; their answers stay in the final search
    w.caller("auditor", "default").get(&path).await;
    w.caller("tablet", "default").get(&path).await;
}
