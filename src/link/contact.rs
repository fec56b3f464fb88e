//! Who a message goes to. Both types print masked: an address reaches a log or a screen in full
//! only where somebody wrote `.as_str()` and meant it.

use std::fmt;

use phonenumber::Metadata;
use phonenumber::metadata::DATABASE;

use super::fault::Code;

/// An e-mail address as `contract.md` (Contacts) allows it: dot-atom, at least two labels, no
/// quotes, no literal, no display name.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Email(pub(super) String);

/// A phone number in E.164 (`+447700900123`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Phone {
    pub(super) e164: String,
    /// The calling code, for masking: `44`.
    pub(super) calling_code: u16,
}

/// Loads libphonenumber's data (about 0.1 s, once), so that no request pays for it.
pub fn warm() {
    let _ = DATABASE.by_id("GB");
}

impl Email {
    /// An address as `contract.md` (Contacts) allows it; the domain is kept in lower case.
    ///
    /// # Errors
    /// `invalid_format`.
    pub fn parse(text: &str) -> Result<Self, Code> {
        let (local, domain) = text.rsplit_once('@').ok_or(Code::InvalidFormat)?;
        if text.len() <= 254 && is_dot_atom(local) && is_domain(domain) {
            Ok(Self(format!("{local}@{}", domain.to_ascii_lowercase())))
        } else {
            Err(Code::InvalidFormat)
        }
    }

    /// An address from our own rows, where it came only after [`Email::parse`].
    pub fn trusted(text: String) -> Self {
        Self(text)
    }

    /// The address in full.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// RFC 5322 `dot-atom-text`, at most 64 octets.
fn is_dot_atom(local: &str) -> bool {
    let atext = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&b);
    local.len() <= 64
        && local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.bytes().all(atext))
}

/// At least two labels of letters, digits and inner hyphens; the last is no number, or it would be
/// an IP address.
fn is_domain(domain: &str) -> bool {
    let labels: Vec<&str> = domain.split('.').collect();
    let sound = |label: &&str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    labels.len() >= 2
        && labels.iter().all(sound)
        && labels
            .last()
            .is_some_and(|top| top.bytes().any(|b| !b.is_ascii_digit()))
}

impl Phone {
    /// A phone number: E.164 with the usual punctuation, or in national form of `country`
    /// (ISO 3166-1, upper case). It must be *possible* by libphonenumber's lengths, not *valid*:
    /// numbers reserved for examples are not.
    ///
    /// The crate's own parser is not used: it reads `+39 06…` by the rules of the default country,
    /// takes extensions, and can panic on a number of a country with a transform rule.
    ///
    /// # Errors
    /// `invalid_format`.
    pub fn parse(text: &str, country: &str) -> Result<Self, Code> {
        let (international, digits) = digits(text).ok_or(Code::InvalidFormat)?;
        let home = DATABASE.by_id(country);
        let abroad = if international {
            Some(digits.as_str())
        } else {
            home.and_then(|home| home.international_prefix())
                .and_then(|idd| idd.find(&digits))
                .filter(|idd| idd.start() == 0)
                .map(|idd| &digits[idd.end()..])
                .filter(|rest| !rest.starts_with('0'))
        };
        let (calling_code, national) = match abroad {
            Some(number) => split(number).ok_or(Code::InvalidFormat)?,
            None => (
                home.ok_or(Code::InvalidFormat)?.country_code(),
                digits.as_str(),
            ),
        };
        let regions = DATABASE.by_code(&calling_code).ok_or(Code::InvalidFormat)?;
        let rules = match abroad {
            Some(_) => regions.first().copied(),
            None => home,
        };
        let national = without_trunk_prefix(national, rules.ok_or(Code::InvalidFormat)?);
        if !regions.iter().any(|region| is_possible(region, national)) {
            return Err(Code::InvalidFormat);
        }
        Ok(Self {
            e164: format!("+{calling_code}{national}"),
            calling_code,
        })
    }

    /// A number from our own rows, where it came only after [`Phone::parse`]. `None` for what is
    /// no E.164 at all.
    pub fn trusted(e164: String) -> Option<Self> {
        let digits = e164.strip_prefix('+')?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (calling_code, _) = split(digits)?;
        Some(Self { e164, calling_code })
    }

    /// Whether an SMS may be sent to it: a number of one of `countries` (ISO 3166-1, upper case),
    /// neither premium nor shared-cost. Satellite and international networks belong to no country.
    /// Under +1, `US` stands for US and CA, never for the islands that share the code
    /// (`contract.md`, Contacts).
    pub fn deliverable(&self, countries: &[String]) -> bool {
        let listed = |country: &str| countries.iter().any(|it| it == country);
        let national = self.national();
        let Some(regions) = DATABASE.by_code(&self.calling_code) else {
            return false;
        };
        // the region of +870, +881 and their like is 001, which is no country
        let Some(region) = region(&regions, national) else {
            return false;
        };
        let kinds = region.descriptors();
        let dear = [kinds.premium_rate(), kinds.shared_cost()]
            .into_iter()
            .flatten()
            .any(|kind| kind.is_match(national));
        if dear {
            return false;
        }
        if self.calling_code == 1 {
            let area = national.get(..3).unwrap_or("");
            let elsewhere = ISLANDS.contains(&area) || area == "900";
            return !elsewhere && (listed("US") || (listed("CA") && region.id() == "CA"));
        }
        listed(region.id())
    }

