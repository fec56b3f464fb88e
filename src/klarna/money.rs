//! What is done to an order's money in Order Management: capture, refund, and all that decides how
//! much of it there is to capture (klarna.md §3). Each call carries an idempotency key that Klarna
//! honours for 24 h; what is done with an unknown outcome is the caller's affair.

use reqwest::Method;
use serde::Serialize;
use uuid::Uuid;

use super::error::{KlarnaError, clean};
use super::transport::{Answer, Op};
use super::wire::om;
use super::{Klarna, safe, written};
use crate::link::{Line, Tree};

/// A capture or a refund that is asked for.
#[derive(Clone, Debug)]
pub struct Movement<'a> {
    /// Minor units of the order's currency.
    pub amount: i64,
    /// Holds our operation id, by which the movement is found again when its key is too old;
    /// ≤ 255 characters.
    pub reference: &'a str,
    /// What the buyer reads, ≤ 255 characters.
    pub description: Option<&'a str>,
    /// What is captured or refunded; none are sent where there are none.
    pub lines: &'a [Line],
    /// How captured goods went to the buyer, each in Klarna's names; of no meaning to a refund.
    pub shipments: &'a [Tree],
}

/// Each of these may end as `Forbidden` with status 403: the order's state does not allow it, in
/// Klarna's words (`CAPTURE_NOT_ALLOWED` …), and as `Unknown`, after which a repeat under the same
/// key within 24 h tells what became of it.
impl Klarna {
    /// Captures a part or all of what is authorised. Klarna's id of the capture; `None` where the
    /// answer named none.
    pub async fn capture(
        &self,
        order: &str,
        movement: &Movement<'_>,
        key: Uuid,
    ) -> Result<Option<String>, KlarnaError> {
        let body = om::Capture::of(movement);
        let answer = self
            .change(Op::Capture, order, "/captures", Some(&body), key)
            .await?;
        Ok(id(&answer, "capture-id", "captures"))
    }

    /// Gives back a part or all of what is captured. Klarna's id of the refund; `None` where the
    /// answer named none.
    pub async fn refund(
        &self,
        order: &str,
        movement: &Movement<'_>,
        key: Uuid,
    ) -> Result<Option<String>, KlarnaError> {
        let body = om::Refund::of(movement);
        let answer = self
            .change(Op::Refund, order, "/refunds", Some(&body), key)
            .await?;
        Ok(id(&answer, "refund-id", "refunds"))
    }

    /// Cancels an order of which nothing is captured.
    pub async fn cancel(&self, order: &str, key: Uuid) -> Result<(), KlarnaError> {
        self.press(Op::Cancel, order, "/cancel", key).await
    }

    /// Gives up what is authorised and not captured; something must be captured.
    pub async fn release(&self, order: &str, key: Uuid) -> Result<(), KlarnaError> {
        let after = "/release-remaining-authorization";
        self.press(Op::Release, order, after, key).await
    }

    /// Moves the end of the authorisation to Klarna's full period from now. Not every payment
    /// method can (klarna.md §3, authorisation period).
    pub async fn extend(&self, order: &str, key: Uuid) -> Result<(), KlarnaError> {
        let after = "/extend-authorization-time";
        self.press(Op::Extend, order, after, key).await
    }

    /// Sets the references of a placed order, each ≤ 255 characters; `None` leaves one as it is.
    pub async fn set_references(
        &self,
        order: &str,
        reference1: Option<&str>,
        reference2: Option<&str>,
        key: Uuid,
    ) -> Result<(), KlarnaError> {
        let body = om::References {
            merchant_reference1: reference1,
            merchant_reference2: reference2,
        };
        self.change(
            Op::References,
            order,
            "/merchant-references",
            Some(&body),
            key,
        )
        .await
        .map(drop)
    }

    /// Sets what is authorised, in minor units, and the lines that it is for (none: the lines stay).
    /// More than before is subject to Klarna's risk assessment.
    pub async fn update_authorization(
        &self,
        order: &str,
        amount: i64,
        lines: &[Line],
        description: Option<&str>,
        key: Uuid,
    ) -> Result<(), KlarnaError> {
        let body = om::Authorization::of(amount, lines, description);
        self.change(Op::Authorization, order, "/authorization", Some(&body), key)
            .await
            .map(drop)
    }

    /// A change without a body.
    async fn press(&self, op: Op, order: &str, after: &str, key: Uuid) -> Result<(), KlarnaError> {
        self.change(op, order, after, None::<&()>, key)
            .await
            .map(drop)
    }

    async fn change(
        &self,
        op: Op,
        order: &str,
        after: &str,
        body: Option<&impl Serialize>,
        key: Uuid,
    ) -> Result<Answer, KlarnaError> {
        let method = match op {
            Op::References | Op::Authorization => Method::PATCH,
            _ => Method::POST,
        };
        let url = self.url(op, "/ordermanagement/v1/orders/", order, after)?;
        let body = body.map(|body| written(op, body)).transpose()?;
        match self.exchange(op, method, url, body, Some(key)).await {
            // The one 4xx that proves nothing here: a call under this key is still under way (our
            // own, given up too early), or another change came between. The first may yet be done.
            Err(KlarnaError::Refused(refusal)) if refusal.status == 409 => {
                let code = refusal.code.unwrap_or_default();
                Err(op.unknown(format_args!("answered 409 {code}, a change is under way")))
            }
            end => end,
        }
    }
}

/// Klarna's id of what was made: the header that is for it, else the last part of `Location`.
fn id(answer: &Answer, name: &str, collection: &str) -> Option<String> {
    let of = |text: &str| clean(text, 256).filter(|it| safe(it));
    let located = || {
        let location = answer.header("location")?;
        let path = location.split(['?', '#']).next()?.trim_end_matches('/');
        let (before, last) = path.rsplit_once('/')?;
        before
            .ends_with(&format!("/{collection}"))
            .then(|| of(last))?
    };
    answer.header(name).and_then(of).or_else(located)
}
