//! Schemas of request bodies, written from `link::grammar`: what the document promises is what the
//! walker checks.

use std::borrow::Cow;

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, ObjectBuilder, Schema, SchemaFormat,
    SchemaType, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::link::grammar::{self, BODY, Form, Kind, Member};

macro_rules! bodies {
    ($($(#[$doc:meta])* $name:ident as $word:literal = $members:expr, $example:expr;)+) => {
        $(
            $(#[$doc])*
            pub struct $name;
            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    let Schema::Object(mut object) = members($members) else {
                        return RefOr::T(members($members));
                    };
                    object.example = serde_json::from_str($example).ok();
                    RefOr::T(Schema::Object(object))
                }
            }
            impl ToSchema for $name {
                fn name() -> Cow<'static, str> { Cow::Borrowed($word) }
            }
        )+
    };
}
bodies! {
    /// `POST /v1/links`.
    LinkRequest as "LinkRequest" = grammar::CREATE, include_str!("examples/link.json");
    /// `POST /v1/links/{id}/renew`.
    RenewBody as "RenewRequest" = grammar::RENEW, r#"{"expires_in":"PT24H","send":[{"channel":"email"}]}"#;
    /// `POST /v1/links/{id}/deliveries`.
    SendBody as "DeliveryRequest" = grammar::DELIVER, r#"{"channel":"sms","to":"+447700900123"}"#;
    /// `POST /v1/links/{id}/capture`.
    CaptureBody as "CaptureRequest" = grammar::CAPTURE, r#"{"amount":4799,"reference":"INV-1042","shipping_info":[{"shipping_company":"DHL UK","tracking_number":"63456415"}]}"#;
    /// `POST /v1/links/{id}/refunds`.
    RefundBody as "RefundRequest" = grammar::REFUND, r#"{"amount":4799,"reference":"RET-77"}"#;
    /// `POST /v1/links/{id}/disable`.
    DisableBody as "DisableRequest" = grammar::DISABLE, r#"{"reason":"paid_elsewhere"}"#;
}

/// An object with these members and no others. Those that are refused are left out. Null means
/// the same as an absent member, so it is taken where a member may be absent.
fn members(all: &[Member]) -> Schema {
    let mut object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(false)));
    for member in all {
        if let Some(schema) = kind(&member.kind) {
            object = if member.required {
                object.property(member.name, schema).required(member.name)
            } else if member.nullable {
                object.property(member.name, or_null(schema))
            } else {
                object.property(member.name, schema)
            };
        }
    }
    Schema::Object(object.build())
}

fn or_null(mut schema: Schema) -> Schema {
    let types = match &mut schema {
        Schema::Object(object) => {
            if let Some(words) = &mut object.enum_values {
                words.push(serde_json::Value::Null);
            }
            &mut object.schema_type
        }
        Schema::Array(array) => &mut array.schema_type,
        // kind() makes no others
        _ => return schema,
    };
    if let SchemaType::Type(one) = types {
        *types = SchemaType::from_iter([one.clone(), Type::Null]);
    }
    schema
}

fn kind(kind: &Kind) -> Option<Schema> {
    Some(match kind {
        Kind::Text { min, max, form } => text(*min, *max, *form),
        Kind::Word(words) => Schema::Object(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .enum_values(Some(words.iter().copied()))
                .build(),
        ),
        Kind::Int { min, max } => {
            let mut object = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
                .minimum(Some(*min));
            if *max != i64::MAX {
                object = object.maximum(Some(*max));
            }
            Schema::Object(object.build())
        }
        Kind::Flag => Schema::Object(ObjectBuilder::new().schema_type(Type::Boolean).build()),
        Kind::List { of, min, max } => {
            let mut array = ArrayBuilder::new()
                .items(RefOr::T(self::kind(of)?))
                .min_items(Some(*min));
            if *max != BODY {
                array = array.max_items(Some(*max));
            }
            Schema::Array(array.build())
        }
        Kind::Map(all) => members(all),
        Kind::Pairs { most, value, .. } => Schema::Object(
            ObjectBuilder::new()
                .schema_type(Type::Object)
                .max_properties(Some(*most))
                .additional_properties(Some(text(0, *value, Form::Free)))
                .build(),
        ),
        Kind::Managed | Kind::ReadOnly => return None,
    })
}

fn text(min: usize, max: usize, form: Form) -> Schema {
    let mut object = ObjectBuilder::new().schema_type(Type::String);
    if min > 0 {
        object = object.min_length(Some(min));
    }
    if max != BODY {
        object = object.max_length(Some(max));
    }
    let custom = |word: &str| Some(SchemaFormat::Custom(word.to_owned()));
    object = match form {
        Form::Free | Form::Person => object,
        Form::Email => object.format(custom("email")),
        Form::Url => object.format(custom("uri")),
        Form::Date => object.format(custom("date")),
        Form::Instant => object.format(custom("date-time")),
        Form::Duration => object.format(custom("duration")),
        Form::Phone => {
            object.description(Some("E.164, or as it is written in the purchase country."))
        }
        Form::Country | Form::Market => object
            .pattern(Some("^[A-Za-z]{2}$"))
            .description(Some("ISO 3166-1 alpha-2.")),
        Form::Currency => object
            .pattern(Some("^[A-Za-z]{3}$"))
            .description(Some("ISO 4217.")),
        Form::Locale => object
            .pattern(Some("^[A-Za-z]{2}(-[A-Za-z]{2})?$"))
            .description(Some("BCP 47: `en` or `en-GB`.")),
        Form::Color => object.pattern(Some("^#[0-9A-Fa-f]{6}$")),
    };
    Schema::Object(object.build())
}