    /// The number without its calling code.
    fn national(&self) -> &str {
        let code = self.calling_code.to_string().len();
        self.e164.get(1 + code..).unwrap_or("")
    }

    /// The number in E.164, in full.
    pub fn as_str(&self) -> &str {
        &self.e164
    }

    /// The country's calling code, without `+`.
    pub fn calling_code(&self) -> u16 {
        self.calling_code
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask::email(&self.0))
    }
}
impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::mask::phone(self.calling_code, &self.e164))
    }
}
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Area codes of the North American plan outside US and Canada. By list, because reserved numbers
/// match no pattern of libphonenumber's.
const ISLANDS: &[&str] = &[
    "242", "246", "264", "268", "284", "340", "345", "441", "473", "649", "658", "664", "670",
    "671", "684", "721", "758", "767", "784", "787", "809", "829", "849", "868", "869", "876",
    "939",
];

/// Calling codes of two digits; 1 and 7 have one, all others three. No code begins another.
const TWO_DIGITS: &[&str] = &[
    "20", "27", "30", "31", "32", "33", "34", "36", "39", "40", "41", "43", "44", "45", "46", "47",
    "48", "49", "51", "52", "53", "54", "55", "56", "57", "58", "60", "61", "62", "63", "64", "65",
    "66", "81", "82", "84", "86", "90", "91", "92", "93", "94", "95", "98",
];

/// Calling code and the rest.
fn split(digits: &str) -> Option<(u16, &str)> {
    let length = match digits.get(..2)? {
        two if two.starts_with(['1', '7']) => 1,
        two if TWO_DIGITS.contains(&two) => 2,
        two if two.starts_with('0') => return None,
        _ => 3,
    };
    let (code, rest) = digits.split_at_checked(length)?;
    Some((code.parse().ok()?, rest))
}

/// Whether the number begins with `+`, and its digits; `None` where it has anything but digits and
/// the punctuation that people write into one number.
fn digits(text: &str) -> Option<(bool, String)> {
    let text = text.trim_matches([' ', '\u{a0}']);
    let (international, rest) = match text.strip_prefix('+').or(text.strip_prefix("(+")) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut digits = String::with_capacity(rest.len());
    for c in rest.chars() {
        match c {
            '0'..='9' => digits.push(c),
            // an area code may be set off by a slash; later it separates two numbers
            '/' if digits.len() <= 5 => {}
            ' ' | '\u{a0}' | '\u{202f}' | '-' | '\u{2010}'..='\u{2013}' | '.' | '(' | ')' => {}
            _ => return None,
        }
    }
    (3..=17)
        .contains(&digits.len())
        .then_some((international, digits))
}

/// The national number without the digit that is dialled before it inside the country (`0` in
/// GB, `+44 (0)…` included), unless it is a number only with that digit.
fn without_trunk_prefix<'a>(national: &'a str, rules: &Metadata) -> &'a str {
    let Some(rest) = rules
        .national_prefix()
        .and_then(|prefix| national.strip_prefix(prefix))
    else {
        return national;
    };
    let general = rules.descriptors().general();
    let keep = general.is_match(national) && !general.is_match(rest);
    if keep || !is_possible(rules, rest) {
        national
    } else {
        rest
    }
}

/// Whether numbers of this region can be as long, dialled from abroad.
fn is_possible(region: &Metadata, national: &str) -> bool {
    let kinds = region.descriptors();
    let general = kinds.general().possible_length();
    let lengths = [
        kinds.fixed_line(),
        kinds.mobile(),
        kinds.toll_free(),
        kinds.premium_rate(),
        kinds.shared_cost(),
        kinds.personal_number(),
        kinds.voip(),
        kinds.pager(),
        kinds.uan(),
    ];
    let fits = |lengths: &[u16]| lengths.iter().any(|it| usize::from(*it) == national.len());
    if general.is_empty() {
        lengths
            .iter()
            .flatten()
            .any(|kind| fits(kind.possible_length()))
    } else {
        fits(general)
    }
}

/// The region of a number among those that share its calling code; the main one where no pattern
/// tells.
fn region<'a>(regions: &[&'a Metadata], national: &str) -> Option<&'a Metadata> {
    let matches = |region: &&&Metadata| {
        let kinds = region.descriptors();
        match region.leading_digits() {
            Some(lead) => lead.find(national).is_some_and(|it| it.start() == 0),
            None => [
                kinds.fixed_line(),
                kinds.mobile(),
                kinds.toll_free(),
                kinds.personal_number(),
                kinds.voip(),
                kinds.pager(),
                kinds.uan(),
            ]
            .into_iter()
            .flatten()
            .any(|kind| kind.is_match(national)),
        }
    };
    regions.iter().find(matches).or(regions.first()).copied()
}
