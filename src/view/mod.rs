//! The public JSON shapes of the contract, made from the nouns: `web` answers with them, `store`
//! freezes events with them. One place, because the same bytes leave by list, stream and webhook.
//! Knows the members' names and what is masked; must not know HTTP, SQL, or who is asking.
//!
//! All members are always present, `null` when unknown (`contract.md`, Shapes).

mod delivery;
pub mod event;
mod link;
mod list;
mod operation;
mod payment;
mod person;
mod sale;
#[cfg(test)]
mod tests;
mod value;
mod words;

pub use delivery::{DeliveryView, ReasonView};
pub use event::{EventData, EventView};
pub use link::{FailureView, KlarnaRefusalView, KlarnaView, LinkView, QrView};
pub use list::{EventPage, LinkPage, List};
pub use operation::OperationView;
pub use payment::{BuyerView, PaymentView};
pub use person::{AddressView, CustomerView};
pub use sale::{BackgroundView, LineView, PageView};
pub use value::{Instant, Json, Pairs};

/// How much of a link is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Everything, personal data masked: the ordinary answer and every event.
    Full,
    /// As [`Detail::Full`] without `order_lines`: an item of a list.
    Item,
    /// Everything, personal data in full. Whoever asks for it writes an audit row first.
    Revealed,
}

impl Detail {
    fn reveals(self) -> bool {
        self == Detail::Revealed
    }
}
