//! Links as a list, newest first.

use actix_web::{HttpRequest, HttpResponse, web};

use crate::access::{Caller, Reach, Verb};
use crate::link::{Channel, Code, Status, UseCase};
use crate::store::{Cursor, Filter, Listed, Query as Question};
use crate::view::{Detail, LinkPage, LinkView};
use crate::web::State;
use crate::web::auth::require;
use crate::web::problem::{Problem, ProblemView};
use crate::web::query::Query;
use crate::web::refusal::storage;

const PARAMETERS: &[&str] = &[
    "status",
    "reference",
    "q",
    "store",
    "agent",
    "channel",
    "use_case",
    "created_after",
    "created_before",
    "updated_after",
    "limit",
    "cursor",
];

/// Links, newest first, without `order_lines`.
#[utoipa::path(get, path = "/v1/links", operation_id = "list_links", tag = "links",
    params(("status" = Option<String>, Query, description = "Statuses, separated by commas."),
           ("reference" = Option<String>, Query, description = "Exactly this."),
           ("q" = Option<String>, Query, description = "A reference, a link's or Klarna's id, an e-mail address, a phone number in any notation or its last four digits, or whole words of a name."),
           ("store" = Option<String>, Query),
           ("agent" = Option<String>, Query),
           ("channel" = Option<String>, Query, description = "With a delivery by `email` or `sms`."),
           ("use_case" = Option<String>, Query),
           ("created_after" = Option<String>, Query, description = "RFC 3339, inclusive."),
           ("created_before" = Option<String>, Query, description = "RFC 3339, exclusive."),
           ("updated_after" = Option<String>, Query, description = "RFC 3339, inclusive."),
           ("limit" = Option<u32>, Query, description = "1 to 100; 20."),
           ("cursor" = Option<String>, Query, description = "A `next_cursor`.")),
    responses((status = 200, description = "A page.", body = LinkPage),
              (status = 422, description = "`validation_failed`", body = ProblemView)))]
pub async fn list(
    state: web::Data<State>,
    caller: Caller,
    request: HttpRequest,
) -> Result<HttpResponse, Problem> {
    require(&caller, Verb::List)?;
    let mut query = Query::of(&request, PARAMETERS);
    let asked_store = query.text("store");
    let filter = filter(&mut query, &caller);
    let limit = query.number("limit", 1..=100, 20);
    let cursor = query.value("cursor", |text| {
        Cursor::parse(text).ok_or((Code::InvalidValue, "no cursor of ours"))
    });
    query.finish()?;
    // another store has no links that this caller may know of
    let foreign = asked_store.is_some_and(|asked| !caller.sees(&asked));
    let listed = if foreign {
        Listed {
            items: Vec::new(),
            next: None,
        }
    } else {
        state
            .house
            .store
            .read(move |tx| tx.list(&filter, cursor.as_ref(), limit))
            .await
            .map_err(|error| storage(&error))?
    };
    let now = state.house.clock.now();
    let next = listed.next.map(|cursor| cursor.to_string());
    Ok(HttpResponse::Ok().json(LinkPage {
        object: "list",
        data: listed
            .items
            .iter()
            .map(|(link, deliveries)| LinkView::new(link, deliveries, now, Detail::Item))
            .collect(),
        has_more: next.is_some(),
        next_cursor: next,
    }))
}

fn filter(query: &mut Query, caller: &Caller) -> Filter {
    Filter {
        status: query.words("status", Status::from_word),
        reference: query.text("reference"),
        q: query.text("q").and_then(|text| question(&text)),
        store: query.text("store").or_else(|| caller.store.clone()),
        agent: query.text("agent"),
        channel: query.value("channel", |text| {
            Channel::from_word(text).ok_or((Code::InvalidValue, "email or sms is wanted"))
        }),
        use_case: query.value("use_case", |text| {
            UseCase::from_word(text).ok_or((
                Code::InvalidValue,
                "telesales, in_store or ecommerce is wanted",
            ))
        }),
        created_after: query.instant("created_after"),
        created_before: query.instant("created_before"),
        updated_after: query.instant("updated_after"),
        actor: (caller.reach(Verb::Read) == Reach::Own).then_some(caller.actor),
    }
}

/// In a query string an unescaped plus is a space: `q=+44770…` is meant as a phone number.
fn question(text: &str) -> Option<Question> {
    match text.strip_prefix(' ') {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => {
            Question::new(&format!("+{digits}"))
        }
        _ => Question::new(text),
    }
}
