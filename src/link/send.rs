//! Messages that a request asks for: who gets them, by which channel, and whether this
//! installation can send them (`contract.md`, Contacts and Shapes: Deliveries).

use super::contact::{Email, Phone};
use super::delivery::{Channel, Recipient};
use super::fault::Code;
use super::request::{Defaults, Send};
use super::text;
use super::tree::Tree;
use super::walk::{EMAIL, PHONE, Walk};

/// A contact where a body has, or should have, one.
pub(super) enum Contact<T> {
    None,
    /// There is one and it is faulty: that was said where it is.
    Faulty,
    Is(T),
}

/// The contacts of the billing address.
pub(super) struct Billing {
    pub(super) email: Contact<Email>,
    pub(super) phone: Contact<Phone>,
}

impl Billing {
    /// The contacts of a sale that was checked before.
    pub(super) fn of(address: Option<&super::Address>) -> Self {
        fn known<T: Clone>(contact: Option<&T>) -> Contact<T> {
            contact.map_or(Contact::None, |it| Contact::Is(it.clone()))
        }
        Self {
            email: known(address.and_then(|it| it.email.as_ref())),
            phone: known(address.and_then(|it| it.phone.as_ref())),
        }
    }

    /// The contacts of a body that is being checked.
    pub(super) fn read(body: &Tree, walk: &Walk) -> Self {
        let address = body.get("billing_address");
        if address.is_some_and(|address| !matches!(address, Tree::Map(_))) {
            return Self {
                email: Contact::Faulty,
                phone: Contact::Faulty,
            };
        }
        let member = |name| address.and_then(|address| address.get(name));
        Self {
            email: match member("email") {
                None => Contact::None,
                Some(Tree::Text(text)) => Email::parse(text).map_or(Contact::Faulty, Contact::Is),
                Some(_) => Contact::Faulty,
            },
            phone: match member("phone") {
                None => Contact::None,
                Some(Tree::Text(text)) => match walk.phone(text) {
                    Ok(Some(phone)) => Contact::Is(phone),
                    Ok(None) | Err(_) => Contact::Faulty,
                },
                Some(_) => Contact::Faulty,
            },
        }
    }
}

/// The messages of a `send` list whose members were walked. Faults go to `walk`.
pub(super) fn sends(
    body: &Tree,
    billing: &Billing,
    defaults: &Defaults,
    walk: &mut Walk,
) -> Vec<Send> {
    let items = body.items("send");
    if items.len() > 10 {
        return Vec::new();
    }
    let mut sends: Vec<Send> = Vec::with_capacity(items.len());
    walk.at("send", |walk| {
        for (index, item) in items.iter().enumerate() {
            walk.at(&index.to_string(), |walk| {
                let Some(send) = send(item, billing, defaults, walk) else {
                    return;
                };
                if sends.iter().any(|it| it.is_same(&send)) {
                    walk.fault(
                        Code::Conflict,
                        "another item asks for the same message to the same recipient",
                    );
                }
                sends.push(send);
            });
        }
    });
    sends
}

/// One message: `{channel, to?, template?}`.
pub(super) fn send(
    item: &Tree,
    billing: &Billing,
    defaults: &Defaults,
    walk: &mut Walk,
) -> Option<Send> {
    let template = item.text("template").unwrap_or("link");
    let known = template == "link" || defaults.templates.iter().any(|it| it == template);
    // what is blank or tainted was faulted as that
    if !known && text::flaws(template, 1, 64).is_empty() {
        walk.fault_at(
            "template",
            Code::InvalidValue,
            "must be the name of a folder of templates, such as link",
        );
    }
    let channel = Channel::from_word(item.text("channel")?)?;
    let configured = match channel {
        Channel::Email => defaults.email,
        Channel::Sms => defaults.sms,
    };
    if !configured {
        walk.fault_at(
            "channel",
            Code::ChannelNotConfigured,
            "this installation has no settings for this channel",
        );
    }
    let to = walk.at("to", |walk| match channel {
        Channel::Email => email(item, billing, walk).map(Recipient::Email),
        Channel::Sms => sms(item, billing, defaults, walk).map(Recipient::Sms),
    })?;
    known.then(|| Send {
        to,
        template: template.to_owned(),
    })
}

/// `to` as it was written.
fn given(item: &Tree) -> Contact<&str> {
    match item.get("to") {
        None => Contact::None,
        Some(Tree::Text(to)) if text::flaws(to, 1, usize::MAX).is_empty() => Contact::Is(to),
        Some(_) => Contact::Faulty,
    }
}

fn fallback<T: Clone>(contact: &Contact<T>, name: &str, walk: &mut Walk) -> Option<T> {
    match contact {
        Contact::Is(contact) => Some(contact.clone()),
        Contact::Faulty => None,
        Contact::None => {
            walk.fault(
                Code::Required,
                format!("give to, or {name} in billing_address"),
            );
            None
        }
    }
}

fn email(item: &Tree, billing: &Billing, walk: &mut Walk) -> Option<Email> {
    match given(item) {
        Contact::Faulty => None,
        Contact::None => fallback(&billing.email, "email", walk),
        Contact::Is(to) => Email::parse(to)
            .map_err(|code| walk.fault(code, EMAIL))
            .ok(),
    }
}

fn sms(item: &Tree, billing: &Billing, defaults: &Defaults, walk: &mut Walk) -> Option<Phone> {
    const REACHABLE: &str = "must be a mobile number of a country that messages are sent to, \
                             neither premium, shared-cost, satellite nor a short code";
    let phone = match given(item) {
        Contact::Faulty => return None,
        Contact::None => fallback(&billing.phone, "phone", walk)?,
        Contact::Is(to) => match walk.phone(to) {
            Ok(phone) => phone?,
            Err(_) if is_short_code(to) => {
                walk.fault(Code::NotDeliverable, REACHABLE);
                return None;
            }
            Err(code) => {
                walk.fault(code, PHONE);
                return None;
            }
        },
    };
    if phone.deliverable(&defaults.sms_countries) {
        Some(phone)
    } else {
        walk.fault(Code::NotDeliverable, REACHABLE);
        None
    }
}

/// Three to six digits: what services, not people, are reached at.
fn is_short_code(to: &str) -> bool {
    (3..=6).contains(&to.len()) && to.bytes().all(|b| b.is_ascii_digit())
}
