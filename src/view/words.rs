//! Schemas of the closed sets of words, made from the sets themselves so that the document cannot
//! lag behind them.

use serde_json::Value;
use utoipa::openapi::schema::{Object, ObjectBuilder, SchemaType, Type};

use crate::link::{
    Channel, Closing, Consumer, DeliveryStatus, EventKind, Exit, FailureCode, LineKind, Mode,
    OperationKind, PaymentStatus, ReasonCode, Status, UseCase,
};

fn set(words: impl Iterator<Item = &'static str>, nullable: bool) -> Object {
    let kind = if nullable {
        SchemaType::from_iter([Type::String, Type::Null])
    } else {
        SchemaType::new(Type::String)
    };
    let null = nullable.then_some(Value::Null);
    ObjectBuilder::new()
        .schema_type(kind)
        .enum_values(Some(words.map(Value::from).chain(null)))
        .build()
}

macro_rules! sets {
    ($($name:ident = $kind:ty, $nullable:literal;)+) => {
        $(pub fn $name() -> Object { set(<$kind>::ALL.iter().map(|it| it.as_str()), $nullable) })+
    };
}
sets! {
    channel = Channel, false;
    consumer = Consumer, true;
    delivery_status = DeliveryStatus, false;
    event_kind = EventKind, false;
    exit = Exit, true;
    failure_code = FailureCode, false;
    line_kind = LineKind, false;
    mode = Mode, false;
    operation_object = OperationKind, false;
    payment_status = PaymentStatus, false;
    reason_code = ReasonCode, false;
    status = Status, false;
    use_case = UseCase, false;
}

/// A closing without a reason given is `null` outside.
pub fn closing() -> Object {
    set(
        Closing::ALL.iter().filter_map(|it| super::link::said(*it)),
        true,
    )
}

/// What came of an operation.
pub fn operation_status() -> Object {
    set(["pending", "done", "failed"].into_iter(), false)
}

/// The word that names what kind of object this is.
macro_rules! object {
    ($($name:ident = $word:literal;)+) => {
        $(pub fn $name() -> Object { set(std::iter::once($word), false) })+
    };
}
object! {
    delivery_object = "delivery";
    event_object = "event";
    link_object = "link";
    list_object = "list";
}
