//! What may be seen of personal data by somebody who did not ask to see it (`contract.md`,
//! Personal data).

/// First letter, `***@`, domain. What has no `@` is wholly hidden.
pub fn email(address: &str) -> String {
    match (address.chars().next(), address.rsplit_once('@')) {
        (Some(first), Some((_, domain))) => format!("{first}***@{domain}"),
        _ => "***".into(),
    }
}

/// Calling code, `***`, last three digits.
pub fn phone(calling_code: u16, e164: &str) -> String {
    let tail = e164.get(e164.len().saturating_sub(3)..).unwrap_or("");
    format!("+{calling_code}***{tail}")
}

/// First letter and `***`.
pub fn name(name: &str) -> String {
    name.chars()
        .next()
        .map_or_else(|| "***".into(), |first| format!("{first}***"))
}

/// Nothing: streets, postal codes, dates of birth.
pub const HIDDEN: &str = "***";
