//! The merchant's last word before a purchase: `merchant_urls.validation`.

use std::time::Duration;

use actix_web::web::Bytes;
use serde_json::Value;

/// Silence is consent after this, or a refusal after the longer time where the order says that an
/// approval is required.
const SILENCE: Duration = Duration::from_secs(3);
const STRICT_SILENCE: Duration = Duration::from_secs(10);

/// What the merchant says to a purchase.
pub(super) enum Verdict {
    Approved,
    /// With the HTTP status, and where the buyer is sent or what the buyer is told.
    Denied {
        status: Option<u16>,
        location: Option<String>,
        text: Option<String>,
    },
}

/// Asks the merchant's `validation` whether the purchase may go through. Silence is consent after
/// 3 s, unless the order says that an approval is required: then it is a refusal, after 10 s.
pub(super) async fn validate(
    client: &reqwest::Client,
    url: &str,
    order: Bytes,
    required: bool,
) -> Verdict {
    let patience = if required { STRICT_SILENCE } else { SILENCE };
    let asked = client
        .post(url)
        .timeout(patience)
        .header("content-type", "application/json")
        .body(order)
        .send()
        .await;
    let unanswered = |status| {
        if required {
            Verdict::Denied {
                status,
                location: None,
                text: None,
            }
        } else {
            Verdict::Approved
        }
    };
    let Ok(answer) = asked else {
        return unanswered(None);
    };
    let status = answer.status().as_u16();
    match status {
        200..=299 => Verdict::Approved,
        301 | 302 | 303 | 307 => {
            let location = answer.headers().get("location");
            let location = location
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned);
            Verdict::Denied {
                status: Some(status),
                location,
                text: None,
            }
        }
        400 => {
            let said = answer.json::<Value>().await.unwrap_or_default();
            let text = said
                .get("error_text")
                .and_then(Value::as_str)
                .map(str::to_owned);
            Verdict::Denied {
                status: Some(status),
                location: None,
                text,
            }
        }
        _ => unanswered(Some(status)),
    }
}
