//! The kinds of news that a link makes. An event is appended in the transaction of the change
//! that it tells of, and never changes afterwards.

use super::sale::words;

/// `api.md` and `contract.md`, Events: the types that this program emits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum EventKind {
    LinkCreated,
    LinkPayable,
    LinkViewed,
    LinkConsumerChanged,
    LinkCompleted,
    LinkCancelled,
    LinkDisabling,
    LinkDisabled,
    LinkExpired,
    LinkFailed,
    LinkRenewed,
    LinkMismatch,
    LinkDuplicatePayment,
    LinkPaidAfterDisable,
    DeliveryQueued,
    DeliverySent,
    DeliveryDelivered,
    DeliveryFailed,
    DeliveryUnknown,
    DeliverySkipped,
    PaymentAuthorized,
    PaymentFraudUpdated,
    PaymentCaptured,
    PaymentRefunded,
    PaymentCancelled,
}
words!(EventKind {
    LinkCreated = "link.created",
    LinkPayable = "link.payable",
    LinkViewed = "link.viewed",
    LinkConsumerChanged = "link.consumer_changed",
    LinkCompleted = "link.completed",
    LinkCancelled = "link.cancelled",
    LinkDisabling = "link.disabling",
    LinkDisabled = "link.disabled",
    LinkExpired = "link.expired",
    LinkFailed = "link.failed",
    LinkRenewed = "link.renewed",
    LinkMismatch = "link.mismatch",
    LinkDuplicatePayment = "link.duplicate_payment",
    LinkPaidAfterDisable = "link.paid_after_disable",
    DeliveryQueued = "delivery.queued",
    DeliverySent = "delivery.sent",
    DeliveryDelivered = "delivery.delivered",
    DeliveryFailed = "delivery.failed",
    DeliveryUnknown = "delivery.unknown",
    DeliverySkipped = "delivery.skipped",
    PaymentAuthorized = "payment.authorized",
    PaymentFraudUpdated = "payment.fraud_updated",
    PaymentCaptured = "payment.captured",
    PaymentRefunded = "payment.refunded",
    PaymentCancelled = "payment.cancelled",
});
