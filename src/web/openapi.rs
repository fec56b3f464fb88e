//! The OpenAPI 3.1 document, made from the handlers, the views and the grammar of requests. What
//! holds for every call (the key, the answers of the edge, "all members are always present") is
//! added here once.

use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, ServerBuilder};
use utoipa::{OpenApi, openapi};

pub use super::schema::{CaptureBody, DisableBody, LinkRequest, RefundBody, RenewBody, SendBody};
use super::{api, callbacks, live, pages, probes, problem};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "paylink",
        description = "Distributes Klarna payment links by e-mail, SMS and QR code, follows each to its end, \
                       and can revoke it. Amounts are integers in minor units; times are RFC 3339 in UTC.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")
    ),
    paths(
        api::listing::list, api::writes::create, api::links::read, api::writes::delete,
        api::writes::renew, api::writes::refresh, api::writes::disable, api::qr::png, api::qr::svg,
        api::deliveries::list, api::deliveries::send,
        api::money::capture, api::money::captures, api::money::refund, api::money::refunds,
        api::money::cancel, api::money::release, api::money::extend, api::money::operations,
        api::events::timeline, api::events::list, live::stream,
        callbacks::called, pages::returned, probes::alive, probes::ready, probes::metrics,
    ),
    components(schemas(problem::ProblemView<'static>, problem::FaultView)),
    tags(
        (name = "links", description = "Payment links: create, read, renew, close."),
        (name = "deliveries", description = "Messages that carry a link to its buyer."),
        (name = "money", description = "What the seller does with an authorisation: capture, refund, let go."),
        (name = "events", description = "What happened, as lists and live."),
        (name = "klarna", description = "Called by Klarna and by the returning buyer; the token is the key."),
        (name = "operations", description = "For the operator's machines."),
    ),
    security(("key" = []))
)]
struct Document;

/// Members that are absent where they do not apply; all others are always there.
const OPTIONAL: &[(&str, &str)] = &[
    ("Link", "order_lines"),
    ("Qr", "png_base64"),
    ("Fault", "pointer"),
    ("Fault", "parameter"),
];

/// The document, for an installation whose public URL is `base`.
pub fn document(base: &str) -> String {
    // JSON of strings, numbers and lists
    finished(base).to_json().unwrap_or_default()
}

fn finished(base: &str) -> openapi::OpenApi {
    let mut document = Document::openapi();
    document.servers = Some(vec![ServerBuilder::new().url(base).build()]);
    if let Some(components) = &mut document.components {
        let key = SecurityScheme::Http(
            Http::builder()
                .scheme(HttpAuthScheme::Bearer)
                .description(Some("An API key, `plk_live_…` or `plk_test_…`."))
                .build(),
        );
        components.add_security_scheme("key", key);
        for (name, schema) in &mut components.schemas {
            if !name.ends_with("Request") {
                complete(name, schema);
            }
        }
    }
    for (path, item) in &mut document.paths.paths {
        let reads = item.get.as_mut().map(|it| (it, false));
        let writes = [&mut item.post, &mut item.delete];
        let writes = writes.into_iter().flatten().map(|it| (it, true));
        for (operation, with_body) in reads.into_iter().chain(writes) {
            if path.starts_with("/v1/") {
                add(operation, OF_ALL);
                // those that need none read it, too: what is given and not understood is refused
                if with_body {
                    add(operation, OF_BODIES);
                }
            }
            told_as_problems(operation);
            // OpenAPI: plain text, unlike a description
            if let Some(summary) = &mut operation.summary {
                summary.retain(|it| !matches!(it, '`' | '*'));
            }
        }
    }
    document
}

/// All members are always present.
fn complete(name: &str, schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(object)) = schema {
        object.required = object
            .properties
            .keys()
            .filter(|member| !OPTIONAL.contains(&(name, member.as_str())))
            .cloned()
            .collect();
    }
}

/// Problems by status, with what is said of each.
type Problems = &'static [(&'static str, &'static str)];

/// The answers that every call under `/v1` may give.
const OF_ALL: Problems = &[
    ("401", "`unauthorized`: no valid API key."),
    ("403", "`forbidden`: the key's role lacks this call."),
    ("422", "`validation_failed`: all faults at once."),
    (
        "503",
        "`storage_unavailable`, `overloaded`: nothing was acknowledged.",
    ),
];

/// The answers that every call that reads a body may give besides.
const OF_BODIES: Problems = &[
    ("400", "`malformed_json`: the body is not one JSON object."),
    ("413", "`payload_too_large`: more than 1 MiB."),
    ("415", "`unsupported_media_type`: not `application/json`."),
];

/// Adds the problems that the call itself does not tell of.
fn add(operation: &mut Operation, problems: Problems) {
    let problem = RefOr::Ref(Ref::from_schema_name("Problem"));
    for &(status, description) in problems {
        let response = ResponseBuilder::new()
            .description(description)
            .content(
                "application/problem+json",
                ContentBuilder::new().schema(Some(problem.clone())).build(),
            )
            .build();
        operation
            .responses
            .responses
            .entry(status.to_owned())
            .or_insert(RefOr::T(response));
    }
}

/// Problems have a media type of their own.
fn told_as_problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response)
            && let Some(content) = response.content.shift_remove("application/json")
        {
            response
                .content
                .insert("application/problem+json".into(), content);
        }
    }
}
