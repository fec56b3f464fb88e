//! Search without plain text: what people search by lies in `lookup` as keyed hashes, newest first
//! within each. One hash space serves all kinds, so that a question of one word is one look-up,
//! whatever it turns out to be.

use super::rows::micros;
use crate::link::{Address, Link, LinkId, Recipient};
use crate::secret::Vault;

/// Half of an HMAC-SHA-256 is plenty to tell terms apart, and the table is the largest index.
const HASH: usize = 16;

/// What a term is, for erasure and for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Reference,
    Email,
    Phone,
    Name,
    Klarna,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Reference => "reference",
            Kind::Email => "email",
            Kind::Phone => "phone",
            Kind::Name => "name",
            Kind::Klarna => "klarna",
        }
    }
}

/// A term by which a link is found, normalised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Term {
    pub kind: Kind,
    pub text: String,
}

impl Term {
    pub fn hash(&self, vault: &Vault) -> Vec<u8> {
        hash(vault, &self.text)
    }
}

fn hash(vault: &Vault, text: &str) -> Vec<u8> {
    vault.blind("search", text)[..HASH].to_vec()
}

/// The blind index of a recipient, for limits.
pub(super) fn recipient(vault: &Vault, to: &Recipient) -> Vec<u8> {
    let field = to.channel().as_str();
    vault.blind(field, &fold(to.as_str()))[..HASH].to_vec()
}

fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// An exact match: no other kind of term begins so.
fn exact(reference: &str) -> String {
    format!("={reference}")
}

/// Digits only, less leading zeros: `+44 (0)7700 900123` and `0044 7700 900123` are one number.
fn digits(text: &str) -> String {
    let text = text.replace("(0)", "");
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').to_owned()
}

/// Whole words: runs of letters and digits.
fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|it: char| !it.is_alphanumeric())
        .filter(|it| !it.is_empty())
        .map(fold)
}

/// The terms of one birth: reference, people.
pub(super) fn at_birth(link: &Link) -> Vec<Term> {
    let mut terms = vec![Term {
        kind: Kind::Reference,
        text: exact(&link.sale.reference),
    }];
    for address in [&link.sale.billing, &link.sale.shipping] {
        people(address.as_ref(), &mut terms);
    }
    distinct(terms)
}

/// The terms that come later: Klarna's ids, and the buyer as Klarna's page left him.
pub(super) fn in_life(link: &Link) -> Vec<Term> {
    let mut terms = Vec::new();
    let pair = link.stage.pair();
    let ids = [
        pair.map(|it| it.order.as_str()),
        pair.map(|it| it.session.as_str()),
        link.klarna.reference.as_deref(),
    ];
    terms.extend(ids.into_iter().flatten().map(|id| Term {
        kind: Kind::Klarna,
        text: fold(id),
    }));
    if let crate::link::Stage::Completed { payment, .. } = &link.stage
        && let Some(buyer) = &payment.buyer
    {
        people(buyer.billing.as_ref(), &mut terms);
        people(buyer.shipping.as_ref(), &mut terms);
    }
    distinct(terms)
}

/// The terms of a recipient.
pub(super) fn of_recipient(to: &Recipient) -> Vec<Term> {
    let mut terms = Vec::new();
    match to {
        Recipient::Email(email) => terms.push(Term {
            kind: Kind::Email,
            text: fold(email.as_str()),
        }),
        Recipient::Sms(phone) => phones(phone.as_str(), phone.calling_code(), &mut terms),
    }
    distinct(terms)
}

fn people(address: Option<&Address>, terms: &mut Vec<Term>) {
    let Some(address) = address else { return };
    if let Some(email) = &address.email {
        terms.push(Term {
            kind: Kind::Email,
            text: fold(email.as_str()),
        });
    }
    if let Some(phone) = &address.phone {
        phones(phone.as_str(), phone.calling_code(), terms);
    }
    let names = [
        &address.given_name,
        &address.family_name,
        &address.organization_name,
    ];
    for name in names.into_iter().flatten() {
        terms.extend(words(name).map(|text| Term {
            kind: Kind::Name,
            text,
        }));
    }
}

/// A number is found by its international and its national digits, and by its last four.
fn phones(e164: &str, calling_code: u16, terms: &mut Vec<Term>) {
    let all = digits(e164);
    let national = all
        .strip_prefix(&calling_code.to_string())
        .map(|it| it.trim_start_matches('0').to_owned());
    let last = all.get(all.len().saturating_sub(4)..).map(last_four);
    terms.extend(
        [Some(all.clone()), national, last]
            .into_iter()
            .flatten()
            .map(|text| Term {
                kind: Kind::Phone,
                text,
            }),
    );
}

/// Its own spelling: the four digits may begin with zeros, which a number's may not.
fn last_four(digits: &str) -> String {
    format!("*{digits}")
}

fn distinct(mut terms: Vec<Term>) -> Vec<Term> {
    terms.sort();
    terms.dedup_by(|a, b| a.text == b.text);
    terms
}

/// What somebody searches for: an exact reference, a link's id, one of Klarna's ids, an e-mail
/// address, a phone in any notation, its last four digits, or whole words of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    text: String,
}

/// What a question means to the index.
pub(super) struct Wanted {
    /// Any of these is a hit.
    pub any: Vec<Vec<u8>>,
    /// Several words of a name: the first leads, and each of the others must be there, too.
    pub name: Option<(Vec<u8>, Vec<Vec<u8>>)>,
    /// The question is a link's id.
    pub id: Option<LinkId>,
}

impl Query {
    /// A question; `None` where it is empty.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self {
            text: text.to_owned(),
        })
    }

    pub(super) fn wanted(&self, vault: &Vault) -> Wanted {
        let hash = |text: &String| hash(vault, text);
        let mut any = vec![exact(&self.text), fold(&self.text)];
        let mut name = None;
        if self.text.chars().any(char::is_alphabetic) {
            let mut names: Vec<String> = words(&self.text).collect();
            // the longest is likely the rarest
            names.sort_by_key(|it| std::cmp::Reverse(it.chars().count()));
            if let [lead, others @ ..] = names.as_slice()
                && !others.is_empty()
                && !self.text.contains('@')
            {
                let mut others: Vec<_> = others.iter().filter(|it| *it != lead).map(hash).collect();
                others.sort();
                others.dedup();
                name = Some((hash(lead), others));
            }
        } else {
            let typed: String = self.text.chars().filter(char::is_ascii_digit).collect();
            if typed.len() == 4 {
                any.push(last_four(&typed));
            } else if typed.len() > 4 {
                any.push(digits(&self.text));
            }
        }
        any.sort();
        any.dedup();
        Wanted {
            any: any.iter().map(hash).collect(),
            name,
            id: self.text.parse().ok(),
        }
    }
}

/// A row of the index.
pub(super) fn row(link: &Link, term: &Term, vault: &Vault) -> (Vec<u8>, i64, String, &'static str) {
    (
        term.hash(vault),
        micros(link.created_at),
        link.id.to_string(),
        term.kind.as_str(),
    )
}
